"""`train`: from tables to weights, card and report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from deepsalt import __version__
from deepsalt.errors import ModelError, UsageError
from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.card import ModelCard, Score, TrainingData
from deepsalt.model.files import write_model
from deepsalt.model.student import Student
from deepsalt.spectral.infrared import InfraredTable, read_infrared
from deepsalt.spectral.transform import STEP_NM, common_nm
from deepsalt.train.config import Settings, TrainConfig
from deepsalt.train.finish import Fitted
from deepsalt.train.fit import draw_views, fit_model
from deepsalt.train.infrared import with_infrared
from deepsalt.train.mixtures import simulated_tables
from deepsalt.train.report import write_report
from deepsalt.train.samples import Samples, as_mixtures, stack
from deepsalt.train.tables import Table, read_training_table
from deepsalt.train.text import (
    INTERVAL,
    LABORATORY_LIMITS,
    LIMITS,
    NORMALISATION,
    OUTPUTS,
    SIMULATED_LIMIT,
)
from deepsalt.train.together import check_together

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done so far, 0 to 1."""

VERSION = "2"
CACHE = "cache"
"""Folder within the model's for what a stopped run had done."""

_BANDS_OF_ENMAP = 224


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Everything a fit may see.

    Parameters
    ----------
    tables
        As read.
    samples
        All views of all tables, stacked.
    infrared
        Tables of the mid-infrared, as read.
    """

    tables: tuple[Table, ...]
    samples: Samples
    infrared: tuple[InfraredTable, ...] = ()


def train(config: TrainConfig, progress: Progress | None = None) -> ModelCard:
    """Train a model, score it on held-out groups and regions, and write weights and card.

    Folds of the evaluation are kept in the model's folder: a stopped run goes on where it was, and
    a second one with the same tables and settings only fits the model itself.

    Parameters
    ----------
    config
        Tables, settings, output directory.
    progress
        Called before each step.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    FormatError
        A table that cannot be used for training.
    ModelError
        The output directory cannot be written.
    UsageError
        scikit-learn is not installed, or the training diverged.
    """
    tell = progress or _silent
    tell("reading tables", 0.0)
    data = training_set(config)
    _prepare(config.out)
    scores: tuple[Score, ...] = ()
    chosen: dict[str, list[dict[str, Any]]] = {}
    if config.evaluate:
        tell("scoring with groups and regions left out", 0.05)
        scores, chosen = _scores(
            config, data.samples, lambda part: tell("scoring", 0.05 + 0.85 * part)
        )
    tell("fitting on everything", 0.9)
    fit = method_of(config)
    fitted = fit(data.samples, config.settings)
    card = _card(config, data, fitted)
    training = card.training | {"chosen_per_fold": chosen}
    card = replace(card, scores=scores, training=training)
    card = write_model(config.out, fitted.student, card)
    write_report(config.out, card, data.tables)
    tell("done", 1.0)
    return card


def method_of(config: TrainConfig) -> Callable[[Samples, Settings], Fitted]:
    """Return what fits a method."""
    if config.method == "deepsalt-2025":
        from deepsalt.train.published_fit import fit_published_model

        return fit_published_model
    return fit_model


def _scores(
    config: TrainConfig, samples: Samples, progress: Callable[[float], None]
) -> tuple[tuple[Score, ...], dict[str, list[dict[str, Any]]]]:
    try:
        from deepsalt.train.evaluate import evaluate  # scikit-learn, for the baseline
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs {error.name} for its baselines; install deepsalt[train]"
        ) from error
    found = evaluate(
        samples,
        config.settings,
        method_of(config),
        cache=config.out / CACHE,
        progress=progress,
    )
    return found.scores, found.chosen


def _prepare(folder: Path) -> None:
    """Make the model's folder, before hours of work rather than after."""
    try:
        (folder / CACHE).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ModelError(
            f"model folder {folder} cannot be written ({error.strerror}); choose another"
        ) from error


def _silent(_doing: str, _share: float) -> None:
    """Report nothing."""


def training_set(config: TrainConfig) -> TrainingSet:
    """Read the tables, see laboratory spectra through the sensors, and draw the mixtures.

    Laboratory samples get their mid-infrared features.

    Raises
    ------
    FormatError
        A table that cannot be used for training.
    """
    tables = [read_training_table(spec) for spec in config.tables]
    check_together(config.tables, tables)
    infrared = tuple(read_infrared(path) for path in config.infrared)
    samples = draw_views(tables, config.settings)
    if config.settings.mixtures:
        drawn = simulated_tables(config.settings)
        tables += drawn
        samples = stack([samples, *(as_mixtures(table) for table in drawn)])
    return TrainingSet(tuple(tables), with_infrared(samples, infrared), infrared)


def _sources(tables: Sequence[Table]) -> tuple[TrainingData, ...]:
    return tuple(
        TrainingData(
            name=table.name,
            kind="simulated" if table.simulated else table.kind,
            rows=int(table.labelled.sum()) if table.kind != "unlabelled" else len(table.ec),
            groups=int(np.unique(table.group).size),
            sha256=table.sha256,
            licence=table.licence,
            attribution=table.attribution,
        )
        for table in tables
    )


def _card(config: TrainConfig, data: TrainingSet, fitted: Fitted) -> ModelCard:
    student: Student = fitted.student
    ec_max, ec_extrapolated = (float(value) for value in student.limits[:2])
    labelled = [table for table in data.tables if table.labelled.any() and not table.simulated]
    methods = sorted({str(m) for t in labelled for m in np.unique(t.ec_method[t.labelled])})
    on_sites = any(table.kind == "satellite" for table in labelled)
    limits: tuple[str, ...] = LIMITS if on_sites else LIMITS + LABORATORY_LIMITS
    if any(table.simulated for table in data.tables):
        limits += (SIMULATED_LIMIT,)
    return ModelCard(
        name=config.name,
        family=config.family,
        version=VERSION,
        created_by=f"deepsalt {__version__}",
        bands_nm=tuple(common_nm().tolist()),
        band_width_nm=STEP_NM,
        normalisation=NORMALISATION,
        outputs=OUTPUTS,
        ec_method="; ".join(methods) or "simulated 1:2 extract",
        depth="surface as the sensor sees it; laboratory labels are of the depths of their samples",
        temperature="25 degrees C assumed, not stated by the source",
        ec_max=ec_max,
        ec_extrapolated=ec_extrapolated,
        interval=f"{INTERVAL_COVERAGE:.0%} {INTERVAL}",
        macs_per_pixel=student.macs_per_pixel(_BANDS_OF_ENMAP),
        data=_sources(data.tables),
        scores=(),
        limits=limits,
        training=_settings(config, fitted, data),
        weights_sha256="",
    )


def _settings(config: TrainConfig, fitted: Fitted, data: TrainingSet) -> dict[str, Any]:
    """Return settings and what was chosen, without machine paths."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value  # JSON knows no tuples
        for name, value in asdict(config.settings).items()
    }
    used = [{"name": t.name, "kind": t.kind, "left_out": t.dropped} for t in data.tables]
    infrared = [
        {"name": t.name, "samples": len(t.sample), "sha256": t.sha256} for t in data.infrared
    ]
    return {
        "method": config.method,
        "settings": settings,
        "tables": used,
        "chosen": fitted.report,
        "quiet_macs_per_pixel": fitted.student.quiet_macs_per_pixel(_BANDS_OF_ENMAP),
    } | ({"mid_infrared": infrared} if infrared else {})
