"""`recalibrate`: from labelled cells of a map to a model folder, with scores of held-out blocks."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepsalt import __version__
from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.model.card import ModelCard, Score, TrainingData
from deepsalt.model.files import write_model
from deepsalt.model.marks import Marks
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.sufficiency import MIN_SAMPLES
from deepsalt.train.evaluation.card import LIMITS, SIMULATED_LIMIT
from deepsalt.train.evaluation.evaluate import BASE, MEAN, REGION, STUDENT, lead
from deepsalt.train.evaluation.report import CELLS, write_report
from deepsalt.train.evaluation.salt import chance_scores, coverage_scores
from deepsalt.train.metrics import r2, scores
from deepsalt.train.student.base import Base
from deepsalt.train.student.distil import Fitted
from deepsalt.train.student.from_map import LabelledCells, fit_on_cells, said_of_cells
from deepsalt.types import Floats

OF_CELLS = (
    "It has seen no spectra beside those of the model it was made of: a line through that model's "
    "answers and a factor on its widths were fitted to cells of a map, so it ranks soils as that "
    "model does."
)
"""Limit of a recalibrated model."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What a recalibrated model is called and made of.

    Parameters
    ----------
    name
        Of the model.
    ec_method, depth
        Of the labels.
    source
        Their table; rows and groups are cells and blocks.
    marks
        Of the samples.
    simulated
        Whether the map's scenes are simulated.
    """

    name: str
    ec_method: str
    depth: str
    source: TrainingData
    marks: Marks
    simulated: bool


def recalibrate(base: Base, cells: LabelledCells, about: Recalibration, out: Path) -> ModelCard:
    """Recalibrate a model on labelled cells of a map that it made, and write it with its card.

    Scores are of blocks that neither chose nor fitted anything: each is left out in turn of all of
    `fit_on_cells`, its own held-out blocks included.

    Parameters
    ----------
    base
        The map's model.
    cells
        Labelled cells.
    about
        Of the model.
    out
        Folder to write.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    UsageError
        Too few cells or blocks, or labels that are all alike.
    ModelError
        The folder cannot be written.
    """
    _refuse_few(cells)
    scored = _scores(cells, *held_out(base, cells), about)
    fitted = fit_on_cells(base, cells)
    card = replace(_card(base, fitted, about), scores=scored)
    card = write_model(out, fitted.student, card)
    write_report(out, card, ())
    return card


def held_out(base: Base, cells: LabelledCells) -> tuple[Floats, dict[str, Floats]]:
    """Return what models that did not see a cell's block say of it, and what they were fitted on.

    Returns
    -------
    tuple[Floats, dict[str, Floats]]
        As `said_of_cells` (3 + t, c), and the baselines of the other blocks by name (c,).
    """
    said = np.empty((3 + len(cells.chances), len(cells)))
    of_rest = dict[str, Floats]()
    every = np.arange(len(cells))
    for hidden in cells.folds:
        rest = cells.take(np.setdiff1d(every, hidden))
        fitted = fit_on_cells(base, rest)
        said[:, hidden] = said_of_cells(base, fitted, cells.take(hidden))
        for name, value in _of_training(fitted, rest).items():
            of_rest.setdefault(name, np.empty(len(cells)))[hidden] = value
    return said, of_rest


def _refuse_few(cells: LabelledCells) -> None:
    blocks = len(cells.folds)
    if len(cells) < MIN_SAMPLES or blocks < MIN_BLOCKS:
        raise UsageError(
            f"cells with samples are too few to recalibrate on: {len(cells)}, and blocks of them "
            f"{blocks}; it needs {MIN_SAMPLES} cells and {MIN_BLOCKS} blocks, to hold some out, so "
            f"add samples from other places"
        )
    if np.ptp(cells.ec) == 0.0:
        raise UsageError(
            f"all samples have {cells.ec[0]:g} dS/m, so no line can be fitted; add samples that "
            "differ"
        )


def _of_training(fitted: Fitted, rest: LabelledCells) -> dict[str, float]:
    """Return what the cells that a model was fitted on say: its baselines."""
    found = {MEAN: float(np.expm1(np.log1p(rest.ec).mean()))}
    for name, known in zip(CHANCE_COLUMNS, fitted.chances, strict=True):
        found[f"{name} base"] = known.base_rate
        found[f"{name} alarm"] = np.nan if known.alarm is None else known.alarm
    return found


def _scores(
    cells: LabelledCells, said: Floats, of_rest: dict[str, Floats], about: Recalibration
) -> tuple[Score, ...]:
    salinity, lower, upper, *chances = said
    block = cells.block
    rows = {STUDENT: salinity, BASE: cells.salinity, MEAN: of_rest[MEAN]}
    found = []
    for method, predicted in rows.items():
        metrics = scores(cells.ec, predicted, cells.name)
        by_block = [
            value
            for rows_of in cells.folds
            if np.isfinite(value := r2(np.log1p(cells.ec[rows_of]), np.log1p(predicted[rows_of])))
        ]
        metrics["r2_log1p_fold_sd"] = float(np.std(by_block)) if by_block else np.nan
        if method == STUDENT:
            answers = of_rest | dict(zip(CHANCE_COLUMNS, chances, strict=True))
            metrics |= coverage_scores(cells.ec, lower, upper, block)
            metrics |= chance_scores(cells.ec, answers, block)
            metrics |= lead(cells.ec, salinity, cells.salinity, block)
        if method == BASE:
            metrics |= coverage_scores(cells.ec, cells.lower, cells.upper, block)
        known = {name: round(value, 4) for name, value in metrics.items() if np.isfinite(value)}
        seen = f"SIMULATED {CELLS}" if about.simulated else CELLS
        found.append(Score(method, seen, REGION, len(cells), known))
    return tuple(found)


def _card(base: Base, fitted: Fitted, about: Recalibration) -> ModelCard:
    """Return the card without scores and checksum."""
    ec_max, ec_extrapolated = (float(value) for value in fitted.student.limits[:2])
    has_simulated = about.simulated or SIMULATED_LIMIT in base.card.limits
    return replace(
        base.card,
        name=about.name,
        created_by=f"deepsalt {__version__}",
        ec_method=about.ec_method,
        depth=about.depth,
        ec_max=ec_max,
        ec_extrapolated=ec_extrapolated,
        chances=fitted.chances,
        data=(about.source, *base.card.data),
        limits=(*LIMITS, OF_CELLS, *((SIMULATED_LIMIT,) if has_simulated else ())),
        training={
            "tables": [{"name": about.source.name, "kind": CELLS}],
            "chosen": fitted.report,
            "base": {"name": base.card.name, "digest": base.digest},
            "surfaces": base.card.training.get("surfaces", []),
        },
        weights_sha256="",
        marks=about.marks | base.card.marks,
    )
