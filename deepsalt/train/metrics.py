"""Scores of predicted against observed conductivity."""

import numpy as np
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.types import Floats

MISSED_SHARE = 1.0 - INTERVAL_COVERAGE
"""Share of labels that an interval may miss."""

INFLUENTIAL_GROUPS = 5
"""Groups left out for the score that does not hang on a few saline profiles."""


def r2(observed: Floats, predicted: Floats) -> float:
    """Return the share of variance explained: 1 - SSE / SST; NaN without variance."""
    total = ((observed - observed.mean()) ** 2).sum()
    return float(1.0 - ((observed - predicted) ** 2).sum() / total) if total > 0 else float("nan")


def concordance(observed: Floats, predicted: Floats) -> float:
    """Return Lin's (1989) concordance correlation coefficient."""
    both = observed - observed.mean(), predicted - predicted.mean()
    shift = (observed.mean() - predicted.mean()) ** 2
    below = observed.var() + predicted.var() + shift
    return float(2.0 * (both[0] * both[1]).mean() / below) if below > 0 else float("nan")


def without_influential(observed: Floats, predicted: Floats, groups: NDArray[np.str_]) -> float:
    """Return R² without the groups that hold most of the variance of the observations."""
    names, index = np.unique(groups, return_inverse=True)
    weight = np.bincount(index, (observed - observed.mean()) ** 2)
    dropped = np.argsort(-weight, kind="stable")[:INFLUENTIAL_GROUPS]
    keep = ~np.isin(index, dropped)
    return r2(observed[keep], predicted[keep]) if names.size > INFLUENTIAL_GROUPS else float("nan")


def scale_scores(observed: Floats, predicted: Floats, scale: str) -> dict[str, float]:
    """Return R², RMSE, MAE, bias, CCC and RPIQ on one scale, names ending in the scale's."""
    error = predicted - observed
    rmse = float(np.sqrt((error**2).mean()))
    low, high = np.quantile(observed, [0.25, 0.75])
    return {
        f"r2_{scale}": r2(observed, predicted),
        f"rmse_{scale}": rmse,
        f"mae_{scale}": float(np.abs(error).mean()),
        f"bias_{scale}": float(error.mean()),
        f"ccc_{scale}": concordance(observed, predicted),
        f"rpiq_{scale}": float((high - low) / rmse) if rmse > 0 else float("nan"),
    }


def scores(observed: Floats, predicted: Floats, groups: NDArray[np.str_]) -> dict[str, float]:
    """Return all point scores; conductivities in dS/m (s,)."""
    log_observed = np.log1p(observed)
    log_predicted = np.log1p(predicted)
    return {
        **scale_scores(log_observed, log_predicted, "log1p"),
        **scale_scores(observed, predicted, "dsm"),
        "r2_log1p_without_5_most_influential_groups": without_influential(
            log_observed, log_predicted, groups
        ),
        "r2_log_ec_plus_0.03": r2(np.log(observed + EC_SHIFT), np.log(predicted + EC_SHIFT)),
    }


def interval_scores(observed: Floats, lower: Floats, upper: Floats) -> dict[str, float]:
    """Return coverage, overall and above 1 dS/m, and the median width of the intervals, dS/m."""
    inside = (observed >= lower) & (observed <= upper)
    saline = observed > 1.0
    return {
        "coverage": float(inside.mean()),
        "coverage_above_1_dsm": float(inside[saline].mean()) if saline.any() else float("nan"),
        "median_width_dsm": float(np.median(upper - lower)),
    }


def winkler(observed: Floats, lower: Floats, upper: Floats) -> float:
    """Return the mean interval score (Winkler 1972; Gneiting and Raftery 2007); lower is better.

    Width plus 2 / `MISSED_SHARE` times the distance to labels that lie outside.
    """
    outside = np.maximum(lower - observed, 0.0) + np.maximum(observed - upper, 0.0)
    return float((upper - lower + 2.0 / MISSED_SHARE * outside).mean())
