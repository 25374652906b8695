"""Whether salt is found: scores of probabilities and intervals, with intervals of their own.

Groups are drawn with replacement (bootstrap, 90 %): rows of a profile are no independent evidence.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from deepsalt.layers import CHANCE_LAYERS, THRESHOLDS_DS_M
from deepsalt.train.metrics import winkler
from deepsalt.types import Floats

DRAWS = 200
"""Bootstrap samples of groups."""

MIN_GROUPS = 5
"""Groups from which a score has an interval."""

NO_SALT_DS_M = 0.5
REACHED_DS_M = 2.0
"""Of soils below the first, the share is reported whose interval reaches the second."""

_SEED = 0

Statistic = Callable[[Floats], float]
"""A score for weights of rows (s,); NaN where it is not defined."""


def bootstrapped(name: str, statistic: Statistic, groups: NDArray[np.str_]) -> dict[str, float]:
    """Return a score, and the ends of its 90 % interval over groups, by name.

    Parameters
    ----------
    name
        Of the score; the ends are called ``<name>_low`` and ``<name>_high``.
    statistic
        The score for weights of rows.
    groups
        Names (s,).
    """
    names, index = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(_SEED)
    found = {name: statistic(np.ones(groups.size))}
    if not np.isfinite(found[name]) or names.size < MIN_GROUPS:
        return found
    drawn = rng.multinomial(names.size, np.full(names.size, 1.0 / names.size), DRAWS)
    values = [statistic(counts[index].astype(np.float64)) for counts in drawn]
    low, high = np.nanquantile(values, [0.05, 0.95])
    return {**found, f"{name}_low": float(low), f"{name}_high": float(high)}


def chance_scores(
    ec: Floats, answers: Mapping[str, Floats], groups: NDArray[np.str_]
) -> dict[str, float]:
    """Return the scores of probabilities, by threshold.

    ``brier_skill`` is 1 - Brier score / that of the training's base rate; ``expected_share`` and
    ``observed_share`` say whether probabilities are too high or low; ``recall_at_half`` and
    ``precision_at_half`` are those of soils above the probability from which, on held-out groups
    of the training, half were above the threshold: missing where the training reached no such
    probability.

    Parameters
    ----------
    ec
        Observed, dS/m (s,).
    answers
        Held out, by name of `CHANCE_LAYERS` (s,); the training's base rate and alarm of the row's
        fold as ``<name> base`` and ``<name> alarm``.
    groups
        Names (s,).
    """
    found = dict[str, float]()
    for name, threshold in zip(CHANCE_LAYERS, THRESHOLDS_DS_M, strict=True):
        above = ec > threshold
        chance, base, alarm = (answers[f"{name}{kind}"] for kind in ("", " base", " alarm"))
        if not above.any():
            continue

        found |= bootstrapped(f"brier_skill_{name}", _brier_skill(above, chance, base), groups)
        found |= bootstrapped(f"average_precision_{name}", _precision(above, chance), groups)
        found[f"expected_share_{name}"] = float(chance.mean())
        found[f"observed_share_{name}"] = float(above.mean())
        if np.isfinite(alarm).all():
            warned = chance >= alarm
            found |= bootstrapped(f"recall_at_half_{name}", _share(warned, above), groups)
            found |= bootstrapped(f"precision_at_half_{name}", _share(above, warned), groups)
    return found


def coverage_scores(
    ec: Floats, lower: Floats, upper: Floats, groups: NDArray[np.str_]
) -> dict[str, float]:
    """Return how often intervals hold soils, by class of EC, and what that costs."""
    inside = (ec >= lower) & (ec <= upper)
    found = bootstrapped("coverage", _share(inside, np.ones_like(inside)), groups)
    for threshold in (1.0, 2.0):
        name = f"coverage_above_{threshold:g}_dsm"
        found |= bootstrapped(name, _share(inside, ec > threshold), groups)
    reached = _share(upper >= REACHED_DS_M, ec < NO_SALT_DS_M)
    found |= bootstrapped("share_without_salt_whose_interval_reaches_2_dsm", reached, groups)
    found["winkler_log1p"] = winkler(*(np.log1p(values) for values in (ec, lower, upper)))
    found["median_width_dsm"] = float(np.median(upper - lower))
    return found


def _brier_skill(above: NDArray[np.bool_], chance: Floats, base: Floats) -> Statistic:
    def skill(weights: Floats) -> float:
        own, other = (weights @ (guess - above) ** 2 for guess in (chance, base))
        return float(1.0 - own / other) if other > 0 else float("nan")

    return skill


def _precision(above: NDArray[np.bool_], chance: Floats) -> Statistic:
    def precision(weights: Floats) -> float:
        if not (weights * above).any():
            return float("nan")
        return average_precision(above, chance, weights)

    return precision


def average_precision(
    above: NDArray[np.bool_], chance: Floats, weights: Floats | None = None
) -> float:
    """Return the area under the curve of precision over recall, of probabilities (s,)."""
    return float(average_precision_score(above, chance, sample_weight=weights))


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    """Return the statistic: share of hits among some rows."""

    def share(weights: Floats) -> float:
        total = weights @ among
        return float(weights @ (hits & among) / total) if total > 0 else float("nan")

    return share
