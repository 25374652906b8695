"""What a quicklook shows: every pixel's kind, counted in full and reduced to a drawable size."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.georef import grid_of
from deepsalt.types import Basis, PixelGrid

MAX_EDGE_PX = 2000
"""Longest edge of the drawn raster; more would not show in a quicklook."""
BREAKS_DS_M = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Breaks, dS/m: those of the USDA salinity classes (2 to 16, for ECe: U.S. Salinity Laboratory,
Handbook 60), halved twice more, because a water extract of the same soil conducts a fifth to a
third of its saturated paste."""
_STRIP_PX = 4_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One colour of the legend: a class of salinity, or a reason for no estimate."""

    label: str
    color: str
    bits: Basis | None = None


SALINITY = (
    Kind("0 - 0.5", "#fff3c4"),
    Kind("0.5 - 1", "#fdd587"),
    Kind("1 - 2", "#fba95a"),
    Kind("2 - 4", "#ee744c"),
    Kind("4 - 8", "#cb4560"),
    Kind("8 - 16", "#8a2a72"),
    Kind("above 16", "#3f1159"),
)
REASONS = (
    Kind("cloud, cirrus", "#dde3ea", Basis.CLOUD | Basis.CIRRUS),
    Kind("cloud shadow", "#a3abb5", Basis.SHADOW),
    Kind("snow", "#c4e3ee", Basis.SNOW),
    Kind("water", "#86aed1", Basis.WATER),
    Kind("green vegetation", "#93b28c", Basis.GREEN_VEGETATION),
    Kind("dry vegetation", "#c9c3ae", Basis.DRY_VEGETATION),
    Kind("saturated, defective", "#7b756f", Basis.DEFECTIVE),
)
"""Reasons in order of precedence, where a pixel has several."""
KINDS = (*SALINITY, *REASONS)
OUTSIDE = len(KINDS)
"""Index of cells where nothing was measured."""
OUTSIDE_COLOR = "#f6f6f3"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a quicklook shows, before it is drawn.

    Parameters
    ----------
    kinds
        Index into `KINDS` per cell (h, w) uint8, one past the last where nothing was measured.
    counts
        Pixels of the mosaic per kind (k,), before coarsening.
    grid
        Grid of the cells.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]
    grid: PixelGrid


def picture_of(layers: xr.Dataset) -> Picture:
    """Reduce the layers (y, x) of one period to kinds, cropped to what was measured.

    Works in strips, so memory does not grow with the mosaic. A cell shows the kind that most of
    its pixels have.
    """
    grid = grid_of(layers.attrs)
    if "salinity" not in layers or "basis" not in layers:
        raise FormatError("a quicklook needs the layers salinity and basis")
    (top, bottom), (left, right) = _measured_window(layers, grid)
    factor = math.ceil(max(bottom - top, right - left) / MAX_EDGE_PX)
    cells, counts = [], np.zeros(OUTSIDE + 1, np.int64)
    for rows in _strips(top, bottom, right - left, factor):
        strip = layers.isel(y=rows, x=slice(left, right))
        kinds = classify(strip["salinity"].values, strip["basis"].values)
        counts += np.bincount(kinds.ravel(), minlength=OUTSIDE + 1)
        cells.append(_most_common(kinds, factor))
    kinds = np.concatenate(cells)
    a, b, c, d, e, f = grid.transform
    corner = (a * factor, b, c + a * left, d, e * factor, f + e * top)
    return Picture(kinds, counts, PixelGrid(grid.crs, corner, *kinds.shape))


def classify(salinity: NDArray[np.floating[Any]], basis: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the index into `KINDS` of each pixel, one past the last where nothing was measured."""
    kinds = np.full(basis.shape, OUTSIDE, np.uint8)
    for index, reason in reversed(list(enumerate(REASONS, start=len(SALINITY)))):
        kinds[(basis & np.uint16(reason.bits or 0)) != 0] = index
    kinds[(basis & np.uint16(Basis.OUTSIDE)) != 0] = OUTSIDE
    estimated = np.isfinite(salinity)
    kinds[estimated] = np.digitize(salinity[estimated], BREAKS_DS_M)
    return kinds


def _measured_window(
    layers: xr.Dataset, grid: PixelGrid
) -> tuple[tuple[int, int], tuple[int, int]]:
    rows = np.zeros(grid.height, np.bool_)
    columns = np.zeros(grid.width, np.bool_)
    for strip in _strips(0, grid.height, grid.width, 1):
        measured = (layers["basis"].isel(y=strip).values & np.uint16(Basis.OUTSIDE)) == 0
        rows[strip] = measured.any(axis=1)
        columns |= measured.any(axis=0)
    if not rows.any():
        return (0, grid.height), (0, grid.width)
    # A strip as narrow as a single swath would leave no room for the scale bar and the labels.
    least = max(_length(rows), _length(columns)) // 2
    return _span(rows, least), _span(columns, least)


def _length(flags: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(flags)
    return int(places[-1] - places[0]) + 1


def _span(flags: NDArray[np.bool_], least: int) -> tuple[int, int]:
    """Return the window of the flags that are set, with a margin and at least so long if it can."""
    length = _length(flags)
    margin = max(1, length // 50, (least - length) // 2)
    first = int(np.flatnonzero(flags)[0])
    return max(0, first - margin), min(flags.size, first + length + margin)


def _strips(start: int, stop: int, width: int, factor: int) -> Iterator[slice]:
    step = max(1, _STRIP_PX // (width * factor)) * factor
    for row in range(start, stop, step):
        yield slice(row, min(row + step, stop))


def _most_common(kinds: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return kinds
    height, width = (-(-size // factor) for size in kinds.shape)
    pad = [(0, height * factor - kinds.shape[0]), (0, width * factor - kinds.shape[1])]
    blocks = np.pad(kinds, pad, mode="edge").reshape(height, factor, width, factor)
    votes = np.stack([(blocks == kind).sum(axis=(1, 3)) for kind in range(OUTSIDE + 1)])
    winners: NDArray[np.uint8] = votes.argmax(axis=0).astype(np.uint8)
    return winners
