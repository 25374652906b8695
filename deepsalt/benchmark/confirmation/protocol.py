"""The protocol: each row on each world, sensor and number of sites, kept on disk as it is done."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepsalt import __version__
from deepsalt.benchmark.cells import cell, kept_cell
from deepsalt.benchmark.confirmation.report import page, tables
from deepsalt.benchmark.confirmation.verdict import Scored, scored
from deepsalt.benchmark.confirmation.worlds import WORLDS, confirmation_digest, confirmation_worlds
from deepsalt.benchmark.data import (
    Design,
    Views,
    draw_sites,
    draw_tests,
    draw_training,
    simulate_world,
)
from deepsalt.benchmark.published.method import PublishedConfig
from deepsalt.benchmark.rows import Answer, Budget, Row, confirmation_rows
from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.documents import replace_file
from deepsalt.errors import UsageError
from deepsalt.model.load import model_ref
from deepsalt.progress import Progress
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.student.base import Base

PAGE, TABLES = "confirmation.md", "confirmation-tables.md"

# What a fit depends on: cells of other sources are never mixed with these.
_SOURCES = ("benchmark", "conductivity.py", "layers.py", "model", "simulate", "spectral", "train")


@dataclass(frozen=True, slots=True)
class Protocol:
    """Settings of the run.

    Parameters
    ----------
    out
        Folder of the results; its `cells` keep what is done.
    command
        How it was started, for the report.
    settings
        Of the product.
    design
        Of each world; its `seeds` is the number of worlds.
    sensors
        What sees the sites.
    rehearsal
        Whether to run on development worlds, which nothing is claimed from.
    """

    out: Path
    command: str = ""
    settings: Settings = field(default_factory=Settings)
    design: Design = field(default_factory=lambda: Design(sizes=(30, 60, 120), seeds=WORLDS))
    sensors: tuple[str, ...] = ("enmap", "prisma")
    rehearsal: bool = False

    def reduced(self) -> "Protocol":
        """Return the same with tiny worlds and budgets: a smoke test of a rehearsal."""
        return replace(
            self,
            settings=self.settings.quick(),
            design=Design(regions=8, sites=9, library=5, sizes=(24, 30), seeds=2),
            sensors=self.sensors[:1],
            rehearsal=True,
        )

    def __post_init__(self) -> None:
        """Refuse a confirmation on a part of the worlds."""
        if not self.rehearsal and self.design.seeds != WORLDS:
            raise UsageError(
                f"the confirmation has {WORLDS} worlds, not {self.design.seeds}; other numbers are "
                f"for rehearsals, on development worlds"
            )


class Ground(NamedTuple):
    """A world before it is simulated: name, seed, settings."""

    name: str
    seed: int
    config: SimulationConfig


class Task(NamedTuple):
    """What one cell is about."""

    ground: Ground
    sensor: str
    size: int
    row: Row


def run_protocol(protocol: Protocol, progress: Progress) -> tuple[Path, Path]:
    """Compute all cells that are not there yet, judge them, and write the page and its tables.

    A stopped run leaves whole cells only, and no page.

    Parameters
    ----------
    protocol
        Settings of the run.
    progress
        Receives progress on the cells that were not there (stage ``cells``).

    Returns
    -------
    tuple[Path, Path]
        The page, and the tables behind it.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    cells = protocol.out / "cells"
    try:
        cells.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"folder {protocol.out} cannot be created ({error}); choose another"
        ) from error
    base = Base.of(model_ref())
    budget = Budget(protocol.settings, PublishedConfig(), base)
    sources = sources_digest()
    tasks = list(_tasks(protocol))

    def place(task: Task) -> tuple[object, ...]:
        ground, sensor, size, _ = task
        # The numbers of worlds and sizes do not change a cell.
        design = replace(protocol.design, seeds=0, sizes=())
        return sources, base.digest, design, ground, sensor, size

    known = [kept_cell(cells, task.row, budget, place(task)) for task in tasks]
    missing = [task for task, answer in zip(tasks, known, strict=True) if answer is None]
    progress.start("cells", len(missing))
    done: dict[Task, Answer] = {}
    for task, views, test in _drawn(missing, protocol):
        compute = partial(_answer, task, views, test, budget)
        done[task] = cell(cells, task.row, budget, place(task), compute)
        progress.advance("cells")
    answers = [a if a is not None else done[t] for t, a in zip(tasks, known, strict=True)]
    results = [
        scored(t.ground.name, t.sensor, t.size, t.row, answer=answer)
        for t, answer in zip(tasks, answers, strict=True)
    ]
    return _write(protocol, results, sources)


def sources_digest() -> str:
    """Return a digest of all sources that a fit depends on (hexadecimal)."""
    root = Path(str(files("deepsalt")))
    digest = hashlib.sha256()
    for name in _SOURCES:
        found = root / name
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if path.suffix in (".py", ".csv", ".json"):
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _tasks(protocol: Protocol) -> Iterator[Task]:
    for ground in grounds(protocol):
        for sensor in protocol.sensors:
            for size in protocol.design.sizes:
                for row in confirmation_rows(protocol.settings):
                    yield Task(ground, sensor, size, row)


def grounds(protocol: Protocol) -> list[Ground]:
    """Return the worlds of a run: those of the file, or of a rehearsal the development worlds."""
    if protocol.rehearsal:
        count = protocol.design.seeds
        return [Ground(f"development-{i:02d}", i, SimulationConfig()) for i in range(count)]
    return [Ground(world.name, world.seed, world.config()) for world in confirmation_worlds()]


def _drawn(tasks: list[Task], protocol: Protocol) -> Iterator[tuple[Task, Views, Samples]]:
    """Yield tasks with what they are trained and scored on; each world is simulated once."""
    settings = protocol.settings
    for (ground, sensor), of_world in groupby(tasks, lambda task: task[:2]):
        world = simulate_world(protocol.design, ground.seed, sensor, ground.config)
        test = draw_tests(world.unseen, settings)
        for size, of_size in groupby(of_world, lambda task: task.size):
            sites = draw_sites(world.pool, size, ground.seed)
            views = draw_training(sites, world.library, settings)
            for task in of_size:
                yield task, views, test


def _answer(task: Task, views: Views, test: Samples, budget: Budget) -> Answer:
    """Return the row's answers with what they are scored by, and the CPU time, s."""
    began = time.process_time()
    found = task.row.fit(views, test, replace(budget, settings=task.row.settings))
    seconds = np.array(time.process_time() - began)
    return found | {"observed": test.ec, "region": test.region, "seconds": seconds}


def _write(protocol: Protocol, results: list[Scored], sources: str) -> tuple[Path, Path]:
    about = {
        "command": protocol.command,
        "version": __version__,
        "worlds": "development worlds" if protocol.rehearsal else confirmation_digest(),
        "sources": sources,
    }
    paths = protocol.out / PAGE, protocol.out / TABLES
    rehearsal = protocol.rehearsal
    replace_file(paths[0], page(results, about, rehearsal=rehearsal).encode())
    replace_file(paths[1], tables(results, about, rehearsal=rehearsal).encode())
    return paths
