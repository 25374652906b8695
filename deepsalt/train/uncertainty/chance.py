"""How likely a soil is saltier than a threshold: one smooth distribution, calibrated once.

A label's distance from its answer, over the width predicted there, has the same distribution for
all soils: that of the held-out residuals, smoothed. So the probability of an EC above a threshold
is a function of one number, (location - log(threshold + 0.03)) / width, whatever the threshold, and
it falls as the threshold rises. Two numbers for all thresholds together, fitted on held-out answers
with each group weighing one, move its log-odds (Platt 1999). The slope is drawn towards 1: answers
of models that saw fewer groups are less sharp than those of the model that ships. Where hundreds of
groups exceed every threshold, a free rising curve of that one number takes their place.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import THRESHOLDS_DS_M
from deepsalt.model.card import Chance
from deepsalt.model.student import CHANCE_KNOTS
from deepsalt.train.data.splits import group_weights
from deepsalt.train.uncertainty.intervals import MIN_GROUPS
from deepsalt.types import Floats

BANDWIDTH = 0.5
"""Scale of the logistic kernel that smooths the residuals' quantiles, in units of the width.

Of 0.3 and 0.5 the better on profiles left out (ICRAF-ISRIC): Brier skill above 2 dS/m through
EnMAP's noise 0.06 instead of 0.05, before any calibration.
"""

SLOPE_PRIOR = 100.0
"""Weight of a slope of 1, against a loss to which each group contributes once per threshold.

Without it the slope of inner folds is 0.6 to 0.8 and costs a quarter of the Brier skill above 1
and 2 dS/m on the outer ones; with it a tenth, and probabilities above 0.5 dS/m gain.
"""

ISOTONIC_GROUPS = 200
"""Groups above the highest threshold from which a free rising curve replaces the two numbers.

A curve needs far more data than a line of log-odds: with a thousand or fewer it overfits
(Niculescu-Mizil and Caruana 2005).
"""

HALF = 0.5
"""Precision of an alarm."""

MIN_ALARMED = 3.0
"""Groups above a threshold that an alarm has to find: fewer are chance."""

_ROUNDED = 1e-9  # log-odds of a certain answer


def exceedance(distance: Floats, nodes: Floats) -> Floats:
    """Return P(EC > threshold) (...,) before calibration.

    Parameters
    ----------
    distance
        (location - log(threshold + 0.03)) / width (...,).
    nodes
        Quantiles of the residuals over widths, of equal probability (j,).
    """
    chance: Floats = expit((distance[..., None] + nodes) / BANDWIDTH).mean(axis=-1)
    return chance


def distances(location: Floats, width: Floats) -> Floats:
    """Return how far answers (s,) lie above each threshold, in units of the width (s, t)."""
    ends = np.log(np.array(THRESHOLDS_DS_M) + EC_SHIFT)
    found: Floats = (location[:, None] - ends) / width[:, None]
    return found


def fit_chances(
    location: Floats, width: Floats, nodes: Floats, ec: Floats, groups: NDArray[np.str_]
) -> tuple[Floats, tuple[Chance, ...]]:
    """Return calibrated probabilities at `CHANCE_KNOTS` (k,), rising, and what they rest on.

    Parameters
    ----------
    location, width
        Held-out answers on log(EC + 0.03) and the widths predicted there (s,).
    nodes
        Quantiles of the residuals over widths (j,).
    ec
        Labels, dS/m (s,).
    groups
        Names of what was held out together (s,).
    """
    distance = distances(location, width)
    above = ec[:, None] > np.array(THRESHOLDS_DS_M)
    weights = np.repeat(group_weights(groups)[:, None], len(THRESHOLDS_DS_M), axis=1)
    positive = [np.unique(groups[column]).size for column in above.T]
    knots = np.linspace(*CHANCE_KNOTS)
    if min(positive) >= ISOTONIC_GROUPS:
        table = _isotonic(distance, above, weights)(knots)
    else:
        level, slope = _logistic(exceedance(distance, nodes), above, weights)
        table = expit(level + slope * _log_odds(exceedance(knots, nodes)))
    chances = np.interp(distance, knots, table)
    known = [
        _known(threshold, above[:, i], chances[:, i], groups)
        for i, threshold in enumerate(THRESHOLDS_DS_M)
    ]
    return table, tuple(known)


def _logistic(chance: Floats, above: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Return the level and the slope that move the log-odds of probabilities (s, t)."""
    odds = _log_odds(chance)

    def loss(line: Floats) -> tuple[float, Floats]:
        level, slope = line
        moved = level + slope * odds
        error = weights * (expit(moved) - above)
        cost = float((weights * (np.logaddexp(0.0, moved) - above * moved)).sum())
        pull = slope - 1.0
        gradient = np.array([error.sum(), (error * odds).sum() + SLOPE_PRIOR * pull])
        return cost + 0.5 * SLOPE_PRIOR * pull**2, gradient

    start = np.array([0.0, 1.0])
    level, slope = minimize(loss, start, jac=True, bounds=[(None, None), (0.0, None)]).x
    return float(level), float(slope)


def _isotonic(
    distance: Floats, above: NDArray[np.bool_], weights: Floats
) -> Callable[[Floats], Floats]:
    """Return the rising function of the distance (s, t) that is nearest to what is above."""
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    curve.fit(distance.ravel(), above.ravel().astype(float), weights.ravel())
    found: Callable[[Floats], Floats] = curve.predict
    return found


def _known(
    threshold: float, above: NDArray[np.bool_], chances: Floats, groups: NDArray[np.str_]
) -> Chance:
    weights = group_weights(groups)
    count = int(np.unique(groups[above]).size)
    rate = round(float(weights[above].sum() / weights.sum()), 4)
    calibrated = "yes" if count >= MIN_GROUPS else "no"
    return Chance(threshold, rate, count, calibrated, _alarm(above, chances, weights))


def _alarm(above: NDArray[np.bool_], chances: Floats, weights: Floats) -> float | None:
    """Return the least probability from which half the soils are above; None if there is none."""
    order = np.argsort(-chances, kind="stable")
    hits, all_soils = (np.cumsum(part[order]) for part in (weights * above, weights))
    last = np.append(np.diff(chances[order]) != 0, True)
    reached = np.flatnonzero(last & (hits >= HALF * all_soils) & (hits >= MIN_ALARMED))
    if not reached.size:
        return None
    # Rounded down, so that the soil that reaches it counts.
    return math.floor(1e4 * float(chances[order][reached[-1]])) / 1e4


def _log_odds(chance: Floats) -> Floats:
    found: Floats = logit(np.clip(chance, _ROUNDED, 1.0 - _ROUNDED))
    return found
