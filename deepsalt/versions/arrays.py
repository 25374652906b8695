"""The arrays of a mosaic, over its grid's whole extent from the start, and how a tile is written.

An Icechunk array cannot be shifted, so a mosaic never grows: its arrays cover the whole area of use
of its CRS, and 1,024 periods. Shards without data cost nothing. The period axis is filled slot by
slot; `deepsalt.versions.records` assigns slots to periods.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import numpy as np
import zarr
from icechunk import IcechunkError, IcechunkStore
from numpy.typing import NDArray
from zarr.api.asynchronous import open_array
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.errors import StoreError
from deepsalt.grid import Cell, Extent, Frame, MosaicGrid, Tile
from deepsalt.grid.georef import GRID_MAPPING, group_attrs
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS, Layer
from deepsalt.products import ALGORITHM_VERSION
from deepsalt.store.arrays import Array, create_layer, create_thresholds
from deepsalt.types import QualityFlag, Report

PERIODS = 1024
"""Slots of the period axis."""
EPOCH = date(1970, 1, 1)
NO_DAY = DATE_FILL
"""Fill value of `period` and `period_bounds`: a slot without a period."""
DESCRIPTION = "deepsalt"
"""Group attribute that tells readers the grid and the extent."""
TIME_UNITS = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}

_FLAG_BITS = 16  # of `quality_flags`; more than are used today, so that new ones fit
COUNTS = 3 + _FLAG_BITS
"""Counts of a tile: pixels, estimated ones, whether a scene was simulated, pixels by flag."""
_FLAGS_FROM = 3

Shard = tuple[int, int]
"""Row and column of a shard inside its tile."""


@dataclass(frozen=True, slots=True)
class Job:
    """A tile to compose.

    Parameters
    ----------
    frame
        Extent of the arrays.
    slot
        Of the period.
    tile
        The tile.
    products
        Names of the products to compose, sorted; empty to empty the tile.
    before
        Digest of the tile in the version that the work started from, 0 for an empty tile.
    simulated
        Whether any of the products was simulated.
    """

    frame: Frame
    slot: int
    tile: Tile
    products: tuple[str, ...]
    before: int
    simulated: bool = False

    @property
    def cell(self) -> Cell:
        """Index of the tile in the arrays over tiles."""
        return self.frame.cell(self.slot, self.tile)

    @property
    def digest(self) -> int:
        """Future digest of the tile."""
        return tile_digest(self.frame.grid, self.tile, self.products)


def tile_digest(grid: MosaicGrid, tile: Tile, products: Iterable[str]) -> int:
    """Return the digest of a tile made of these products: 64 bits, 0 only for no products."""
    names = sorted(products)
    if not names:
        return 0
    text = json.dumps([ALGORITHM_VERSION, grid.to_dict(), tile.id, names], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1


def create_arrays(
    group: zarr.Group,
    frame: Frame,
    *,
    attrs: Mapping[str, Any],
    layer_attrs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Create the arrays of a mosaic in an empty group, all of them unwritten.

    Parameters
    ----------
    group
        Root of the repository.
    frame
        Extent of the arrays.
    attrs
        Attributes of the group beside the georeferencing.
    layer_attrs
        Attributes per layer beside those of `MOSAIC_LAYERS`: which EC, at which depth.
    """
    grid = frame.grid
    pixels = frame.pixels
    for layer in MOSAIC_LAYERS:
        create_layer(
            group,
            layer,
            dims=("period", *layer.dims),
            shape=(PERIODS, *layer.shape(pixels.height, pixels.width)),
            sharding=(
                (1, *layer.shape(grid.chunk_px, grid.chunk_px)),
                (1, *layer.shape(grid.shard_px, grid.shard_px)),
            ),
            attrs=layer_attrs.get(layer.name, {}),
        )
    create_thresholds(group)
    period = {"period": PERIODS}
    rows, columns = frame.shape
    tiles = {**period, "tile_y": rows, "tile_x": columns}
    _create_small(group, "period", period, "int32", NO_DAY)
    _create_small(group, "period_bounds", {**period, "bounds": 2}, "int32", NO_DAY)
    _create_small(group, "tile_digest", tiles, "uint64", 0)
    _create_small(group, "tile_counts", {**tiles, "count": COUNTS}, "uint32", 0)
    group.create_array(
        "tile_products",
        shape=tuple(tiles.values()),
        chunks=(1, 1, 1),
        dtype="string",
        fill_value="",
        dimension_names=tuple(tiles),
        compressors=[ZstdCodec(level=3)],
    )
    described: Any = {"grid": grid.to_dict(), "extent": [*_corners(frame.extent)]}
    group.attrs.put(
        {
            "Conventions": "CF-1.11",
            "coordinates": f"{GRID_MAPPING} period_bounds",
            **group_attrs(pixels),
            **attrs,
            DESCRIPTION: described,
        }
    )


