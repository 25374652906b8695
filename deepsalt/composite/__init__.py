"""Combining scene products on the grid of a mosaic tile.

Every layer of a scene comes through one exact coordinate map (nearest pixel), so layers stay
aligned. Per pixel of the mosaic:

- *Contributors* are the scenes with an estimate there: a finite value with both ends of its
  interval and no rejecting `basis` bit. Only they count.
- `salinity` is the weighted mean of log1p(salinity). Salinity spreads over orders of magnitude and
  its error grows with it, so means are taken where errors are comparable. A weight is the product
  of three: 1 / width**2, with width the length of the interval in log1p; `feather`, which falls to
  nearly 0 within 500 m of where the scene ends, so that borders leave no step; and, from three
  contributors on, how well the scene agrees with the others, so that a bad one hardly counts.
- `salinity_lower`, `salinity_upper` are the means of the interval's ends in log1p with the same
  weights. The interval does not shrink with the square root of the count: the model's error is
  common to all scenes, so another look at the same soil with the same model adds little.
- `disagreement` is the standard deviation of salinity between contributors, dS/m, weighted by
  1 / width**2 alone: it shall show a scene that `salinity` doubts, and not fade towards borders.
  NaN with fewer than two, since one scene says nothing about the spread.
- `observations` counts contributors; `last_observed` is the newest of their days, missing when
  none of them has a date.
- `basis` of an estimate: the advisory bits of its contributors, together. Without a contributor:
  OUTSIDE when no scene measured there, else the rejecting bits of all scenes that did.

Scenes are taken in order of their names and summed in float64, and all weights belong to pixels,
so the result depends neither on the order they are given in nor on tiles and blocks. Work goes
block by block, in smaller blocks the more scenes there are: memory does not grow with their number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.composite.combine import LOOK_BYTES, Block
from deepsalt.composite.feather import feather, feather_radius_px, ramp
from deepsalt.errors import StoreError
from deepsalt.georef import pixel_centers
from deepsalt.grid import Location, Moved, locate
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS, SCENE_LAYERS
from deepsalt.products import open_product, read_marker
from deepsalt.types import Basis, PixelGrid

STACK_BYTES = 256 * 2**20
"""Memory for the scenes' estimates of one block; many scenes make blocks smaller."""

MIN_BLOCK_PX = 64

_EPOCH = date(1970, 1, 1)
_OUTSIDE = np.uint16(Basis.OUTSIDE)
_ESTIMATES = tuple(layer for layer in SCENE_LAYERS if layer.name != "basis")


@dataclass(frozen=True, slots=True)
class _Source:
    """A product that is being gathered from, its day since the epoch and its feather's width."""

    path: Path
    ds: xr.Dataset
    grid: PixelGrid
    day: int
    radius_px: int


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
        Largest edge of the blocks the work goes by, pixels; does not change the result.

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
    sources = [_source(path) for path in sorted(products, key=lambda path: path.name)]
    shape = (tile_grid.height, tile_grid.width)
    layers = {layer.name: np.full(shape, layer.fill, layer.dtype) for layer in MOSAIC_LAYERS}
    for place, grid in _blocks(tile_grid, _block_px(block_px, len(sources))):
        block = Block((grid.height, grid.width))
        moved: Moved = {}
        for source in sources:
            found = locate(grid, source.grid, moved)
            if found is not None:
                _gather(block, source, found)
        if not block.measured.any():
            continue
        for name, values in block.layers().items():
            layers[name][place] = values
    y, x = pixel_centers(tile_grid)
    return xr.Dataset(
        {name: (("y", "x"), values) for name, values in layers.items()}, coords={"y": y, "x": x}
    )


def _source(path: Path) -> _Source:
    """Open a product; the next tile over it finds it open."""
    marker = read_marker(path)
    day = DATE_FILL if marker.day is None else (marker.day - _EPOCH).days
    return _open(path, marker.grid, day, marker.created)


@lru_cache(maxsize=64)
def _open(path: Path, grid: PixelGrid, day: int, _created: datetime) -> _Source:
    # Without Dask: a tile may itself be a Dask task, and a task that computes waits for itself.
    ds = open_product(path, chunked=False)
    return _Source(path, ds, grid, day, feather_radius_px(grid))


def _block_px(largest: int, scenes: int) -> int:
    """Return the edge of blocks whose estimates of so many scenes fit in memory."""
    size = largest
    while size > MIN_BLOCK_PX and size * size * scenes * LOOK_BYTES > STACK_BYTES:
        size //= 2
    return size


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


def _gather(block: Block, source: _Source, found: Location) -> None:
    """Add what a scene says about the pixels of a block that lie in it."""
    inside = found.rows >= 0
    rows, columns = found.rows[inside], found.columns[inside]
    window = {
        "y": slice(int(rows.min()), int(rows.max()) + 1),
        "x": slice(int(columns.min()), int(columns.max()) + 1),
    }
    wide = window["x"].stop - window["x"].start
    at = (rows - window["y"].start).astype(np.intp) * wide + (columns - window["x"].start)
    read = _read(source, window)
    # In a third of the time of an index by row and column, for all layers together.
    values = {name: layer.reshape(-1).take(at) for name, layer in read.items()}
    values["feather"] = ramp(source.radius_px)[values["feather"]]
    place = np.flatnonzero(_mask_in_block(found, inside, block.shape)).astype(np.int32)
    block.add(place, values, source.day)


def _read(source: _Source, window: dict[str, slice]) -> dict[str, NDArray[Any]]:
    """Return the layers of a scene in a window, and the squared distance to its edge, `feather`."""
    ds, radius = source.ds, source.radius_px
    try:
        values = {layer.name: ds[layer.name].isel(window).values for layer in _ESTIMATES}
        wide = _basis_around(ds["basis"], window, radius)
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"product {source.path} cannot be read ({error}); remove it and run its scene again"
        ) from error
    inner = wide[radius:-radius, radius:-radius]
    return {**values, "basis": inner, "feather": feather(wide, radius)}


def _basis_around(basis: xr.DataArray, window: dict[str, slice], radius: int) -> NDArray[np.uint16]:
    """Return `basis` in a window and around it, OUTSIDE beyond the scene's grid."""
    wide, padding = {}, []
    for axis, inner in window.items():
        wide[axis] = slice(
            max(inner.start - radius, 0), min(inner.stop + radius, basis.sizes[axis])
        )
        padding.append(
            (wide[axis].start - inner.start + radius, inner.stop + radius - wide[axis].stop)
        )
    return np.pad(basis.isel(wide).values, padding, constant_values=_OUTSIDE)


def _mask_in_block(
    found: Location, inside: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[found.window] = inside
    return mask
