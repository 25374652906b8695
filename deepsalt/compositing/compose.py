"""Scene products over a grid, gathered part by part and combined in blocks that fit the memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.compositing.combine import CONTRIBUTION_BYTES, Accumulators
from deepsalt.compositing.feather import feather, feather_radius_px, ramp
from deepsalt.grid import Location, Moved, ground_size_m, locate
from deepsalt.grid.georef import pixel_centers
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS, SCENE_LAYERS, THRESHOLD, THRESHOLDS_DS_M
from deepsalt.products import damaged, product_layers
from deepsalt.store import Store
from deepsalt.store.arrays import Array
from deepsalt.types import PixelGrid, QualityFlag

STACK_BYTES = 256 * 2**20
"""Memory for what the scenes say about one block; many scenes make blocks smaller."""

PLACE_BYTES = 4
SCENE_BYTES = 16 + 2 * len(THRESHOLDS_DS_M)
"""Memory of one `_View` per pixel of the mosaic, and per pixel of the scene."""

PART_PX = 256
"""Edge of the parts that a block is summed in: their sums stay in the cache of a core."""

MIN_BLOCK_PX = 64

_EPOCH = date(1970, 1, 1)
_OUTSIDE = np.uint16(QualityFlag.OUTSIDE)
_ESTIMATES = tuple(layer for layer in SCENE_LAYERS if layer.name != "quality_flags")


@dataclass(frozen=True, slots=True)
class _ProductSource:
    """A product that is being gathered from.

    Parameters
    ----------
    store, name
        Which product.
    arrays, grid
        Its layers, their grid.
    day
        Day since the epoch.
    radius_px
        Width of its feather, pixels.
    pixel_m2
        Ground that one of its pixels covers, m².
    """

    store: Store
    name: str
    arrays: dict[str, Array]
    grid: PixelGrid
    day: int
    radius_px: int
    pixel_m2: float


_Window = tuple[slice, slice]
"""Rows and columns of a block or a tile."""


@dataclass(frozen=True, slots=True)
class _View:
    """Data of a scene in a block.

    Parameters
    ----------
    window
        Rows and columns of the block that the scene may cover.
    at
        Where each pixel of the window is found in the layers, -1 outside the scene.
    layers
        Layers of the scene around the block (..., n), and the squared distances `feather`.
    ramp
        Weight by squared distance.
    day
        Day since the epoch.
    """

    window: _Window
    at: NDArray[np.int32]
    layers: dict[str, NDArray[Any]]
    ramp: NDArray[np.float64]
    day: int


def composite(
    store: Store, products: Sequence[str], tile_grid: PixelGrid, *, block_px: int = 1024
) -> xr.Dataset:
    """Combine scene products on the grid of a tile.

    Parameters
    ----------
    store
        The store.
    products
        Names of complete products, in any order.
    tile_grid
        Pixels to fill.
    block_px
        Largest edge of the blocks the work goes by, pixels; does not change the result.

    Returns
    -------
    xr.Dataset
        `MOSAIC_LAYERS` as stored, in memory, with coordinates y, x and threshold.

    Raises
    ------
    StoreError
        A product is not complete, damaged or unreadable.
    GridError
        A scene reaches beyond where the tile's CRS is defined.

    Examples
    --------
    >>> import deepsalt
    >>> store, scene = deepsalt.Store.open("store"), deepsalt.read_acquisition("enmap-scene")
    >>> with deepsalt.Context.local() as context:
    ...     report = deepsalt.map_scene(scene, store, context)
    >>> int(deepsalt.composite(store, [report.product], scene.grid).observations.max())
    1
    """
    found = composite_measured(store, products, tile_grid, block_px=block_px)
    return _dataset(_unmeasured(tile_grid), tile_grid) if found is None else found


def composite_measured(
    store: Store,
    products: Sequence[str],
    grid: PixelGrid,
    *,
    block_px: int = 1024,
    build: str = "",
) -> xr.Dataset | None:
    """Do the same as `composite`, but return None if no scene measured anything.

    For a `build`, whether all objects of a product are there is looked at once.
    """
    sources = [_source(store, name, build) for name in sorted(products)]
    layers = dict[str, NDArray[Any]]()
    for place in _cuts(grid.height, grid.width, _block_px(block_px, grid, sources)):
        for part, found in _parts(grid.window(*place), sources):
            layers = layers or _unmeasured(grid)
            for name, values in found.items():
                layers[name][..., *place][..., *part] = values
    return _dataset(layers, grid) if layers else None


def _unmeasured(grid: PixelGrid) -> dict[str, NDArray[Any]]:
    return {
        layer.name: np.full(layer.shape(grid.height, grid.width), layer.fill, layer.dtype)
        for layer in MOSAIC_LAYERS
    }


def _dataset(layers: dict[str, NDArray[Any]], grid: PixelGrid) -> xr.Dataset:
    y, x = pixel_centers(grid)
    return xr.Dataset(
        {layer.name: (layer.dims, layers[layer.name]) for layer in MOSAIC_LAYERS},
        coords={THRESHOLD: np.array(THRESHOLDS_DS_M), "y": y, "x": x},
    )


def _parts(
    grid: PixelGrid, sources: Sequence[_ProductSource]
) -> Iterator[tuple[_Window, dict[str, NDArray[Any]]]]:
    """Yield the parts of a block in which a scene measured something, with their layers."""
    views = list(_views(grid, sources))
    for part in _cuts(grid.height, grid.width, PART_PX) if views else ():
        block = Accumulators((part[0].stop - part[0].start, part[1].stop - part[1].start))
        for view in views:
            _gather(block, view, part)
        if block.measured.any():
            yield part, block.layers()


def _source(store: Store, name: str, build: str) -> _ProductSource:
    # Without Dask: a tile may itself be a Dask task, and a task that computes waits for itself.
    marker, arrays = product_layers(store, name, build)
    grid = marker.grid
    day = DATE_FILL if marker.day is None else (marker.day - _EPOCH).days
    pixel_m2 = math.prod(ground_size_m(grid))
    return _ProductSource(store, name, arrays, grid, day, feather_radius_px(grid), pixel_m2)


def _block_px(largest: int, tile_grid: PixelGrid, sources: Sequence[_ProductSource]) -> int:
    """Return the edge of blocks for which what the scenes say about one fits in memory."""
    # As the CRS counts: the middle of a tile may lie where its CRS is not defined.
    cell_m2 = abs(tile_grid.transform[0] * tile_grid.transform[4])
    view = sum(PLACE_BYTES + SCENE_BYTES * cell_m2 / source.pixel_m2 for source in sources)
    contributions = len(sources) * CONTRIBUTION_BYTES
    size = largest
    while (
        size > MIN_BLOCK_PX
        and view * size**2 + contributions * min(size, PART_PX) ** 2 > STACK_BYTES
    ):
        size //= 2
    return size


def _cuts(height: int, width: int, size: int) -> Iterator[_Window]:
    for row in range(0, height, size):
        for column in range(0, width, size):
            yield (
                slice(row, min(row + size, height)),
                slice(column, min(column + size, width)),
            )


def _views(grid: PixelGrid, sources: Sequence[_ProductSource]) -> Iterator[_View]:
    """Read what the scenes say about a block, those that do."""
    moved: Moved = {}
    for source in sources:
        found = locate(grid, source.grid, moved)
        if found is not None:
            yield view_of(source, found)


def view_of(source: _ProductSource, found: Location) -> _View:
    """Return what of a product lies over a block, and where."""
    # Outside both are -1: of those without a sign the largest there is.
    firsts = [int(each.view(np.uint32).min()) for each in (found.rows, found.columns)]
    lasts = int(found.rows.max()), int(found.columns.max())
    rows, columns = (slice(first, last + 1) for first, last in zip(firsts, lasts, strict=True))
    at = (found.rows - rows.start) * (columns.stop - columns.start)
    at += found.columns - columns.start
    at[found.rows < 0] = -1
    layers = {
        name: layer.reshape(*layer.shape[:-2], -1)
        for name, layer in _read(source, (rows, columns)).items()
    }
    return _View(found.window, at, layers, ramp(source.radius_px), source.day)


def _gather(block: Accumulators, view: _View, part: _Window) -> None:
    """Add what a scene says about the pixels of a part of a block that lie in it."""
    into = []
    of = []
    for asked, seen in zip(part, view.window, strict=True):
        first, last = max(asked.start, seen.start), min(asked.stop, seen.stop)
        if first >= last:
            return
        into.append(slice(first - asked.start, last - asked.start))
        of.append(slice(first - seen.start, last - seen.start))
    # With -1 outside: what is found there, the last pixel, does not count.
    placed = np.full(block.shape, -1, np.intp)
    placed[tuple(into)] = view.at[tuple(of)]
    at = placed.reshape(-1)
    inside = at >= 0
    if not inside.any():
        return
    # In a third of the time of an index by row and column, for all layers together.
    values = {name: layer.take(at, axis=-1) for name, layer in view.layers.items()}
    values["feather"] = view.ramp.take(values["feather"])
    block.add(inside, values, view.day)


def _read(source: _ProductSource, window: _Window) -> dict[str, NDArray[Any]]:
    """Return the layers of a scene in a window, and the squared distance to its edge, `feather`."""
    arrays = source.arrays
    radius = source.radius_px
    try:
        values = {layer.name: np.asarray(arrays[layer.name][..., *window]) for layer in _ESTIMATES}
        wide = _flags_around(arrays["quality_flags"], window, radius)
    except (ValueError, RuntimeError) as error:  # a checksum, or what cannot be decoded
        raise damaged(source.store, source.name, str(error)) from error
    inner = wide[radius:-radius, radius:-radius]
    return {**values, "quality_flags": inner, "feather": feather(wide, radius)}


def _flags_around(quality_flags: Array, window: _Window, radius: int) -> NDArray[np.uint16]:
    """Return `quality_flags` in a window and around it, OUTSIDE beyond the scene's grid."""
    wide = []
    padding = []
    for inner, size in zip(window, quality_flags.shape, strict=True):
        start = max(inner.start - radius, 0)
        stop = min(inner.stop + radius, size)
        wide.append(slice(start, stop))
        padding.append((start - inner.start + radius, inner.stop + radius - stop))
    return np.pad(np.asarray(quality_flags[tuple(wide)]), padding, constant_values=_OUTSIDE)
