"""Scores of a map at labelled cells, each with a 90 % interval over blocks.

Labels that are the map's quantity give errors, coverage and scores of probabilities. Labels of
another method give ranks, and scores after a line between the logarithms that other blocks fit.
All results are flat: ``<score>``, ``<score>_low``, ``<score>_high``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.accuracy.blocks import FEWEST
from deepsalt.accuracy.match import Cells
from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.data.places import Blocks
from deepsalt.train.evaluation.salt import (
    Bootstrap,
    Statistic,
    bootstrapped,
    chance_scores,
    correlated,
    coverage_scores,
    precision,
    share_scores,
)
from deepsalt.types import Floats

BOOTSTRAP = Bootstrap(draws=1000, fewest=FEWEST, expanded=True)

CLASS_EDGES_DS_M = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Between classes of EC: the thresholds of the probabilities, and two above them."""

_TOP = 0.2
_FLAT = 1e-9  # estimates that vary less than that, relative to their square, fit no line
_FEWEST_TO_RANK = 3
_NORMAL_90 = 1.645
CHANCES = ("brier_skill", "average_precision")
"""Scores of probabilities, by threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class ByClass:
    """Scores of the cells whose label is in one class.

    Parameters
    ----------
    name
        Of the class, dS/m.
    cells
        Number of cells.
    scores
        Flat, as everywhere.
    """

    name: str
    cells: int
    scores: Mapping[str, float]


def rank_scores(cells: Cells, block: Blocks, bootstrap: Bootstrap = BOOTSTRAP) -> dict[str, float]:
    """Return scores that hold whatever the labels' method is.

    ``spearman``; ``average_precision_top_fifth``, of finding the saltiest fifth of the cells by the
    map's ranks: 0.2 by chance.
    """
    if len(cells) < _FEWEST_TO_RANK:
        return {}
    ranks = spearman(cells.ec, cells.estimate)
    found = precision(_top(cells.ec), cells.estimate)
    return {
        **correlated("spearman", ranks, block.name, bootstrap),
        **bootstrapped("average_precision_top_fifth", found, block.name, bootstrap),
    }


def recalibrated_scores(
    cells: Cells, block: Blocks, bootstrap: Bootstrap = BOOTSTRAP
) -> dict[str, float]:
    """Return scores after a line that other blocks fit: what the map knows once it is tuned.

    The line is that of least squares between log(EC + `EC_SHIFT`) of map and label, fitted without
    the block that it is applied to. Each draw of the bootstrap fits its own lines.
    """
    tune = _Tuning.of(cells, block)
    if tune is None:
        return {}

    def explained(weights: Floats) -> float:
        return r2(tune.label, tune(weights))(weights)

    def error(weights: Floats) -> float:
        return rmse(tune.label, tune(weights))(weights)

    return {
        **bootstrapped("r2_recalibrated", explained, block.name, bootstrap),
        **bootstrapped("rmse_log_recalibrated", error, block.name, bootstrap),
    }


def recalibrated(cells: Cells, block: Blocks) -> Floats | None:
    """Return log(EC + `EC_SHIFT`) as lines of other blocks tune it; None where none fits (c,)."""
    tune = _Tuning.of(cells, block)
    return None if tune is None else tune(np.ones(len(cells)))


@dataclass(frozen=True, slots=True, eq=False)
class _Tuning:
    """Lines from map to label, one per block from all other blocks."""

    label: Floats
    estimate: Floats
    block: NDArray[np.intp]
    powers: Floats  # 1, x, y, x x, x y, of which sums make a line (5, c)

    @classmethod
    def of(cls, cells: Cells, block: Blocks) -> "_Tuning | None":
        if block.count < FEWEST:
            return None
        label, estimate = (np.log(values + EC_SHIFT) for values in (cells.ec, cells.estimate))
        _, index = np.unique(block.name, return_inverse=True)
        one = np.ones_like(label)
        powers = np.stack([one, estimate, label, estimate**2, estimate * label])
        tuning = cls(label, estimate, index, powers)
        return tuning if np.isfinite(tuning(one)).all() else None

    def __call__(self, weights: Floats) -> Floats:
        """Return the tuned map for weights of cells, NaN where other blocks fit no line (c,)."""
        sums = np.stack([np.bincount(self.block, weights * each) for each in self.powers])
        n, x, y, xx, xy = sums.sum(axis=1, keepdims=True) - sums
        spread = n * xx - x**2
        fits = spread > _FLAT * n * xx
        slope = np.divide(n * xy - x * y, spread, out=np.full_like(n, np.nan), where=fits)
        offset = np.divide(y - slope * x, n, out=np.full_like(n, np.nan), where=fits)
        return np.asarray(offset[self.block] + slope[self.block] * self.estimate)


def error_scores(cells: Cells, block: Blocks, bootstrap: Bootstrap = BOOTSTRAP) -> dict[str, float]:
    """Return R², RMSE and bias of labels that are the map's quantity.

    A label's own error s, as its table or the conversion states it, adds to that of the map. Its
    variance on the scale log(1 + EC) is v = (s EC / (1 + EC))². So
    ``rmse_log1p_without_label_error`` is the root of max(mean squared error - mean v, 0), and
    ``r2_log1p_without_label_error`` is 1 - (SSE - sum of v) / (SST - sum of v).

    A conversion may be wrong alike for all cells, so the ends of the interval of the bias lie
    further out: their distances d become the root of d² + (1.645 times the mean of
    s EC / (1 + EC))².
    """
    observed, predicted = np.log1p(cells.ec), np.log1p(cells.estimate)
    # A few salty cells rule these, and whether a campaign has them: of SIMULATED ones a bootstrap
    # held the true RMSE in 0.65 to 0.76 instead of 0.9, so they have no interval.
    every = np.ones(len(cells))
    found = {
        "rmse_dsm": rmse(cells.ec, cells.estimate)(every),
        "bias_dsm": bias(cells.ec, cells.estimate)(every),
    }
    scored: dict[str, Statistic] = {
        "r2_log1p": r2(observed, predicted),
        "rmse_log1p": rmse(observed, predicted),
        "bias_log1p": bias(observed, predicted),
    }
    own = cells.label_sd * cells.ec / (1.0 + cells.ec)
    if own.any():
        scored["r2_log1p_without_label_error"] = r2(observed, predicted, own**2)
        scored["rmse_log1p_without_label_error"] = rmse(observed, predicted, own**2)
    if len(cells) < _FEWEST_TO_RANK:
        scored = {name: each for name, each in scored.items() if not name.startswith("r2")}
    for name, statistic in scored.items():
        found |= bootstrapped(name, statistic, block.name, bootstrap)
    converted = cells.conversion_sd * cells.ec
    _widen(found, "bias_log1p", float((converted / (1.0 + cells.ec)).mean()))
    return found


def _widen(found: dict[str, float], name: str, sd: float) -> None:
    """Move the ends of an interval out by an error that all cells share."""
    if f"{name}_low" not in found:
        return
    for end, sign in (("low", -1.0), ("high", 1.0)):
        reach = np.hypot(found[f"{name}_{end}"] - found[name], _NORMAL_90 * sd)
        found[f"{name}_{end}"] = found[name] + sign * float(reach)


def interval_scores(
    cells: Cells, block: Blocks, bootstrap: Bootstrap = BOOTSTRAP
) -> dict[str, float]:
    """Return how often the map's intervals hold the labels.

    Where labels have an error s, also ``coverage_with_label_error``, of intervals with their ends
    at distances, on log(EC + `EC_SHIFT`), of the root of d² + (1.645 s)², with d as the map has it.
    """
    found = coverage_scores(cells.ec, cells.lower, cells.upper, block.name, bootstrap)
    if cells.label_sd.any():
        inside = within(cells, np.array(cells.label_sd))
        every = np.ones_like(inside)
        name = "coverage_with_label_error"
        found |= share_scores(name, inside, every, block.name, bootstrap=bootstrap)
    return found


def within(cells: Cells, sd: Floats) -> NDArray[np.bool_]:
    """Return which labels lie in their intervals, widened by an error of their own (c,)."""
    label, middle, lower, upper = (
        np.log(values + EC_SHIFT) for values in (cells.ec, cells.estimate, cells.lower, cells.upper)
    )
    below, above = (np.hypot(reach, _NORMAL_90 * sd) for reach in (middle - lower, upper - middle))
    return np.asarray((label >= middle - below) & (label <= middle + above))


def probability_scores(
    cells: Cells,
    block: Blocks,
    attrs: Mapping[str, Mapping[str, Any]],
    bootstrap: Bootstrap = BOOTSTRAP,
) -> dict[str, float]:
    """Return Brier skill and average precision by threshold.

    The skill is over the base rate of the model's training, or where the map does not state it over
    the share of the cells that is above.

    Parameters
    ----------
    cells, block
        Cells and their blocks.
    attrs
        Of each threshold, by name of `CHANCE_COLUMNS`.
    bootstrap
        How blocks are drawn.
    """
    answers: dict[str, Floats] = {}
    if not cells.chances:
        return {}
    for name, chance in cells.chances.items():
        above = cells.ec > float(attrs[name]["threshold"])
        base = float(attrs[name].get("base_rate", above.mean()))
        answers[name] = chance
        answers[f"{name} base"] = np.full(len(cells), base)
        answers[f"{name} alarm"] = np.full(len(cells), np.nan)
    return chance_scores(cells.ec, answers, block.name, bootstrap)


def class_scores(
    cells: Cells, block: Blocks, bootstrap: Bootstrap = BOOTSTRAP
) -> tuple[ByClass, ...]:
    """Return coverage and bias of the cells in each class of their label, empty ones left out."""
    edges = (-np.inf, *CLASS_EDGES_DS_M, np.inf)
    observed, predicted = np.log1p(cells.ec), np.log1p(cells.estimate)
    inside = (cells.ec >= cells.lower) & (cells.ec <= cells.upper)
    found = []
    for low, high in pairwise(edges):
        own = (cells.ec > low) & (cells.ec <= high)
        if not own.any():
            continue
        groups = block.name[own]
        scores = share_scores("coverage", inside[own], own[own], groups, bootstrap=bootstrap)
        scores |= bootstrapped("bias_log1p", bias(observed[own], predicted[own]), groups, bootstrap)
        found.append(ByClass(_class_name(low, high), int(own.sum()), scores))
    return tuple(found)


def _class_name(low: float, high: float) -> str:
    if low == -np.inf:
        return f"up to {high:g}"
    return f"above {low:g}" if high == np.inf else f"{low:g} to {high:g}"


def _top(values: Floats) -> NDArray[np.bool_]:
    """Return the highest fifth, at least one; of equal values the first."""
    top = np.zeros(values.size, np.bool_)
    top[np.argsort(-values, kind="stable")[: max(1, round(_TOP * values.size))]] = True
    return top


def spearman(observed: Floats, predicted: Floats) -> Statistic:
    """Return Spearman's correlation for weights: Pearson's of ranks, equal values sharing one."""
    places = [np.unique(values, return_inverse=True)[1] for values in (observed, predicted)]

    def correlation(weights: Floats) -> float:
        ranks = []
        for place in places:
            count = np.bincount(place, weights)
            ranks.append((np.cumsum(count) - count / 2.0)[place])
        one, two = (rank - weights @ rank / weights.sum() for rank in ranks)
        scale = np.sqrt((weights @ one**2) * (weights @ two**2))
        return float(weights @ (one * two) / scale) if scale > 0 else float("nan")

    return correlation


def r2(observed: Floats, predicted: Floats, label_variance: Floats | None = None) -> Statistic:
    """Return R² for weights, if asked for without the variance of the labels' own error."""
    own = np.zeros_like(observed) if label_variance is None else label_variance

    def explained(weights: Floats) -> float:
        mean = weights @ observed / weights.sum()
        total = weights @ ((observed - mean) ** 2 - own)
        return (
            float(1.0 - max(weights @ ((observed - predicted) ** 2 - own), 0.0) / total)
            if (total > 0)
            else float("nan")
        )

    return explained


def rmse(observed: Floats, predicted: Floats, label_variance: Floats | None = None) -> Statistic:
    """Return the RMSE for weights, if asked for without the variance of the labels' own error."""
    squares = (observed - predicted) ** 2 - (0.0 if label_variance is None else label_variance)

    def error(weights: Floats) -> float:
        return float(np.sqrt(max(weights @ squares / weights.sum(), 0.0)))

    return error


def bias(observed: Floats, predicted: Floats) -> Statistic:
    """Return the mean of estimate minus label, for weights."""

    def mean(weights: Floats) -> float:
        return float(weights @ (predicted - observed) / weights.sum())

    return mean
