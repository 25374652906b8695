"""Intervals that hold for rare soils as well: conformal prediction, class by class.

Where salt is rare an interval may miss all of it and still hold 90 % of soils. So each class of EC
is calibrated by itself (Mondrian conformal prediction, Vovk et al. 2003), each group weighing one:
an EC is excluded if, among held-out soils of its class, at most a tenth lies as far from what was
predicted. The interval is the hull of the EC that are not excluded.

The commonest class shares its misses between both ends. Rarer ones above it may only be missed
above, those below it only below: what lies between them is held by the others anyway.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.data.splits import group_weights
from deepsalt.train.metrics import MISSED_SHARE
from deepsalt.types import Floats

CLASSES_DS_M = (0.5, 1.0)
"""Borders of the classes, dS/m, where each has groups enough."""

MIN_GROUPS = 20
"""Groups that a class needs for an interval of its own: at fewer, neighbours share one."""

OPEN = 1e6
"""Factor on a width that excludes nothing."""

_END = 20.0  # log(EC + 0.03) beyond any soil


@dataclass(frozen=True, slots=True)
class EcClass:
    """A class of EC, and how far from the answer its soils lie.

    Parameters
    ----------
    lowest, highest
        log(EC + 0.03) where it begins and ends.
    below, above
        Factors on the width that an EC of the class may lie below and above the answer.
    """

    lowest: float
    highest: float
    below: float
    above: float

    def row(self) -> list[float]:
        """Return it as a row of the student's `interval`."""
        return [self.lowest, self.highest, self.below, self.above]


def fit_classes(
    residual: Floats, width: Floats, ec: Floats, groups: NDArray[np.str_]
) -> tuple[EcClass, ...]:
    """Return the classes of held-out answers, lowest first.

    Parameters
    ----------
    residual, width
        Label minus held-out answer on log(EC + 0.03), and the width predicted there (s,).
    ec
        Labels, dS/m (s,).
    groups
        Names of what was held out together (s,).
    """
    borders = _borders(ec, groups)
    index = np.searchsorted(borders, ec, side="left")
    sizes = [np.unique(groups[index == i]).size for i in range(len(borders) + 1)]
    commonest = int(np.argmax(sizes))
    ends = [-_END, *(math.log(border + EC_SHIFT) for border in borders), _END]
    found = []
    for i in range(len(sizes)):
        rows = index == i
        ratio = residual[rows] / width[rows]
        below = above = MISSED_SHARE / 2
        if i != commonest:
            below, above = (0.0, MISSED_SHARE) if i > commonest else (MISSED_SHARE, 0.0)
        found.append(
            EcClass(
                ends[i],
                ends[i + 1],
                _factor(-ratio, groups[rows], below),
                _factor(ratio, groups[rows], above),
            )
        )
    return tuple(found)


def _borders(ec: Floats, groups: NDArray[np.str_]) -> list[float]:
    """Return the borders that leave every class `MIN_GROUPS`: classes merge with lower ones."""
    borders = list(CLASSES_DS_M)
    while borders:
        index = np.searchsorted(borders, ec, side="left")
        sizes = [np.unique(groups[index == i]).size for i in range(len(borders) + 1)]
        few = [i for i, size in enumerate(sizes) if size < MIN_GROUPS]
        if not few:
            break
        del borders[max(few[-1] - 1, 0)]
    return borders


def _factor(misses: Floats, groups: NDArray[np.str_], outside: float) -> float:
    """Return the factor on a width beyond which a new group lies with this probability.

    Parameters
    ----------
    misses
        Distance from the answer over the width, towards one end (s,).
    groups
        Names (s,).
    outside
        Probability beyond; 0 excludes nothing, as do too few groups.
    """
    order = np.argsort(misses, kind="stable")
    weights = group_weights(groups)
    # One more group, infinitely far off: the new one, in the conformal guarantee.
    reached = np.cumsum(weights[order]) >= (weights.sum() + 1.0) * (1.0 - outside) - 1e-9
    return float(misses[order][reached.argmax()]) if reached.any() else OPEN
