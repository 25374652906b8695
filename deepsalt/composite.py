"""Combining scene products on the grid of a mosaic tile.

Every layer of a scene comes through one exact coordinate map (nearest pixel), so layers stay
aligned. Per pixel of the mosaic:

- *Contributors* are the scenes with an estimate there: a finite value with both ends of its
  interval and no rejecting `basis` bit. Only they count.
- `salinity` is the weighted mean of log1p(salinity), weight 1 / width**2 with width the length of
  the interval in log1p. Salinity spreads over orders of magnitude and its error grows with it, so
  means are taken where errors are comparable.
- `salinity_lower`, `salinity_upper` are the weighted means of the interval's ends in log1p. The
  interval does not shrink with the square root of the count: the model's error is common to all
  scenes, so another look at the same soil with the same model adds little.
- `disagreement` is the weighted standard deviation of salinity between contributors, dS/m; NaN
  with fewer than two, since one scene says nothing about the spread.
- `observations` counts contributors; `last_observed` is the newest of their days, missing when
  none of them has a date.
- `basis` of an estimate: the advisory bits of its contributors, together. Without a contributor:
  OUTSIDE when no scene measured there, else the rejecting bits of all scenes that did.

Scenes are taken in order of their names and summed in float64, so the result depends neither on
the order they are given in nor on tiles and blocks. Work goes block by block: memory does not grow
with the number of scenes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import StoreError
from deepsalt.georef import pixel_centers
from deepsalt.grid import Location, locate
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS, SCENE_LAYERS
from deepsalt.products import open_product, read_marker
from deepsalt.types import REJECTING, Basis, PixelGrid

MIN_WIDTH = 0.02
"""Shortest interval, in log1p(dS/m), that weights believe: about 2 %, finer than any salinity
measurement, so that a degenerate interval cannot silence all other scenes."""

_EPOCH = date(1970, 1, 1)
_REJECTING = np.uint16(REJECTING)
_OUTSIDE = np.uint16(Basis.OUTSIDE)


@dataclass(frozen=True, slots=True)
class _Source:
    """A product that is being gathered from, and its day since the epoch."""

    path: Path
    ds: xr.Dataset
    grid: PixelGrid
    day: int


def composite(
    products: Sequence[Path], tile_grid: PixelGrid, *, block_px: int = 1024
) -> xr.Dataset:
    """Combine scene products on the grid of a tile.

    Parameters
    ----------
    products
        Complete products, in any order.
    tile_grid
        Pixels to fill.
    block_px
        Edge of the blocks the work goes by, pixels; does not change the result.

    Returns
    -------
    xr.Dataset
        `MOSAIC_LAYERS` (y, x) in memory, with coordinates y and x.

    Raises
    ------
    StoreError
        A product is unfinished or unreadable.
    GridError
        A scene reaches beyond where the tile's CRS is defined.
    """
    sources = [_open(path) for path in sorted(products, key=lambda path: path.name)]
    shape = (tile_grid.height, tile_grid.width)
    layers = {layer.name: np.full(shape, layer.fill, layer.dtype) for layer in MOSAIC_LAYERS}
    for block, grid in _blocks(tile_grid, block_px):
        sums = _Sums((grid.height, grid.width))
        for source in sources:
            _gather(sums, source, grid)
        for name, values in sums.layers().items():
            layers[name][block] = values
    y, x = pixel_centers(tile_grid)
    return xr.Dataset(
        {name: (("y", "x"), values) for name, values in layers.items()}, coords={"y": y, "x": x}
    )


def _open(path: Path) -> _Source:
    marker = read_marker(path)
    day = DATE_FILL if marker.day is None else (marker.day - _EPOCH).days
    # Without Dask: a tile may itself be a Dask task, and a task that computes waits for itself.
    return _Source(path, open_product(path, chunked=False), marker.grid, day)


def _blocks(grid: PixelGrid, size: int) -> Iterator[tuple[tuple[slice, slice], PixelGrid]]:
    a, b, c, d, e, f = grid.transform
    for row in range(0, grid.height, size):
        for column in range(0, grid.width, size):
            height, width = min(size, grid.height - row), min(size, grid.width - column)
            corner = (a, b, c + a * column, d, e, f + e * row)
            yield (
                (slice(row, row + height), slice(column, column + width)),
                PixelGrid(grid.crs, corner, height, width),
            )


def _gather(sums: "_Sums", source: _Source, grid: PixelGrid) -> None:
    """Add what a scene says about the pixels of a block."""
    found = locate(grid, source.grid)
    if found is None:
        return
    inside = found.rows >= 0
    rows, columns = found.rows[inside], found.columns[inside]
    window = {
        "y": slice(int(rows.min()), int(rows.max()) + 1),
        "x": slice(int(columns.min()), int(columns.max()) + 1),
    }
    at = (rows - window["y"].start, columns - window["x"].start)
    values = {name: layer[at] for name, layer in _read(source, window).items()}
    place = np.flatnonzero(_mask_in_block(found, inside, sums.shape))
    sums.add(place, values, source.day)


def _read(source: _Source, window: dict[str, slice]) -> dict[str, NDArray[Any]]:
    ds = source.ds.isel(window)
    try:
        return {layer.name: ds[layer.name].values for layer in SCENE_LAYERS}
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"product {source.path} cannot be read ({error}); remove it and run its scene again"
        ) from error


def _mask_in_block(
    found: Location, inside: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[found.window] = inside
    return mask


class _Sums:
    """Accumulators over the scenes of one block, flat over its pixels."""

    def __init__(self, shape: tuple[int, int]) -> None:
        n = shape[0] * shape[1]
        self.shape = shape
        self.weight, self.value, self.lower, self.upper = np.zeros((4, n))
        # Spread is summed relative to the first contributor: equal values then differ by exactly 0.
        self.first, self.shift, self.shift2 = np.zeros((3, n))
        self.count, self.advice, self.reasons = np.zeros((3, n), np.uint16)
        self.last = np.full(n, DATE_FILL, np.int32)
        self.measured = np.zeros(n, np.bool_)

    def add(self, place: NDArray[np.intp], values: dict[str, NDArray[Any]], day: int) -> None:
        """Add one scene: values of its layers (m) at flat pixel indices `place` (m), each once."""
        basis = values["basis"]
        ends = [values[name] for name in ("salinity", "salinity_lower", "salinity_upper")]
        counts = (basis & _REJECTING == 0) & np.isfinite(ends).all(axis=0) & (ends[1] > -1)
        measured = basis & _OUTSIDE == 0
        # A pixel without an estimate and without a reason can only be a defect.
        reason = np.where(basis & _REJECTING == 0, np.uint16(Basis.DEFECTIVE), basis & _REJECTING)
        seen = measured & ~counts
        self.measured[place[measured]] = True
        self.reasons[place[seen]] |= reason[seen]
        self._add_estimates(place[counts], [end[counts].astype(np.float64) for end in ends])
        at = place[counts]
        self.advice[at] |= basis[counts] & ~_REJECTING
        self.last[at] = np.maximum(self.last[at], day)

    def _add_estimates(self, at: NDArray[np.intp], ends: list[NDArray[np.float64]]) -> None:
        salinity = ends[0]
        value, lower, upper = (np.log1p(end) for end in ends)
        weight = np.maximum(upper - lower, MIN_WIDTH) ** -2
        self.weight[at] += weight
        self.value[at] += weight * value
        self.lower[at] += weight * lower
        self.upper[at] += weight * upper
        self.first[at] = np.where(self.count[at] == 0, salinity, self.first[at])
        shift = salinity - self.first[at]
        self.shift[at] += weight * shift
        self.shift2[at] += weight * shift**2
        self.count[at] += np.uint16(1)

    def layers(self) -> dict[str, NDArray[Any]]:
        """Return `MOSAIC_LAYERS` (h, w)."""
        estimated = self.count > 0
        weight = np.where(estimated, self.weight, np.nan)
        salinity = np.expm1(self.value / weight)
        variance = self.shift2 / weight - (self.shift / weight) ** 2
        spread = np.sqrt(np.maximum(variance, 0.0))
        unseen = np.where(self.measured, self.reasons, _OUTSIDE)
        flat = {
            "salinity": salinity,
            # Rounding must not put an end of the interval on the wrong side.
            "salinity_lower": np.minimum(np.expm1(self.lower / weight), salinity),
            "salinity_upper": np.maximum(np.expm1(self.upper / weight), salinity),
            "basis": np.where(estimated, self.advice, unseen),
            "observations": self.count,
            "last_observed": self.last,
            "disagreement": np.where(self.count > 1, spread, np.nan),
        }
        return {
            layer.name: flat[layer.name].astype(layer.dtype).reshape(self.shape)
            for layer in MOSAIC_LAYERS
        }
