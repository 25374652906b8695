"""Scores that only the benchmark tells: classes, lines, intervals, resampled groups."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deepsalt.train.metrics import MISSED_SHARE, r2
from deepsalt.types import Floats

SALINE_DS_M = 2.0
"""From here on a soil counts as saline (USDA class of ECe)."""

CLASS_EDGES_DS_M = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
"""Edges of the classes that errors are told by: USDA's and two finer ones below."""


def line_scores(observed: Floats, predicted: Floats, scale: str) -> dict[str, float]:
    """Return slope and ratio of standard deviations of predicted against observed."""
    spread = observed.std()
    if not spread > 0:
        return {f"slope_{scale}": float("nan"), f"spread_{scale}": float("nan")}
    shared = ((observed - observed.mean()) * (predicted - predicted.mean())).mean()
    return {
        f"slope_{scale}": float(shared / spread**2),
        f"spread_{scale}": float(predicted.std() / spread),
    }


def saline_recall(observed: Floats, predicted: Floats) -> float:
    """Return the share of soils above `SALINE_DS_M` that are predicted above it."""
    saline = observed > SALINE_DS_M
    return float((predicted[saline] > SALINE_DS_M).mean()) if saline.any() else float("nan")


def within_groups(observed: Floats, predicted: Floats, groups: NDArray[np.str_]) -> float:
    """Return R² of what is left of both after each group's own mean is taken off."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)

    def centred(values: Floats) -> Floats:
        means = np.bincount(index, values) / counts
        left: Floats = values - means[index]
        return left

    return r2(centred(observed), centred(predicted))


def class_scores(observed: Floats, predicted: Floats) -> dict[str, dict[str, float]]:
    """Return n, bias and RMSE on log1p by class of observed salinity."""
    error = np.log1p(predicted) - np.log1p(observed)
    found = {}
    for low, high in pairwise(CLASS_EDGES_DS_M):
        rows = (observed >= low) & (observed < high)
        name = f"{low:g}-{high:g} dS/m" if np.isfinite(high) else f"from {low:g} dS/m"
        if rows.any():
            found[name] = {
                "n": float(rows.sum()),
                "bias_log1p": float(error[rows].mean()),
                "rmse_log1p": float(np.sqrt((error[rows] ** 2).mean())),
            }
    return found


def constant_interval(residual: Floats) -> tuple[float, float]:
    """Return offsets from a prediction between which 90 % of residuals lie (split conformal)."""
    size = residual.size
    share = min(1.0, (1.0 - MISSED_SHARE / 2) * (size + 1) / size)
    low, high = np.quantile(residual, [1.0 - share, share])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Range:
    """A score with its 90 % interval over resampled groups."""

    value: float
    low: float
    high: float


def bootstrap_r2(
    observed: Floats,
    predicted: Floats,
    groups: NDArray[np.str_],
    *,
    rival: Floats | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Range:
    """Return R², or its lead over a rival's, with an interval from resampling whole groups.

    Parameters
    ----------
    observed, predicted, groups
        Labels, predictions, group names (s,).
    rival
        Predictions of the other method on the same rows (s,); None: R² itself.
    draws, seed
        Of the bootstrap.
    """
    _, index = np.unique(groups, return_inverse=True)
    sums = [np.bincount(index, values) for values in (np.ones(index.size), observed, observed**2)]
    errors = [np.bincount(index, (observed - predicted) ** 2)]
    if rival is not None:
        errors.append(np.bincount(index, (observed - rival) ** 2))
    counts = np.random.default_rng(seed).multinomial(
        len(sums[0]), np.full(len(sums[0]), 1.0 / len(sums[0])), draws
    )

    def score(times: NDArray[np.int64]) -> Floats:
        size, first, second = (times @ part for part in sums)
        total = second - first**2 / size
        with np.errstate(divide="ignore", invalid="ignore"):
            if len(errors) == 2:
                return np.asarray(times @ (errors[1] - errors[0]) / total)
            return np.asarray(1.0 - times @ errors[0] / total)

    value = float(score(np.ones((1, len(sums[0])), dtype=np.int64))[0])
    drawn = score(counts)
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return Range(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [0.05, 0.95])
    return Range(value, float(low), float(high))
