"""Stage 1 as it runs: a scene on threads, and several on threads or on workers in processes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from deepsalt.mapping import SceneReport
from deepsalt.model.load import load_student, model_ref
from deepsalt.progress import Silent
from deepsalt.types import Acquisition
from flows.config import Access, Compute, Grid, Politeness, SceneConfig, Scratch
from flows.engines.engine import Engine, Needs
from flows.engines.opening import client_of
from flows.engines.station import Station, Task
from flows.engines.threads import local_threads
from flows.permits import Permits
from flows.run.driver import Driver
from flows.run.run import own_identity
from flows.run.single_scene import map_one
from flows.run.stores import find_store, open_store
from tests.benchmarks.rows import SEVERAL, Run

WORKERS = 2
"""Worker processes of one thread, and threads of the one process beside them."""
_ACCESS = Access(networks=("loopback",))


@contextmanager
def on_threads() -> Iterator[Run]:
    """Map a scene into a store, records included."""

    def run(acquisition: Acquisition, out: Path) -> None:
        map_one(acquisition, str(out), SceneConfig(access=_ACCESS))

    yield run


@contextmanager
def several_on_threads() -> Iterator[Run]:
    """Map scenes in this process, one being written while the next is mapped."""

    def run(acquisition: Acquisition, out: Path) -> None:
        events: SimpleQueue[Any] = SimpleQueue()
        with local_threads(Station(task(out), threads=WORKERS), events) as engine:
            work(engine, events, several(acquisition))

    yield run


@contextmanager
def several_on_workers() -> Iterator[Run]:
    """Do the same on workers in processes, which were started before the clock is."""
    from flows.engines.cluster import cluster_of

    compute = Compute(workers=WORKERS, threads=1)
    with client_of(compute) as client:
        client.run(warm_up)

        def run(acquisition: Acquisition, out: Path) -> None:
            events: SimpleQueue[Any] = SimpleQueue()
            with cluster_of(client, task(out), compute.threads, events) as engine:
                work(engine, events, several(acquisition))

        yield run


def warm_up() -> None:
    """Import in a worker what it will need, and load the weights."""
    import stackstac  # noqa: F401

    load_student(model_ref())


def several(acquisition: Acquisition) -> list[Acquisition]:
    """Return the scene as so many acquisitions of the same pixels."""
    return [
        replace(
            acquisition,
            scene_id=f"{acquisition.scene_id}-{number}",
            acquisition_id=f"{acquisition.acquisition_id}-{number}",
        )
        for number in range(SEVERAL)
    ]


def task(out: Path, access: Access = _ACCESS) -> Task:
    """Make a store and return what workers have to know to map scenes into it."""
    open_store(str(out), model_ref(), Grid(), find_store(str(out)))
    return Task(str(out), None, "cpu", Scratch(), access)


def work(engine: Engine, events: "SimpleQueue[Any]", scenes: Sequence[Acquisition]) -> None:
    """Have scenes mapped by the workers of an engine, as a run does."""
    driver = driver_of(engine, events)
    driver.meet()
    drive(driver, scenes)


def driver_of(engine: Engine, events: "SimpleQueue[Any]") -> Driver:
    """Return the driver of a run."""
    return Driver(
        engine,
        events,
        Permits(Politeness().limit_of, 1),
        own=own_identity(model_ref()),
        needs=Needs(0),
        progress=Silent(),
    )


def drive(driver: Driver, scenes: Sequence[Acquisition]) -> list[float]:
    """Have scenes mapped and return when each was; one that is not ends the benchmark."""
    done: list[float] = []

    def heard(_: int, report: SceneReport) -> None:
        if report.status != "written":
            raise SystemExit(f"scene {report.scene} was not mapped: {report.reason}")
        done.append(time.perf_counter())

    driver.work(scenes, range(len(scenes)), heard, lambda *_: None)
    return done
