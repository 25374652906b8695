"""Checks of a tile's pixels: contradictions, missing estimates, range."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import PixelWindow
from deepsalt.layers import CERTAIN, CHANCE, CHANCE_FILL, DATE_FILL
from deepsalt.store.arrays import Array
from deepsalt.types import REJECTING, QualityFlag
from deepsalt.validate.findings import Finding
from deepsalt.validate.limits import MAX_SALINITY_DS_M, Limits

_KNOWN_BITS = np.uint16(sum(int(bit) for bit in QualityFlag))
_REJECTING = np.uint16(REJECTING)
_OUTSIDE = np.uint16(QualityFlag.OUTSIDE)
_EXPLAINED = np.uint16(REJECTING & ~QualityFlag.DEFECTIVE)

_ROUNDING = 1e-5  # of float32 through logarithm and back
_MIN_SHARE = 0.01
"""Minimum measured share of a tile for its own shares to be meaningful, unlike a sliver of a
scene's edge."""


def check_pixels(
    arrays: Mapping[str, Array],
    slot: int,
    regions: Iterable[PixelWindow],
    limits: Limits,
    *,
    where: str,
    pixels: int,
) -> Iterator[Finding]:
    """Read a tile of a mosaic, shard by shard, and check its values and checksums.

    Parameters
    ----------
    arrays
        `MOSAIC_LAYERS` with their period.
    slot
        Of the tile's period.
    regions
        Shards of the tile with data.
    limits
        Limits beyond which values are wrong.
    where
        Name of the tile, for findings.
    pixels
        Of the whole tile.
    """
    ceiling_ds_m = limits.max_salinity_ds_m or MAX_SALINITY_DS_M
    wrong: Counter[tuple[str, str]] = Counter()
    counts = _PixelCounts(pixels)
    try:
        # All layers of a shard wait for the server together.
        with ThreadPoolExecutor(len(arrays)) as pool:
            for region in regions:
                place = (slot, ..., slice(*region.y), slice(*region.x))
                reads = {
                    name: pool.submit(array.__getitem__, place) for name, array in arrays.items()
                }
                part = {name: np.asarray(read.result()) for name, read in reads.items()}
                for check, found, amiss in _contradictions(part, ceiling_ds_m * (1 + _ROUNDING)):
                    wrong[check, found] += int(np.count_nonzero(amiss))
                counts.add(part)
    except (ValueError, RuntimeError) as error:  # a wrong checksum, or undecodable data
        found = f"the pixels cannot be read ({error})"
        yield Finding("error", "checksums", where, found, "run `deepsalt mosaic repair`")
        return
    for (check, found), count in wrong.items():
        if count:
            yield Finding("error", check, where, f"{count} pixels {found}", "build again")
    yield from _shares(counts, where, limits)


def _contradictions(
    part: Mapping[str, NDArray[Any]], ceiling: float
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield violations, with their pixels."""
    salinity = part["salinity"]
    quality_flags = part["quality_flags"]
    count = part["observations"]
    lower, upper = part["salinity_lower"], part["salinity_upper"]
    estimated = np.isfinite(salinity)
    ends = np.isfinite(lower) & np.isfinite(upper)
    rejected = (quality_flags & _REJECTING) != 0
    above = np.maximum(salinity, upper) > ceiling
    yield "interval", "have an estimate without an interval or the reverse", estimated != ends
    yield "interval", "lie outside their interval", (lower > salinity) | (salinity > upper)
    yield "range", "have negative salinity", np.minimum(salinity, lower) < 0
    yield "range", f"are above {ceiling:.4g} dS/m", above
    yield "values", "have an estimate although quality_flags rejects them", estimated & rejected
    yield "missing", "have no estimate and no reason in quality_flags", ~estimated & ~rejected
    yield "values", "have unknown bits in quality_flags", (quality_flags & ~_KNOWN_BITS) != 0
    yield "values", "have an estimate but no observation or the reverse", estimated != (count > 0)
    chances = part[CHANCE]
    known = (chances != CHANCE_FILL) == estimated
    yield "chances", "have an estimate without a probability or the reverse", ~known.all(axis=0)
    rising = np.asarray((chances[1:] > chances[:-1]).any(axis=0))
    yield "chances", "have a probability that rises with its threshold", rising
    beyond = np.asarray((chances > CERTAIN).any(axis=0)) & estimated
    yield "chances", "have a probability above 1", beyond
    undated = part["last_observed"] == DATE_FILL
    yield "values", "have a date without an observation", ~undated & (count == 0)
    spread = np.isfinite(part["disagreement"])
    yield "values", "disagree without two observations", spread != (count > 1)


class _PixelCounts:
    """Pixels of a tile that a scene measured, and those without an estimate."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.measured = self.missing = self.defective = 0

    def add(self, part: Mapping[str, NDArray[Any]]) -> None:
        quality_flags = part["quality_flags"]
        measured = (quality_flags & _OUTSIDE) == 0
        missing = measured & ~np.isfinite(part["salinity"])
        self.measured += int(np.count_nonzero(measured))
        self.missing += int(np.count_nonzero(missing))
        self.defective += int(np.count_nonzero(missing & ((quality_flags & _EXPLAINED) == 0)))


def _shares(counts: _PixelCounts, where: str, limits: Limits) -> Iterator[Finding]:
    """Yield the share of measured pixels without an estimate, and whether it is plausible."""
    count = counts.measured
    if not count:
        yield Finding("info", "missing", where, "no scene measured any pixel")
        return
    share = counts.missing / count
    defective = counts.defective / count
    said = f"{share:.1%} of {count} measured pixels have no estimate"
    enough = count >= _MIN_SHARE * counts.pixels
    if enough and defective > limits.max_defective:
        yield Finding(
            "error",
            "missing",
            where,
            f"{defective:.1%} of {count} measured pixels have no estimate without a reason in "
            f"clouds, water or plants, more than {limits.max_defective:.1%}",
            "look at the scenes over the tile and withdraw the broken ones",
        )
    if enough and share > limits.max_missing:
        advice = "add scenes, or allow more (--max-missing)"
        said = f"{said}, more than {limits.max_missing:.1%}"
        yield Finding("error", "missing", where, said, advice)
    elif enough and share == 1:
        yield Finding(
            "warning", "missing", where, "no measured pixel has an estimate", "add scenes"
        )
    else:
        yield Finding("info", "missing", where, said)
