"""The benchmark: every method on the same held-out groups, real and simulated.

Rows are in `rows`, data in `data`, cells in `cells`, tables in `report`.
"""

import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepsalt import __version__
from deepsalt.benchmark.cells import SplitAnswers, digest_of, real_blocks, simulated_blocks
from deepsalt.benchmark.data import Design, read_lab, real_folds
from deepsalt.benchmark.published.method import PublishedConfig
from deepsalt.benchmark.report import markdown, score_all
from deepsalt.benchmark.rows import Budget, Row, real_rows, simulated_rows
from deepsalt.benchmark.speed import measure_speed
from deepsalt.documents import encode, replace_file
from deepsalt.errors import UsageError
from deepsalt.progress import Progress
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.training_set import draw_views

__all__ = ["BenchmarkConfig", "Outcome", "run_benchmark"]


@dataclass(frozen=True, slots=True)
class BenchmarkConfig:
    """Settings of the run.

    Parameters
    ----------
    lab
        Table of real laboratory spectra.
    out
        Folder of the results; its `cells` keep what is done.
    command
        How it was started, for the report.
    settings
        Of our rows in both parts.
    published
        Of the published method.
    design
        Of the simulated part.
    folds, region_folds
        Of profiles and of countries.
    profiles
        How many profiles of the table to use; None: all.
    parts
        ``real``, ``simulated`` or both.
    quick
        Whether this is a smoke test, whose numbers are meaningless.
    draws
        Of the bootstrap.
    seed
        Of the splits.
    """

    lab: Path
    out: Path
    command: str = ""
    settings: Settings = field(default_factory=Settings)
    published: PublishedConfig = field(default_factory=PublishedConfig)
    design: Design = field(default_factory=Design)
    folds: int = 5
    region_folds: int = 10
    profiles: int | None = None
    parts: tuple[str, ...] = ("real", "simulated")
    quick: bool = False
    draws: int = 2000
    seed: int = 20250101

    def __post_init__(self) -> None:
        """Refuse parts that do not exist."""
        if not self.parts or set(self.parts) - {"real", "simulated"}:
            raise UsageError(
                f"parts {', '.join(self.parts) or 'none'} must be real, simulated or both"
            )

    def reduced(self) -> "BenchmarkConfig":
        """Return the same with few folds, rows, samples and steps: minutes instead of hours."""
        return replace(
            self,
            settings=replace(self.settings.quick(), inner_folds=3),
            published=self.published.quick(),
            design=Design(regions=6, sites=36, library=5, sizes=(60,), seeds=2),
            folds=2,
            region_folds=2,
            profiles=240,
            quick=True,
            draws=300,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The report as plain values, and the blocks that plots are drawn of."""

    report: dict[str, Any]
    blocks: list[SplitAnswers]


def count_cells(config: BenchmarkConfig, samples: Samples | None) -> int:
    """Return how many cells there are."""
    total = 0
    if samples is not None:
        folds = real_folds(samples, config.folds, config.region_folds, config.seed)
        rows = real_rows(config.settings, quick=config.quick)
        total += len(rows) * sum(len(parts) for parts in folds.values())
    if "simulated" in config.parts:
        rows = simulated_rows(config.settings, quick=config.quick)
        total += len(rows) * len(config.design.sizes) * config.design.seeds
    return total


def run_benchmark(config: BenchmarkConfig, progress: Progress) -> Outcome:
    """Run all cells that are not there yet, score them and write `benchmark.json` and `.md`.

    Parameters
    ----------
    config
        Settings of the run.
    progress
        Receives progress on the cells (stage ``cells``).

    Raises
    ------
    UsageError
        The folder cannot be written.
    FormatError
        The table cannot be used.
    """
    _prepare(config.out)
    budget = Budget(config.settings, config.published)
    cells = config.out / "cells"
    table = read_lab(config.lab, config.profiles, config.seed)
    samples = draw_views([table], config.settings)
    real = "real" in config.parts
    simulated = "simulated" in config.parts
    progress.start("cells", count_cells(config, samples if real else None))
    blocks: list[SplitAnswers] = []
    data: dict[str, str] = {}
    rows: dict[str, list[Row]] = {}
    if real:
        rows["real"] = real_rows(config.settings, quick=config.quick)
        folds = real_folds(samples, config.folds, config.region_folds, config.seed)
        blocks += real_blocks(cells, samples, folds, rows["real"], budget=budget, progress=progress)
        data |= {f"{table.name} (file)": table.sha256, "its views": digest_of(samples)}
    if simulated:
        rows["simulated"] = more = simulated_rows(config.settings, quick=config.quick)
        found, digests = simulated_blocks(
            cells, config.design, more, budget=budget, progress=progress
        )
        blocks = blocks + found
        data = data | digests
    alone = {row.name for row in rows.get("simulated", ()) if row.satellite_only}
    report = {
        "command": config.command,
        "version": __version__,
        "quick": config.quick,
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "numpy": np.__version__,
        "settings": _plain(config),
        "data": data,
        "rows": {part: {row.name: row.about for row in known} for part, known in rows.items()},
        "scores": score_all(blocks, alone, config.draws),
        "speed": measure_speed(samples, config.settings),
    }
    scores = encode(report, as_written=True, allow_nan=True)
    replace_file(config.out / "benchmark.json", scores)
    replace_file(config.out / "benchmark.md", markdown(report).encode())
    return Outcome(report, blocks)


def _plain(config: BenchmarkConfig) -> dict[str, Any]:
    """Return the settings without paths: of those, digests tell more."""
    known = asdict(config)
    for name in ("lab", "out", "command"):
        del known[name]
    return known


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be created ({error}); choose another") from error
