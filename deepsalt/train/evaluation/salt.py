"""Whether salt is found: scores of probabilities and intervals, with intervals of their own.

Groups are drawn with replacement (bootstrap, 90 %): rows of a profile are no independent evidence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from deepsalt.layers import CHANCE_COLUMNS, THRESHOLDS_DS_M
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
_SURE = 1.0 - 1e-9  # a correlation of 1 has no atanh

Statistic = Callable[[Floats], float]
"""A score for weights of rows (s,); NaN where it is not defined."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How groups are drawn, and where the ends of an interval lie.

    Parameters
    ----------
    draws
        Number of draws.
    fewest
        Groups below which there is no interval.
    expanded
        Whether the ends lie further out, as Student's distribution does from the normal one: few
        groups vary less among themselves than the ground does (Hesterberg 2015, section 4.5).
    """

    draws: int = DRAWS
    fewest: int = MIN_GROUPS
    expanded: bool = False

    def tail(self, groups: int) -> float:
        """Return the share of draws below the lower end of a 90 % interval over so many groups."""
        if not self.expanded:
            return 0.05
        wider = np.sqrt(groups / (groups - 1)) * student_t.ppf(0.95, groups - 1)
        return float(norm.cdf(-wider))


PLAIN = Bootstrap()


def bootstrapped(
    name: str, statistic: Statistic, groups: NDArray[np.str_], bootstrap: Bootstrap = PLAIN
) -> dict[str, float]:
    """Return a score, and the ends of its 90 % interval over groups, by name.

    Parameters
    ----------
    name
        Of the score; the ends are called ``<name>_low`` and ``<name>_high``.
    statistic
        The score for weights of rows.
    groups
        Names (s,).
    bootstrap
        How they are drawn.
    """
    count = np.unique(groups).size
    found = {name: statistic(np.ones(groups.size))}
    if not np.isfinite(found[name]) or count < bootstrap.fewest:
        return found
    values = drawn(statistic, groups, bootstrap.draws)
    tail = bootstrap.tail(count)
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return {**found, f"{name}_low": float(low), f"{name}_high": float(high)}


def drawn(statistic: Statistic, groups: NDArray[np.str_], draws: int) -> Floats:
    """Return a score of as many groups drawn with replacement as there are (draws,)."""
    names, index = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(_SEED)
    equal = np.full(names.size, 1.0 / names.size)
    return np.array(
        [
            statistic(rng.multinomial(names.size, equal)[index].astype(np.float64))
            for _ in range(draws)
        ]
    )


def correlated(
    name: str, statistic: Statistic, groups: NDArray[np.str_], bootstrap: Bootstrap = PLAIN
) -> dict[str, float]:
    """Return a correlation, and the ends of its 90 % interval on Fisher's scale.

    The ends are Student's quantile times the standard deviation of the draws' atanh away. Draws
    repeat rows, and equal ranks make their own quantiles too wide.
    """
    count = np.unique(groups).size
    found = {name: statistic(np.ones(groups.size))}
    if not np.isfinite(found[name]) or count < bootstrap.fewest:
        return found
    values = np.arctanh(np.clip(drawn(statistic, groups, bootstrap.draws), -_SURE, _SURE))
    reach = student_t.ppf(0.95, count - 1) * np.sqrt(count / (count - 1)) * np.nanstd(values)
    middle = np.arctanh(np.clip(found[name], -_SURE, _SURE))
    low, high = np.tanh([middle - reach, middle + reach])
    return {**found, f"{name}_low": float(low), f"{name}_high": float(high)}


def share_scores(
    name: str,
    hits: NDArray[np.bool_],
    among: NDArray[np.bool_],
    groups: NDArray[np.str_],
    *,
    bootstrap: Bootstrap = PLAIN,
) -> dict[str, float]:
    """Return the share of hits among some rows, and the ends of its interval.

    All draws of all hits, or of none, are alike. With `expanded` ends the other end is then that
    of k independent groups (Clopper and Pearson 1934): ``0.05 ** (1 / k)``, or 1 minus it.
    """
    found = bootstrapped(name, share(hits, among), groups, bootstrap)
    if bootstrap.expanded and f"{name}_low" in found and found[name] in (0.0, 1.0):
        end = float(0.05 ** (1.0 / np.unique(groups[among]).size))
        low, high = (end, 1.0) if found[name] else (0.0, 1.0 - end)
        return {**found, f"{name}_low": low, f"{name}_high": high}
    return found


def chance_scores(
    ec: Floats,
    answers: Mapping[str, Floats],
    groups: NDArray[np.str_],
    bootstrap: Bootstrap = PLAIN,
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
        Held out, by name of `CHANCE_COLUMNS` (s,); the training's base rate and alarm of the row's
        fold as ``<name> base`` and ``<name> alarm``.
    groups
        Names (s,).
    bootstrap
        How they are drawn.
    """
    found = dict[str, float]()
    for name, threshold in zip(CHANCE_COLUMNS, THRESHOLDS_DS_M, strict=True):
        above = ec > threshold
        chance, base, alarm = (answers[f"{name}{kind}"] for kind in ("", " base", " alarm"))
        if not above.any():
            continue

        scored = {
            f"brier_skill_{name}": _brier_skill(above, chance, base),
            f"average_precision_{name}": precision(above, chance),
        }
        found[f"expected_share_{name}"] = float(chance.mean())
        found[f"observed_share_{name}"] = float(above.mean())
        if np.isfinite(alarm).all():
            warned = chance >= alarm
            scored[f"recall_at_half_{name}"] = share(warned, above)
            scored[f"precision_at_half_{name}"] = share(above, warned)
        for score, statistic in scored.items():
            found |= bootstrapped(score, statistic, groups, bootstrap)
    return found


