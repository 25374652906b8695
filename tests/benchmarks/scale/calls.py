"""What scenes cost the scheduler and the driver: `python -m tests.benchmarks.scale.calls`.

A driver gives scenes to workers that answer at once, 32 of them in a process, so that what is left
is the CPU of one call per scene; a remote scene takes two. Before that the scheduler is left alone
for a while: what it takes then is the price of having workers. Scheduler and workers are processes
of their own, so a loaded machine changes wall times more than these figures. Last, whole runs over
tiny scenes, with a tile for each, tell what a scene and its tile take of the driver in all.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.grid import MosaicGrid
from deepsalt.mapping import SceneReport
from deepsalt.model.load import model_ref
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import Compute, Export, MosaicConfig, RunConfig, SceneConfig, Selection
from flows.engines.cluster import cluster_of
from flows.engines.engine import Call
from flows.engines.station import Station
from flows.run.run import run
from tests.benchmarks.mapping import drive, driver_of, task, warm_up
from tests.benchmarks.scale.continent import lattice
from tests.benchmarks.scale.growth import SCENE_PX, SPACING_PX, TILES
from tests.benchmarks.scale.waiting import wait
from tests.benchmarks.scale.workers import cpu_s_of, started

WORKERS, SCENES, IDLE_S, RUNS = (16, 64), 2000, 20.0, (40, 120)
QUICK = ((2,), 50, 1.0, (2, 4))


def at_once(station: Station, acquisition: Acquisition) -> SceneReport:
    """Run on a worker: answer as a mapped scene does."""
    return SceneReport(acquisition.key, "written", product="p" * 60, pixels=1, estimated=1)


class _Answering:
    """An engine whose workers answer at once when they are given a scene."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.label = engine.label
        self.executor = engine.executor

    def is_alive(self) -> bool:
        return bool(self._engine.is_alive())

    def call(self, worker: str, method: Callable[..., Any], *args: Any) -> Call[Any]:
        what = at_once if method is Station.process else method
        call: Call[Any] = self._engine.call(worker, what, *args)
        return call


def one(workers: int, number: int, idle_s: float) -> dict[str, float]:
    """Give so many scenes to so many workers; return the CPU of each, in milliseconds."""
    from distributed import Client

    scenes = list(lattice(number, size_px=SCENE_PX, spacing_px=SPACING_PX))
    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        address, scheduler, *_ = opened.enter_context(started(workers))
        client = opened.enter_context(Client(address))
        client.wait_for_workers(workers)
        client.run(warm_up)
        events: SimpleQueue[Any] = SimpleQueue()
        engine = opened.enter_context(cluster_of(client, task(place / "store"), 1, events))
        driver = driver_of(_Answering(engine), events)
        driver.meet()
        time.sleep(1.0)
        before = cpu_s_of(scheduler)
        time.sleep(idle_s)
        idle = (cpu_s_of(scheduler) - before) / idle_s
        before, wall_s, cpu_s = cpu_s_of(scheduler), time.perf_counter(), time.process_time()
        drive(driver, scenes)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        used = cpu_s_of(scheduler) - before - idle * wall_s
    return {
        "workers": workers,
        "scenes_per_s": round(number / wall_s, 1),
        "scheduler_ms_per_call": round(1000 * used / number, 3),
        "driver_ms_per_call": round(1000 * cpu_s / number, 3),
        "scheduler_ms_per_worker_s": round(1000 * idle / workers, 3),
    }


def whole(few: int, many: int) -> dict[str, float]:
    """Run over so many tiny scenes on a worker; return the driver's CPU per scene and its tile."""
    from distributed import Client

    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        address, *_ = opened.enter_context(started(1))
        client = opened.enter_context(Client(address))
        client.wait_for_workers(1)
        client.run(wait, 0.0, 1)
        used: dict[int, float] = {}
        tiles: dict[int, int] = {}
        for number in (1, few, many):  # the first imports
            scenes = lattice(number, size_px=SCENE_PX, spacing_px=SPACING_PX)
            catalogue, out = place / f"catalogue{number}", place / f"store{number}"
            add_items(catalogue, map(to_item, scenes))
            grid = MosaicGrid("EPSG:32634", 30.0, (15.0, 15.0), **TILES)
            Store.create(out, grid=grid, model=model_ref().digest)
            compute = Compute(scheduler=address, threads=1)
            config = RunConfig(
                selection=Selection(catalogue=str(catalogue)),
                out=str(out),
                scene=SceneConfig(compute=compute),
                mosaic=MosaicConfig(compute=compute, export=Export(to="none")),
            )
            cpu_s = time.process_time()
            done = run(config)
            used[number] = time.process_time() - cpu_s
            if done.exit_code or done.mosaic is None:
                raise SystemExit(f"the run failed: {done.failure}")
            tiles[number] = done.mosaic.tiles
    return {
        "driver_ms_per_scene_and_tile": round(1000 * (used[many] - used[few]) / (many - few), 1),
        "tiles_per_scene": round((tiles[many] - tiles[few]) / (many - few), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few workers and scenes")
    args = parser.parse_args()
    sizes, number, idle_s, runs = QUICK if args.quick else (WORKERS, SCENES, IDLE_S, RUNS)
    print(json.dumps(whole(*runs)), flush=True)
    for workers in sizes:
        print(json.dumps(one(workers, number, idle_s)), flush=True)


if __name__ == "__main__":
    main()