def _create_small(
    group: zarr.Group, name: str, sizes: Mapping[str, int], dtype: str, fill: int
) -> None:
    """Create an array with a chunk per slot and tile, small enough to be stored in the manifest."""
    whole = ("bounds", "count")
    group.create_array(
        name,
        shape=tuple(sizes.values()),
        chunks=tuple(n if dim in whole else 1 for dim, n in sizes.items()),
        dtype=dtype,
        fill_value=fill,
        dimension_names=tuple(sizes),
        compressors=None,
    )


def _corners(extent: Extent) -> tuple[int, int, int, int]:
    return extent.ix0, extent.iy0, extent.ix1, extent.iy1


def frame_of(attrs: Mapping[str, Any]) -> Frame:
    """Return the extent of a group's arrays, from its attributes.

    Raises
    ------
    StoreError
        The group was not made by `create_arrays`.
    """
    try:
        described = attrs[DESCRIPTION]
        return Frame(MosaicGrid.from_dict(described["grid"]), Extent(*described["extent"]))
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"this repository does not hold a mosaic of deepsalt ({error!r}); give another location"
        ) from error


def write_tile(
    store: IcechunkStore, job: Job, shards: Iterable[tuple[Shard, Mapping[str, NDArray[Any]]]]
) -> Report:
    """Write a tile into a fork: each shard of each layer, or its absence, and its products.

    Replaces all that the tile held before, so that its arrays depend on the products alone.

    Parameters
    ----------
    store
        Of the fork.
    job
        The tile.
    shards
        Shards of the tile, as they are composed: their place in it, and the layers by name, of the
        type and dimensions that `MOSAIC_LAYERS` states. Missing shards are empty.

    Returns
    -------
    Report
        Pixels of the tile.

    Raises
    ------
    StoreError
        A layer is missing, or has another shape or type.
    """
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    arrays = {layer.name: cast(Array, group[layer.name]) for layer in MOSAIC_LAYERS}
    n = job.frame.grid.tile_shards
    size = job.frame.grid.shard_px
    _, row, column = job.cell
    left = {(dy, dx) for dy in range(n) for dx in range(n)}
    # First, because Zarr reads an existing shard before overwriting it: needlessly, and it may be
    # damaged.
    gone = [
        layer.key((job.slot, row * n + dy, column * n + dx))
        for layer in MOSAIC_LAYERS
        for dy, dx in left
    ]
    if not job.products:
        cell = "/".join(map(str, job.cell))
        gone += [f"tile_products/c/{cell}", f"tile_counts/c/{cell}/0", f"tile_digest/c/{cell}"]
    sync(_delete(store, gone))
    counts = np.zeros(COUNTS, np.uint32)
    # All layers of a shard wait for the server together.
    with ThreadPoolExecutor(len(MOSAIC_LAYERS)) as pool:
        for (dy, dx), layers in shards:
            left.remove((dy, dx))
            y, x = (row * n + dy) * size, (column * n + dx) * size
            part = (job.slot, ..., slice(y, y + size), slice(x, x + size))
            filled = [layer for layer in MOSAIC_LAYERS if not _is_unseen(job, layer, layers)]
            writes = [
                pool.submit(arrays[layer.name].__setitem__, part, layers[layer.name])
                for layer in filled
            ]
            for each in writes:
                each.result()
            counts += _count(layers)
    if job.products:
        counts[0], counts[2] = (n * size) ** 2, job.simulated
        counts[_FLAGS_FROM] += np.uint32(len(left) * size * size)  # of shards without data
        cast(Array, group["tile_products"])[job.cell] = "\n".join(job.products)
        cast(Array, group["tile_counts"])[job.cell] = counts
        cast(Array, group["tile_digest"])[job.cell] = np.uint64(job.digest)
    else:
        counts[:] = 0
    return report_of(counts)


