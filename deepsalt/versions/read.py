"""Opening a version of a mosaic: cropped to the tiles that have data, with coordinates, lazily.

A Dataset always reads the same version, whatever is published later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import xarray as xr
import zarr
from icechunk import IcechunkError, Session
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from deepsalt.errors import StoreMissingError, UsageError, VersionMissingError
from deepsalt.grid import Cell, Frame, PixelWindow, Tile, transform
from deepsalt.grid.georef import (
    GRID_MAPPING,
    axis_attrs,
    grid_mapping_attrs,
    group_attrs,
    pixel_centers,
)
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.objects.sentences import sentence
from deepsalt.store.arrays import Array
from deepsalt.types import Bbox, PixelGrid
from deepsalt.versions.arrays import DESCRIPTION, EPOCH, TIME_UNITS, read_digests, read_products
from deepsalt.versions.points import by_chunk
from deepsalt.versions.repository import Mosaic, Version, expired
from deepsalt.versions.storage import PREFIX, is_missing

_SHOWN = ("sensors", "newest")  # facts that a reader wants; others are of the operator
_PER_EDGE = (
    65  # points along an edge of a bounding box: lines of longitude are curved in most grids
)


def open_mosaic(
    mosaic: Mosaic,
    *,
    version: str | None = None,
    at: datetime | None = None,
    bbox: Bbox | None = None,
    chunks: Literal["shard"] | Mapping[str, int] | None = "shard",
) -> xr.Dataset:
    """Open a version of a mosaic.

    Parameters
    ----------
    mosaic
        The mosaic.
    version
        Id of the version, or its first characters. Default: the published version.
    at
        Open the last version published before this moment instead.
    bbox
        Crop to the pixels within (west, south, east, north), degrees WGS84.
    chunks
        Chunks of the Dask arrays: by shard, by these sizes, or none (no Dask).

    Returns
    -------
    xr.Dataset
        Layers (period, y, x) as in `deepsalt.layers.MOSAIC_LAYERS`, over the tiles and periods that
        have data, periods in order of time; `p_above` (period, threshold, y, x); coordinates
        `period` (first day), `period_bounds`, `threshold` (dS/m), `y`, `x` (pixel centres) and
        `spatial_ref`. `last_observed` in days from 1970-01-01 as
        float64, NaN where no scene contributed.

    Raises
    ------
    UsageError
        Version and time are given together, or the bounding box is invalid or meets no data.
    StoreMissingError
        There is no mosaic, or nothing has been published yet.
    VersionMissingError
        The version does not exist, or no longer.
    StoreError
        No access.
    """
    with mosaic.reaching():
        found = _choose(mosaic, version, at)
        session = mosaic.session_at(found.id)
        store = Reading(session.store, mosaic.objects, found.short)
        cells = filled(session)
        if not cells.size:
            raise StoreMissingError(f"version {found.short} of {mosaic.objects} is empty")
        ds = _open(store, mosaic.frame, cells, bbox)
        ds.attrs["version_id"] = found.short
        ds.attrs["history"] = (
            f"{found.created:%Y-%m-%dT%H:%M:%SZ} deepsalt {found.software}: {found.why}"
        )
        ds.attrs["simulated"] = found.simulated > 0
        ds.attrs.update({name: found.facts[name] for name in _SHOWN if name in found.facts})
    if chunks is None:
        edge = mosaic.frame.grid.chunk_px
        return ds.assign({name: by_chunk(layer, edge) for name, layer in ds.data_vars.items()})
    sizes = _chunks(ds, mosaic.frame, chunks)
    return ds.assign({name: layer.chunk(sizes) for name, layer in ds.data_vars.items()})


def _choose(mosaic: Mosaic, version: str | None, at: datetime | None) -> Version:
    if version is not None and at is not None:
        raise UsageError("version and time exclude each other; give one of them")
    if version is not None:
        return mosaic.find(version)
    if at is None:
        head = mosaic.head()
        if head is None:
            raise StoreMissingError(
                f"{mosaic.objects} has no published mosaic; `deepsalt run` makes one"
            )
        return head
    for each in mosaic.history():
        if each.created <= at:
            return each
    raise VersionMissingError(
        f"{mosaic.objects} has no version published by {at:%Y-%m-%d %H:%M}; see its history"
    )


def filled(session: Session) -> NDArray[np.int64]:
    """Return the slot, row and column of every tile with data (n, 3); reads no chunk."""

    async def collect() -> list[tuple[int, ...]]:
        return [cell async for cell in session.chunk_coordinates("/tile_digest")]

    return np.array(sorted(sync(collect())), np.int64).reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class Filled:
    """The data of one period in a version.

    Parameters
    ----------
    slot
        Of the period.
    days
        First and last day.
    tiles
        Tiles with data and the digest of each.
    """

    slot: int
    days: tuple[date, date]
    tiles: Mapping[Tile, int]


def filled_periods(mosaic: Mosaic, version: Version) -> list[Filled]:
    """Return the data of each period in a version, in order of time; reads no layer.

    Raises
    ------
    StoreError
        The version no longer exists, or no access.
    """
    return list(_filled_periods(mosaic, version.id))


@lru_cache(maxsize=8)
def _filled_periods(mosaic: Mosaic, version: str) -> tuple[Filled, ...]:
    with mosaic.reaching():
        session = mosaic.session_at(version)
        cells = [(slot, row, column) for slot, row, column in filled(session).tolist()]
        digests = read_digests(session.store, cells)
        tiles: dict[int, dict[Tile, int]] = {}
        for (slot, row, column), digest in zip(cells, digests, strict=True):
            tiles.setdefault(slot, {})[mosaic.frame.tile(row, column)] = digest
        group = zarr.open_group(session.store, mode="r", zarr_format=3)
        days = {slot: _days(group, slot) for slot in tiles}
    found = [Filled(slot, (days[slot][0], days[slot][1]), tiles[slot]) for slot in tiles]
    return tuple(sorted(found, key=lambda each: each.days))


def _days(group: zarr.Group, slot: int) -> list[date]:
    bounds = np.asarray(cast(Array, group["period_bounds"])[slot])
    return [EPOCH + timedelta(days=int(day)) for day in bounds]


def layers_of(mosaic: Mosaic, version: Version) -> dict[str, Array]:
    """Return the layers of a version as stored (period, y, x), over the whole frame.

    Raises
    ------
    StoreError
        The version no longer exists, or no access.
    """
    with mosaic.reaching():
        session = mosaic.session_at(version.id)
        store = Reading(session.store, mosaic.objects, version.short)
        group = zarr.open_group(store, mode="r", zarr_format=3)
        return {layer.name: cast(Array, group[layer.name]) for layer in MOSAIC_LAYERS}


def products_of(mosaic: Mosaic, version: Version) -> Iterator[tuple[int, Tile, tuple[str, ...]]]:
    """Yield the products of each tile of a version: slot of the period, tile, product names.

    Raises
    ------
    StoreError
        The version no longer exists, or no access.
    """
    with mosaic.reaching():
        session = mosaic.session_at(version.id)
        cells = [(slot, row, column) for slot, row, column in filled(session).tolist()]
        for cell, names in zip(cells, read_products(session.store, cells), strict=True):
            yield cell[0], mosaic.frame.tile(*cell[1:]), names


def products_at(mosaic: Mosaic, version: Version, cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return the product names of tiles of a version.

    Raises
    ------
    StoreError
        The version no longer exists, or no access.
    """
    with mosaic.reaching():
        return read_products(mosaic.session_at(version.id).store, cells)


