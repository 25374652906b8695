"""`train`: from tables to weights, card and report."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from deepsalt.errors import ModelError
from deepsalt.extras import require
from deepsalt.model.card import ModelCard, Score
from deepsalt.model.files import write_model
from deepsalt.progress import Progress, Silent
from deepsalt.train.config import TrainConfig
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.training_set import training_set
from deepsalt.train.duration import expected_s
from deepsalt.train.evaluation.card import card_of
from deepsalt.train.evaluation.report import write_report
from deepsalt.train.evaluation.surfaces import surface_shares
from deepsalt.train.student.base import FROM_BASE, Base
from deepsalt.train.student.distil import Fitted
from deepsalt.train.student.fit import fit_model

CACHE = "cache"
"""Folder within the model's for what a stopped run had done."""


def train(config: TrainConfig, progress: Progress | None = None) -> ModelCard:
    """Train a model, score it on held-out groups and regions, and write weights and card.

    Folds of the evaluation are kept in the model's folder: a stopped run resumes where it was, and
    a second one with the same tables and settings only fits the model itself.

    Parameters
    ----------
    config
        Tables, settings, output directory.
    progress
        Receives progress on steps, and on folds (stage ``folds``). Default: none.

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
    ExtraMissingError
        The model is to be scored and the extra `train` is not installed.
    RunError
        The training diverged.
    """
    if config.evaluate:
        require("train", "scoring a model against its baselines")
    progress = progress or Silent()
    progress.note("reading tables")
    base = None if config.base is None else Base.of(config.base)
    data = training_set(config, None if base is None else base.residual)
    _prepare(config.out)
    if base is not None:
        rows = data.samples.satellite & data.samples.labelled
        # Counted before parts of one block are told apart to hold something out.
        base = replace(base, blocks=np.unique(data.samples.region[rows]).size)
    expected = expected_s(
        data.samples, config.settings, evaluate=config.evaluate, has_base=base is not None
    )
    about_min = expected / 60.0
    about = "less than a minute" if about_min < 1.0 else f"about {about_min:.0f} min"
    progress.note(f"training takes {about} on a core of its own")
    scores: tuple[Score, ...] = ()
    chosen: dict[str, list[dict[str, Any]]] = {}
    curve: dict[str, Any] = {}
    if config.evaluate:
        progress.note("scoring with groups and regions left out")
        scores, chosen = _scores(config, data.samples, base, progress)
        curve = _curve(config, data.samples, base, progress)
    progress.note("fitting on everything")
    fitted = fit_model(data.samples, config.settings, base)
    card = card_of(config, data, fitted, base)
    training = card.training | {"chosen_per_fold": chosen} | curve
    if config.evaluate:
        training["surfaces"] = _surfaces(config, data.samples, fitted, card, base)
    card = replace(card, scores=scores, training=training)
    card = write_model(config.out, fitted.student, card)
    write_report(config.out, card, data.tables)
    return card


def _surfaces(
    config: TrainConfig, samples: Samples, fitted: Fitted, card: ModelCard, base: Base | None
) -> list[dict[str, Any]]:
    """Return which surfaces are flagged; one that is made of a base model has kept its test."""
    if base is not None and fitted.report.get("picked") in FROM_BASE:
        kept: list[dict[str, Any]] = base.card.training.get("surfaces", [])
        return kept
    return surface_shares(Base(fitted.student, card, ""), samples, config.settings.domain)


def _scores(
    config: TrainConfig, samples: Samples, base: Base | None, progress: Progress
) -> tuple[tuple[Score, ...], dict[str, list[dict[str, Any]]]]:
    from deepsalt.train.evaluation.evaluate import evaluate  # scikit-learn, for the baseline

    found = evaluate(
        samples,
        config.settings,
        fit_model,
        base=base,
        cache=config.out / CACHE,
        progress=progress,
    )
    return found.scores, found.chosen


def _curve(
    config: TrainConfig, samples: Samples, base: Base | None, progress: Progress
) -> dict[str, Any]:
    """Return what more sites would give, for the card; nothing where that cannot be told."""
    from deepsalt.train.evaluation.curve import learning_curve  # scikit-learn, as above

    if base is None:
        return {}
    found = learning_curve(
        samples,
        config.settings,
        fit_model,
        base=base,
        cache=config.out / CACHE,
        progress=progress,
    )
    return {} if found is None else {"learning_curve": found.told()}


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
