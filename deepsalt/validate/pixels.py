"""What the pixels of a tile must hold: contradictions, missing estimates, range."""

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
    """Read a tile of a mosaic and check its values.

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
    region = layout.region(manifest.tile)
    index = layout.periods.index(manifest.period)
    place = {"period": index, "y": slice(*region.y), "x": slice(*region.x)}
    try:
        tile = {layer.name: ds[layer.name].isel(place).values for layer in MOSAIC_LAYERS}
    except (OSError, ValueError, RuntimeError) as error:
        # Decoding a damaged shard; its checksum is reported by itself.
        yield Finding(
            "error", "values", where, f"the pixels cannot be read ({error})", "build again"
        )
        return
    for check, found, pixels in _contradictions(tile, ceiling_ds_m * (1 + _ROUNDING)):
        if count := int(np.count_nonzero(pixels)):
            yield Finding("error", check, where, f"{count} pixels {found}", "build again")
    yield from _shares(tile, where, max_missing=max_missing, max_defective=max_defective)


def _contradictions(
    tile: Mapping[str, NDArray[Any]], ceiling: float
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield what must never hold, with the pixels where it does."""
    salinity, basis, count = tile["salinity"], tile["basis"], tile["observations"]
    lower, upper = tile["salinity_lower"], tile["salinity_upper"]
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
    undated = tile["last_observed"] == DATE_FILL
    yield "values", "have a date without an observation", ~undated & (count == 0)
    spread = np.isfinite(tile["disagreement"])
    yield "values", "disagree without two observations", spread != (count > 1)


def _shares(
    tile: Mapping[str, NDArray[Any]], where: str, *, max_missing: float, max_defective: float
) -> Iterator[Finding]:
    """Yield which share of the measured pixels has no estimate, and whether that can be."""
    basis, estimated = tile["basis"], np.isfinite(tile["salinity"])
    measured = (basis & _OUTSIDE) == 0
    count = int(measured.sum())
    if not count:
        yield Finding("info", "missing", where, "no scene measured any pixel")
        return
    missing = measured & ~estimated
    share = missing.sum() / count
    defective = (missing & ((basis & _EXPLAINED) == 0)).sum() / count
    said = f"{share:.1%} of {count} measured pixels have no estimate"
    enough = count >= _MIN_SHARE * measured.size
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