def _open(store: Store, frame: Frame, cells: NDArray[np.int64], bbox: Bbox | None) -> xr.Dataset:
    region = _region(frame, cells)
    if bbox is not None:
        region = crop(frame.pixels, region, bbox)
    slots = np.unique(cells[:, 0])
    group = zarr.open_group(store, mode="r", zarr_format=3)
    days = np.array([group["period_bounds"][slot] for slot in slots.tolist()]).reshape(-1, 2)
    order = np.argsort(days[:, 0], kind="stable")
    slots = slots[order]
    days = days[order].astype("datetime64[D]").astype("datetime64[s]")
    not_layers = ["period", "period_bounds", "tile_digest", "tile_counts", "tile_products"]
    ds: xr.Dataset = xr.open_zarr(
        store, chunks=None, consolidated=False, zarr_format=3, drop_variables=not_layers
    )
    ds = ds[[layer.name for layer in MOSAIC_LAYERS]].isel(
        period=slots, y=slice(*region.y), x=slice(*region.x)
    )
    grid = part(frame.pixels, region)
    y, x = pixel_centers(grid)
    time = {"standard_name": "time", "long_name": "first day of the period", "axis": "T"}
    ds = ds.assign_coords(
        {
            "period": ("period", days[:, 0], {**time, "bounds": "period_bounds"}),
            "period_bounds": (("period", "bounds"), days),
            "y": ("y", y, axis_attrs("y")),
            "x": ("x", x, axis_attrs("x")),
            GRID_MAPPING: ((), 0, grid_mapping_attrs(grid)),
        }
    )
    for name in ("period", "period_bounds"):
        ds[name].encoding.update(TIME_UNITS, dtype="int64")
    ds.attrs = {**ds.attrs, **group_attrs(grid)}
    del ds.attrs[DESCRIPTION]
    return ds