def coverage_scores(
    ec: Floats,
    lower: Floats,
    upper: Floats,
    groups: NDArray[np.str_],
    bootstrap: Bootstrap = PLAIN,
) -> dict[str, float]:
    """Return how often intervals hold soils, by class of EC, and what that costs."""
    inside = (ec >= lower) & (ec <= upper)
    shares = {
        "coverage": (inside, np.ones_like(inside)),
        "coverage_above_1_dsm": (inside, ec > 1.0),
        "coverage_above_2_dsm": (inside, ec > 2.0),
        "share_without_salt_whose_interval_reaches_2_dsm": (
            upper >= REACHED_DS_M,
            ec < NO_SALT_DS_M,
        ),
    }
    found: dict[str, float] = {}
    for name, (hits, among) in shares.items():
        found |= share_scores(name, hits, among, groups, bootstrap=bootstrap)
    found["winkler_log1p"] = winkler(*(np.log1p(values) for values in (ec, lower, upper)))
    found["median_width_dsm"] = float(np.median(upper - lower))
    return found


def _brier_skill(above: NDArray[np.bool_], chance: Floats, base: Floats) -> Statistic:
    def skill(weights: Floats) -> float:
        own, other = (weights @ (guess - above) ** 2 for guess in (chance, base))
        return float(1.0 - own / other) if other > 0 else float("nan")

    return skill


def precision(above: NDArray[np.bool_], chance: Floats) -> Statistic:
    """Return average precision, as scikit-learn defines it: rows of one probability count once."""
    order = np.argsort(-chance, kind="stable")
    last = np.append(np.flatnonzero(np.diff(chance[order])), chance.size - 1)

    def statistic(weights: Floats) -> float:
        found = np.cumsum((weights * above)[order])[last]
        if found[-1] <= 0:
            return float("nan")
        named = np.cumsum(weights[order])[last]
        gained = np.diff(found, prepend=0.0)
        right = np.divide(found, named, out=np.zeros_like(found), where=named > 0)
        return float(gained @ right / found[-1])

    return statistic


def average_precision(above: NDArray[np.bool_], chance: Floats) -> float:
    """Return the area under the curve of precision over recall, of probabilities (s,)."""
    return precision(above, chance)(np.ones(chance.size))


def share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    """Return the statistic: share of hits among some rows."""

    def statistic(weights: Floats) -> float:
        total = weights @ among
        return float(weights @ (hits & among) / total) if total > 0 else float("nan")

    return statistic
