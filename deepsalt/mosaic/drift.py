"""How far the tiles of a build are from what they were, and whether that is plausible.

Three figures. *Lost*: of the cells with an estimate before, how many have none now. *Shift*: by
which factor the distribution of salinity moved, over the cells that have an estimate before and now
and that other scenes made; cells that no new scene touched would hide it. Both are taken tile by
tile, the worst counts, so a broken scene among forty good ones is found. *Missing*: of the cells
measured in the tiles composed anew, how many have no estimate; it is compared with the last
versions, since some regions are green all summer, and needs several scenes, since one may be all
clouds.

New ground has neither lost nor shifted, so a first version or a new area is never held for them.
Of 50 honest versions of two simulated regions, with seasons of a factor of 1.4 and clouds of any
share, none is held, with one mosaic or one a month (`tests/mosaic/test_drift.py`). A scene that is
ten times too high moves a tile of one scene by 3.2, and one of three scenes or more by less than
1.5, since compositing hardly counts it. The figures take a twentieth of the time of composing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.types import Report
from deepsalt.validate import Limits

LEAST_SHARE = 0.01
"""Cells of a tile, as a share of it, without which its figures mean nothing."""
LEAST_SCENES = 5
"""Scenes of the composed tiles without which the share that is missing is that of their clouds."""
LEAST_VERSIONS = 5
"""Versions without which nothing is usual."""

_FLOOR_DS_M = 0.5  # differences below the lowest break of the map are of no use to anyone
_PER_OCTAVE = 16
_BINS = 10 * _PER_OCTAVE + 1  # up to 512 dS/m, more than a brine has
_LEAST_JUMP = 0.5  # a month of plants after a bare one is honest
_SPREADS = 5.0
_USUAL_SHIFTS = 3.0


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of the cells of a tile.

    Parameters
    ----------
    estimated
        Cells with an estimate before.
    lost
        Those of them without one now.
    before, after
        Cells with an estimate before and now that differ, per class of salinity (`_BINS`,) uint32.
    """

    estimated: int
    lost: int
    before: NDArray[np.uint32] = field(repr=False)
    after: NDArray[np.uint32] = field(repr=False)

    @classmethod
    def none(cls) -> Self:
        """Return that of no cells."""
        return cls(0, 0, np.zeros(_BINS, np.uint32), np.zeros(_BINS, np.uint32))

    @classmethod
    def of(cls, before: NDArray[np.float32], after: NDArray[np.float32]) -> Self:
        """Compare salinity before and now (y, x), dS/m."""
        known = np.isfinite(before)
        changed = known & np.isfinite(after) & (before != after)
        lost = known & ~np.isfinite(after)
        return cls(
            int(np.count_nonzero(known)),
            int(np.count_nonzero(lost)),
            _histogram(before[changed]),
            _histogram(after[changed]),
        )

    def __add__(self, other: "Drift") -> "Drift":
        """Return that of both."""
        return Drift(
            self.estimated + other.estimated,
            self.lost + other.lost,
            self.before + other.before,
            self.after + other.after,
        )

    @property
    def changed(self) -> int:
        """Cells that differ."""
        return int(self.before.sum())

    @property
    def shift(self) -> float:
        """The factor by which the distribution moved, at least 1."""
        if not self.changed:
            return 1.0
        apart = np.cumsum(self.before.astype(np.int64) - self.after.astype(np.int64))
        return float(2.0 ** (np.abs(apart).sum() / self.changed / _PER_OCTAVE))


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a version, and compared with others.

    Parameters
    ----------
    lost
        The greatest share of a tile's cells that lost their estimate, 0 to 1.
    shift
        The greatest factor by which a tile's distribution moved, at least 1.
    missing
        Share of the measured cells of the composed tiles without an estimate, 0 to 1; NaN with few
        scenes or cells.
    """

    lost: float
    shift: float
    missing: float

    @classmethod
    def of(cls, tiles: Sequence[tuple[Report, Drift]], tile_cells: int, scenes: int) -> Self:
        """Return the figures of composed tiles, each of so many cells, made of so many scenes."""
        least = LEAST_SHARE * tile_cells
        drifts = [drift for _, drift in tiles]
        lost = [each.lost / each.estimated for each in drifts if each.estimated >= least]
        shifts = [each.shift for each in drifts if each.changed >= least]
        measured = sum(r.pixels - dict(r.by_flag).get("outside", 0) for r, _ in tiles)
        estimated = sum(report.estimated for report, _ in tiles)
        enough = scenes >= LEAST_SCENES and measured >= least
        return cls(
            round(max(lost, default=0.0), 4),
            round(max(shifts, default=1.0), 4),
            round(1 - estimated / measured, 4) if enough else math.nan,
        )

    def to_dict(self) -> dict[str, float | None]:
        """Return it as JSON values."""
        missing = None if math.isnan(self.missing) else self.missing
        return {"lost": self.lost, "shift": self.shift, "missing": missing}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_dict` described."""
        missing = found["missing"]
        return cls(found["lost"], found["shift"], math.nan if missing is None else missing)


def unlike(found: Figures, before: Sequence[Figures], limits: Limits) -> str:
    """Return what makes a version unlike those before; empty if nothing does.

    Parameters
    ----------
    found
        Its figures.
    before
        Those of the last versions.
    limits
        Limits beyond which a version is held.
    """
    return "; ".join(_unlike(found, before, limits))


def _unlike(found: Figures, before: Sequence[Figures], limits: Limits) -> Iterator[str]:
    usual_lost = median([each.lost for each in before] or [0.0])
    if found.lost > limits.max_lost:
        yield (
            f"{found.lost:.0%} of a tile's estimates are lost, usually {usual_lost:.0%}, at most "
            f"{limits.max_lost:.0%}"
        )
    usual_shift = median([each.shift for each in before] or [1.0])
    # A region whose seasons move it far, and whose versions people published, may do so again.
    most = max(limits.max_shift, usual_shift**_USUAL_SHIFTS)
    if found.shift > most:
        yield (
            f"salinity of a tile moved by a factor of {found.shift:.1f}, usually "
            f"{usual_shift:.1f}, at most {most:.1f}"
        )
    known = [each.missing for each in before if not math.isnan(each.missing)]
    if len(known) < LEAST_VERSIONS or limits.max_lost >= 1:
        return
    usual = median(known)
    spread = median(abs(each - usual) for each in known)
    highest = usual + max(_LEAST_JUMP, _SPREADS * spread)
    if found.missing > highest:
        yield (
            f"{found.missing:.0%} of the cells measured have no estimate, usually {usual:.0%}, at "
            f"most {highest:.0%}"
        )


def _histogram(salinity: NDArray[np.float32]) -> NDArray[np.uint32]:
    octaves = np.log2(np.maximum(salinity, np.float32(_FLOOR_DS_M)) / np.float32(_FLOOR_DS_M))
    bins = np.minimum(octaves * _PER_OCTAVE, _BINS - 1).astype(np.uint8)
    return np.bincount(bins, minlength=_BINS).astype(np.uint32)