def _is_unseen(job: Job, layer: Layer, layers: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a layer of a shard is empty; refuse an invalid layer."""
    values = layers.get(layer.name)
    size = job.frame.grid.shard_px
    shape = layer.shape(size, size)
    if values is None or values.shape != shape or values.dtype != layer.dtype:
        found = "missing" if values is None else f"{values.dtype} {values.shape}"
        raise StoreError(
            f"layer {layer.name} of tile {job.tile.id} is {found}; expected a shard of "
            f"{layer.dtype} {shape}"
        )
    fill = layer.fill
    return bool((np.isnan(values) if fill != fill else values == fill).all())


def _count(layers: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    flags = layers["quality_flags"]
    estimated = np.count_nonzero(np.isfinite(layers["salinity"]))
    bits = [np.count_nonzero(flags & np.uint16(1 << bit)) for bit in range(_FLAG_BITS)]
    return np.array([flags.size, estimated, 0, *bits], np.uint32)


async def _delete(store: IcechunkStore, keys: Iterable[str]) -> None:
    for key in keys:
        await store.delete(key)


def read_salinity(store: IcechunkStore, job: Job) -> NDArray[np.float32] | None:
    """Return the salinity (y, x) that a tile has before it is written, dS/m.

    None for a tile without data, one that is repaired, and one whose data cannot be read: nothing
    depends on them, so that damaged data can be composed anew.
    """
    if job.before in (0, job.digest):
        return None
    edge = job.frame.grid.tile_px
    _, row, column = job.cell
    y, x = row * edge, column * edge
    try:
        array = cast(Array, zarr.open_group(store, mode="r", zarr_format=3)["salinity"])
        return np.asarray(array[job.slot, y : y + edge, x : x + edge], np.float32)
    except (IcechunkError, ValueError, RuntimeError):  # lost, or a wrong checksum
        return None


def report_of(counts: NDArray[np.integer[Any]]) -> Report:
    """Return the report of one or many tiles from the sum of their rows of `tile_counts`."""
    pixels, estimated, _, *bits = (int(count) for count in counts)
    return Report(
        pixels,
        estimated,
        tuple(
            (str(flag.name).lower(), bits[index])
            for flag in QualityFlag
            if bits[index := int(flag).bit_length() - 1]
        ),
    )


def counts_of(report: Report, simulated: int) -> NDArray[np.int64]:
    """Return the sum of rows of `tile_counts` that matches a report and a number of tiles."""
    counts = np.zeros(COUNTS, np.int64)
    counts[:_FLAGS_FROM] = report.pixels, report.estimated, simulated
    for name, count in report.by_flag:
        counts[_FLAGS_FROM + int(QualityFlag[name.upper()]).bit_length() - 1] = count
    return counts


def read_digests(store: IcechunkStore, cells: Sequence[Cell]) -> list[int]:
    """Return the digests of tiles, 0 for empty ones."""
    found = _read_chunks(store, [f"tile_digest/c/{t}/{y}/{x}" for t, y, x in cells])
    return [0 if data is None else int.from_bytes(data, "little") for data in found]


def read_counts(store: IcechunkStore, cells: Sequence[Cell]) -> NDArray[np.int64]:
    """Return what tiles count (n, `COUNTS`), see `report_of`."""
    found = _read_chunks(store, [f"tile_counts/c/{t}/{y}/{x}/0" for t, y, x in cells])
    empty = bytes(4 * COUNTS)
    rows = b"".join(empty if data is None else data for data in found)
    return np.frombuffer(rows, "<u4").reshape(-1, COUNTS).astype(np.int64)


def _read_chunks(store: IcechunkStore, keys: Sequence[str]) -> list[bytes | None]:
    """Return uncompressed chunks, in a fifth of the time that arrays take."""
    prototype = default_buffer_prototype()

    async def read(key: str) -> bytes | None:
        found = await store.get(key, prototype)
        return None if found is None else found.to_bytes()

    async def read_all() -> list[bytes | None]:
        return await asyncio.gather(*map(read, keys))

    return sync(read_all())


def read_products(store: IcechunkStore, cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return the names of the products that tiles were made of, sorted."""

    async def read_all() -> list[Any]:
        array = await open_array(store=store, path="tile_products", mode="r")
        return await asyncio.gather(*map(array.getitem, cells))

    texts = map(str, sync(read_all()) if cells else ())
    return [tuple(text.split("\n")) if text else () for text in texts]
