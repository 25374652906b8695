"""What the pixels of a tile must hold: contradictions, missing estimates, range."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.types import REJECTING, Basis
from deepsalt.validate.findings import Finding

_KNOWN_BITS = np.uint16(sum(int(bit) for bit in Basis))
_REJECTING = np.uint16(REJECTING)
_OUTSIDE = np.uint16(Basis.OUTSIDE)
_EXPLAINED = np.uint16(REJECTING & ~Basis.DEFECTIVE)

_ROUNDING = 1e-5  # of float32 through logarithm and back
_MIN_SHARE = 0.01
"""Share of a tile that has to be measured before its own shares say anything: not a sliver of a
scene's edge."""


def check_pixels(
    ds: xr.Dataset,
    layout: Layout,
    manifest: TileManifest,
    *,
    ceiling_ds_m: float,
    max_missing: float,
    max_defective: float,
) -> Iterator[Finding]:
    """Read what a tile of a mosaic holds, shard by shard, and check its values.

    Parameters
    ----------
    ds
        The mosaic, not chunked, its dates as numbers.
    layout, manifest
        Where the tile lies.
    ceiling_ds_m
        Largest value of salinity and its interval, dS/m.
    max_missing, max_defective
        As in `Limits`.
    """
    where = f"tile {manifest.tile.id} of period {manifest.period}"
    layers = ds.isel(period=layout.periods.index(manifest.period))
    wrong: Counter[tuple[str, str]] = Counter()
    seen = _Seen(layout.region(manifest.tile).shape)
    try:
        for region in layout.filled(manifest):
            place = {"y": slice(*region.y), "x": slice(*region.x)}
            part = {layer.name: layers[layer.name].isel(place).values for layer in MOSAIC_LAYERS}
            for check, found, pixels in _contradictions(part, ceiling_ds_m * (1 + _ROUNDING)):
                wrong[check, found] += int(np.count_nonzero(pixels))
            seen.add(part)
    except (OSError, ValueError, RuntimeError) as error:
        # Decoding a damaged shard; its checksum is reported by itself.
        yield Finding(
            "error", "values", where, f"the pixels cannot be read ({error})", "build again"
        )
        return
    for (check, found), count in wrong.items():
        if count:
            yield Finding("error", check, where, f"{count} pixels {found}", "build again")
    yield from _shares(seen, where, max_missing=max_missing, max_defective=max_defective)


def _contradictions(
    part: Mapping[str, NDArray[Any]], ceiling: float
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield what must never hold, with the pixels where it does."""
    salinity, basis, count = part["salinity"], part["basis"], part["observations"]
    lower, upper = part["salinity_lower"], part["salinity_upper"]
    estimated = np.isfinite(salinity)
    ends = np.isfinite(lower) & np.isfinite(upper)
    rejected = (basis & _REJECTING) != 0
    above = np.maximum(salinity, upper) > ceiling
    yield "interval", "have an estimate without an interval or the reverse", estimated != ends
    yield "interval", "lie outside their interval", (lower > salinity) | (salinity > upper)
    yield "range", "have negative salinity", np.minimum(salinity, lower) < 0
    yield "range", f"are above {ceiling:.4g} dS/m", above
    yield "values", "have an estimate although basis rejects them", estimated & rejected
    yield "missing", "have no estimate and no reason in basis", ~estimated & ~rejected
    yield "values", "have unknown bits in basis", (basis & ~_KNOWN_BITS) != 0
    yield "values", "have an estimate but no observation or the reverse", estimated != (count > 0)
    undated = part["last_observed"] == DATE_FILL
    yield "values", "have a date without an observation", ~undated & (count == 0)
    spread = np.isfinite(part["disagreement"])
    yield "values", "disagree without two observations", spread != (count > 1)


class _Seen:
    """Pixels of a tile that a scene measured, and those without an estimate."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.pixels = shape[0] * shape[1]
        self.measured = self.missing = self.defective = 0

    def add(self, part: Mapping[str, NDArray[Any]]) -> None:
        basis = part["basis"]
        measured = (basis & _OUTSIDE) == 0
        missing = measured & ~np.isfinite(part["salinity"])
        self.measured += int(np.count_nonzero(measured))
        self.missing += int(np.count_nonzero(missing))
        self.defective += int(np.count_nonzero(missing & ((basis & _EXPLAINED) == 0)))


def _shares(
    seen: _Seen, where: str, *, max_missing: float, max_defective: float
) -> Iterator[Finding]:
    """Yield which share of the measured pixels has no estimate, and whether that can be."""
    count = seen.measured
    if not count:
        yield Finding("info", "missing", where, "no scene measured any pixel")
        return
    share, defective = seen.missing / count, seen.defective / count
    said = f"{share:.1%} of {count} measured pixels have no estimate"
    enough = count >= _MIN_SHARE * seen.pixels
    if enough and defective > max_defective:
        yield Finding(
            "error",
            "missing",
            where,
            f"{defective:.1%} of {count} measured pixels have no estimate without a reason in "
            f"clouds, water or plants, more than {max_defective:.1%}",
            "look at the scenes over the tile and withdraw the broken ones",
        )
    if enough and share > max_missing:
        advice = "add scenes, or allow more (--max-missing)"
        yield Finding("error", "missing", where, f"{said}, more than {max_missing:.1%}", advice)
    elif enough and share == 1:
        yield Finding(
            "warning", "missing", where, "no measured pixel has an estimate", "add scenes"
        )
    else:
        yield Finding("info", "missing", where, said)