def _region(frame: Frame, cells: NDArray[np.int64]) -> PixelWindow:
    """Return the pixels of the bounding box of tiles."""
    n = frame.grid.tile_px
    (row, column), (last_row, last_column) = cells[:, 1:].min(axis=0), cells[:, 1:].max(axis=0)
    return PixelWindow(
        y=(int(row) * n, (int(last_row) + 1) * n), x=(int(column) * n, (int(last_column) + 1) * n)
    )


def crop(pixels: PixelGrid, region: PixelWindow, bbox: Bbox) -> PixelWindow:
    """Return the part of a region that a bounding box in degrees touches.

    Raises
    ------
    UsageError
        It is not a bounding box, or touches no data.
    """
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(
            f"{bbox} is not a bounding box; give (west, south, east, north) in degrees, west < "
            "east; for an area across the 180th meridian open two boxes"
        )
    t = np.linspace(0.0, 1.0, _PER_EDGE)
    # With the inside, because the edge does not bound a box that contains a pole.
    lon, lat = np.meshgrid(west + t * (east - west), south + t * (north - south))
    x, y = transform("EPSG:4326", pixels.crs, lon.ravel(), lat.ravel())
    a, _, c, _, e, f = pixels.transform
    columns, rows = (x - c) / a, (y - f) / e
    known = np.isfinite(columns) & np.isfinite(rows)
    if known.any():
        y0, y1 = _clip(rows[known], region.y)
        x0, x1 = _clip(columns[known], region.x)
        if y0 < y1 and x0 < x1:
            return PixelWindow(y=(y0, y1), x=(x0, x1))
    raise UsageError(
        f"the mosaic has no data in {bbox} (west, south, east, north); choose a box within its "
        f"bounds"
    )


def _clip(values: NDArray[np.float64], limits: tuple[int, int]) -> tuple[int, int]:
    return (
        max(int(np.floor(values.min())), limits[0]),
        min(int(np.ceil(values.max())), limits[1]),
    )


def part(pixels: PixelGrid, region: PixelWindow) -> PixelGrid:
    """Return the pixels of a region as their own grid."""
    a, b, c, d, e, f = pixels.transform
    corner = (a, b, c + a * region.x[0], d, e, f + e * region.y[0])
    return PixelGrid(pixels.crs, corner, *region.shape)


def _chunks(
    ds: xr.Dataset, frame: Frame, chunks: Literal["shard"] | Mapping[str, int]
) -> dict[str, Any]:
    """Return sizes of Dask chunks along each dimension; those by shard start where shards do."""
    if chunks != "shard":
        return dict(chunks)
    size = frame.grid.shard_px
    pixels = frame.pixels
    a, _, c, _, e, f = pixels.transform
    first = {"y": (float(ds.y[0]) - f) / e, "x": (float(ds.x[0]) - c) / a}
    return {"period": 1} | {
        axis: cut(int(first[axis]), int(first[axis]) + ds.sizes[axis], size) for axis in "yx"
    }


def cut(start: int, stop: int, size: int) -> tuple[int, ...]:
    """Return the sizes of the pieces of a range cut at multiples of a size."""
    edges = [start, *range((start // size + 1) * size, stop, size), stop]
    return tuple(int(n) for n in np.diff(edges))


class Reading(WrapperStore[Store]):
    """Explains in a sentence why a version can no longer be read, long after it was opened."""

    def __init__(self, store: Store, objects: Objects, version: str) -> None:
        super().__init__(store)
        self._objects = objects
        self._version = version

    def _with_store(self, store: Store) -> "Reading":
        return Reading(store, self._objects, self._version)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value, see zarr."""
        try:
            return await self._store.get(key, prototype, byte_range)
        except IcechunkError as error:
            if is_missing(error):
                raise expired(self._objects, self._version) from None
            raise sentence(str(error), self._objects.location, "read", PREFIX) from None
