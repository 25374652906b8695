"""The arrays of a mosaic, over all its grid's extent from the start, and how a tile is written.

An array of Icechunk cannot be shifted, so a mosaic never grows: its arrays cover where its CRS
may be used, and 1,024 periods. Shards without data cost nothing. The period axis is filled slot by
slot; which period has which slot is the matter of `deepsalt.versions.records`.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self, cast

import numpy as np
import zarr
from icechunk import IcechunkStore
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.errors import GridError, StoreError
from deepsalt.georef import GRID_MAPPING, group_attrs
from deepsalt.grid import Extent, MosaicGrid, Tile, area_of_use
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS
from deepsalt.products import ALGORITHM_VERSION
from deepsalt.types import PixelGrid, QualityFlag, Report

DIMS = ("period", "y", "x")
PERIODS = 1024
"""Slots of the period axis."""
EPOCH = date(1970, 1, 1)
NO_DAY = DATE_FILL
"""Fill value of `period` and `period_bounds`: a slot without a period."""
DESCRIPTION = "deepsalt"
"""Group attribute with the grid and the extent, from which a reader learns them."""
TIME_UNITS = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}

_MARGIN_M = 500_000.0  # scenes at the edge of a CRS's area of use reach beyond it
_REACH_M = 5_000_000.0  # around the anchor, where a CRS does not say where it may be used
_FLAG_BITS = 16  # of `quality_flags`; more than are named today, so that new ones fit
_COUNTS = 3 + _FLAG_BITS
"""Of a tile: its pixels, those with an estimate, whether scenes were simulated, pixels by flag."""
_FLAGS_FROM = 3

# The bits of estimates are noise: zstd makes files a twentieth smaller and takes four times as
# long. Counts, days and flags are runs of few values, of which zstd leaves half of what LZ4 does.
_FLOATS = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
_INTEGERS = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")

Array = zarr.Array[Any]
Cell = tuple[int, int, int]
"""Index of a tile in `tile_digest`: slot of the period, row, column."""
Shard = tuple[int, int]
"""Row and column of a shard inside its tile."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the arrays of a mosaic cover.

    Parameters
    ----------
    grid
        The mosaic's grid.
    extent
        Tiles that the arrays cover.
    """

    grid: MosaicGrid
    extent: Extent

    @classmethod
    def of(cls, grid: MosaicGrid) -> Self:
        """Return the frame of a new mosaic: where its CRS may be used plus 500 km, in whole tiles.

        Raises
        ------
        GridError
            PROJ does not know the CRS.
        """
        size, (x, y) = grid.tile_px * grid.resolution_m, grid.anchor
        area = area_of_use(grid.crs)
        west, south, east, north = area or (x, y, x, y)
        margin = _MARGIN_M if area else _REACH_M
        return cls(
            grid,
            Extent(
                int((west - margin - x) // size),
                int((y - north - margin) // size),
                int(-((x - east - margin) // size)),
                int(-((south - margin - y) // size)),
            ),
        )

    @property
    def pixels(self) -> PixelGrid:
        """All pixels of the arrays."""
        return self.grid.extent_grid(self.extent)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.extent.iy1 - self.extent.iy0, self.extent.ix1 - self.extent.ix0

    def tile(self, row: int, column: int) -> Tile:
        """Return the tile in a row and column of the arrays over tiles."""
        return Tile(self.extent.ix0 + column, self.extent.iy0 + row)

    def cell(self, slot: int, tile: Tile) -> Cell:
        """Return the index of a tile in the arrays over tiles.

        Raises
        ------
        GridError
            The tile lies beyond the arrays.
        """
        self.refuse_beyond(f"tile {tile.id}", [tile])
        return slot, tile.iy - self.extent.iy0, tile.ix - self.extent.ix0

    def refuse_beyond(self, name: str, tiles: Iterable[Tile]) -> None:
        """Refuse what reaches beyond the arrays.

        Parameters
        ----------
        name
            Of the scene, for the message.
        tiles
            Tiles under it.

        Raises
        ------
        GridError
            One of the tiles lies beyond.
        """
        e = self.extent
        for tile in tiles:
            if not (e.ix0 <= tile.ix < e.ix1 and e.iy0 <= tile.iy < e.iy1):
                raise GridError(
                    f"{name} lies more than {_MARGIN_M / 1000:.0f} km outside of where "
                    f"{self.grid.crs:.40} may be used; leave it out, or map it in another CRS"
                )


@dataclass(frozen=True, slots=True)
class Job:
    """A tile to compose.

    Parameters
    ----------
    frame
        What the arrays cover.
    slot
        Of the period.
    tile
        The tile.
    products
        Names of the products it is to be made of, sorted; none: the tile is to be emptied.
    before
        Digest that the tile had in the version the work began with, 0 for an empty tile.
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
        """Digest that the tile will have."""
        return tile_digest(self.frame.grid, self.tile, self.products)


def tile_digest(grid: MosaicGrid, tile: Tile, products: Iterable[str]) -> int:
    """Return what a tile made of these products is told by: 64 bits, 0 for no products alone."""
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
        What they cover.
    attrs
        Attributes of the group beside the georeferencing.
    layer_attrs
        Attributes per layer beside those of `MOSAIC_LAYERS`: which EC, at which depth.
    """
    grid, pixels = frame.grid, frame.pixels
    for layer in MOSAIC_LAYERS:
        group.create_array(
            layer.name,
            shape=(PERIODS, pixels.height, pixels.width),
            chunks=(1, grid.chunk_px, grid.chunk_px),
            shards=(1, grid.shard_px, grid.shard_px),
            dtype=layer.dtype,
            fill_value=layer.fill,
            dimension_names=DIMS,
            # LZ4 does not notice flipped bits. A checksum per chunk takes 2 to 8 ms of CPU per
            # layer of a tile: a fifth of encoding it, a hundredth of composing it of three scenes.
            compressors=[_FLOATS if layer.dtype == "float32" else _INTEGERS, Crc32cCodec()],
            attributes={
                **layer.fill_attribute(),
                **layer.attributes(),
                **layer_attrs.get(layer.name, {}),
            },
        )
    period, (rows, columns) = {"period": PERIODS}, frame.shape
    tiles = {**period, "tile_y": rows, "tile_x": columns}
    _create_small(group, "period", period, "int32", NO_DAY)
    _create_small(group, "period_bounds", {**period, "bounds": 2}, "int32", NO_DAY)
    _create_small(group, "tile_digest", tiles, "uint64", 0)
    _create_small(group, "tile_counts", {**tiles, "count": _COUNTS}, "uint32", 0)
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
    """Create an array with a chunk per slot and tile, small enough to lie in the manifest."""
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
    """Return what the arrays of a group cover, by its attributes.

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
            f"this repository holds no mosaic of deepsalt ({error!r}); give another place"
        ) from error


def write_tile(
    store: IcechunkStore, job: Job, shards: Iterable[tuple[Shard, Mapping[str, NDArray[Any]]]]
) -> Report:
    """Write a tile into a fork: each shard of each layer, or its absence, and what it is made of.

    Whatever the tile held before is gone, so that its arrays are a function of the products alone.

    Parameters
    ----------
    store
        Of the fork.
    job
        The tile.
    shards
        Shards of the tile, as they are made: their place in it, and the layers (y, x) by name, of
        the type that `MOSAIC_LAYERS` states. Shards that are not given are empty.

    Returns
    -------
    Report
        Pixels of the tile.

    Raises
    ------
    StoreError
        A layer is missing, or of another shape or type.
    """
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    arrays = {layer.name: cast(Array, group[layer.name]) for layer in MOSAIC_LAYERS}
    n, size = job.frame.grid.tile_shards, job.frame.grid.shard_px
    _, row, column = job.cell
    left = {(dy, dx) for dy in range(n) for dx in range(n)}
    empty = {layer.name: left.copy() for layer in MOSAIC_LAYERS}
    counts = np.zeros(_COUNTS, np.uint32)
    for (dy, dx), layers in shards:
        left.remove((dy, dx))
        y, x = (row * n + dy) * size, (column * n + dx) * size
        for layer in MOSAIC_LAYERS:
            values = layers.get(layer.name)
            if values is None or values.shape != (size, size) or values.dtype != layer.dtype:
                found = "missing" if values is None else f"{values.dtype} {values.shape}"
                raise StoreError(
                    f"layer {layer.name} of tile {job.tile.id} is {found}; a shard of it is "
                    f"{layer.dtype} {(size, size)}"
                )
            if not _is_empty(values, layer.fill):
                arrays[layer.name][job.slot, y : y + size, x : x + size] = values
                empty[layer.name].discard((dy, dx))
        counts += _count(layers)
    gone = [
        f"{name}/c/{job.slot}/{row * n + dy}/{column * n + dx}"
        for name, places in empty.items()
        for dy, dx in places
    ]
    cell = "/".join(map(str, job.cell))
    if job.products:
        counts[0], counts[2] = (n * size) ** 2, job.simulated
        counts[_FLAGS_FROM] += np.uint32(len(left) * size * size)  # of shards nobody saw
        cast(Array, group["tile_products"])[job.cell] = "\n".join(job.products)
        cast(Array, group["tile_counts"])[job.cell] = counts
        cast(Array, group["tile_digest"])[job.cell] = np.uint64(job.digest)
    else:
        counts[:] = 0
        gone += [f"tile_products/c/{cell}", f"tile_counts/c/{cell}/0", f"tile_digest/c/{cell}"]
    sync(_delete(store, gone))
    return report_of(counts)


def _is_empty(values: NDArray[Any], fill: float | int) -> bool:
    return bool((np.isnan(values) if fill != fill else values == fill).all())


def _count(layers: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    flags = layers["quality_flags"]
    estimated = np.count_nonzero(np.isfinite(layers["salinity"]))
    bits = [np.count_nonzero(flags & np.uint16(1 << bit)) for bit in range(_FLAG_BITS)]
    return np.array([flags.size, estimated, 0, *bits], np.uint32)


async def _delete(store: IcechunkStore, keys: Iterable[str]) -> None:
    for key in keys:
        await store.delete(key)


def report_of(counts: NDArray[np.integer[Any]]) -> Report:
    """Return the pixels of a tile, or of many, from their sum of rows of `tile_counts`."""
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
    """Return the sum of rows of `tile_counts` that a report and a number of tiles came from."""
    counts = np.zeros(_COUNTS, np.int64)
    counts[:_FLAGS_FROM] = report.pixels, report.estimated, simulated
    for name, count in report.by_flag:
        counts[_FLAGS_FROM + int(QualityFlag[name.upper()]).bit_length() - 1] = count
    return counts


def read_digests(store: IcechunkStore, cells: Sequence[Cell]) -> list[int]:
    """Return the digests of tiles, 0 for empty ones."""
    found = _read_stored(store, ["tile_digest/c/{}/{}/{}".format(*cell) for cell in cells])
    return [int.from_bytes(each, "little") for each in found]


def read_counts(store: IcechunkStore, cells: Sequence[Cell]) -> NDArray[np.int64]:
    """Return what tiles count (n, `_COUNTS`), see `report_of`."""
    found = _read_stored(store, ["tile_counts/c/{}/{}/{}/0".format(*cell) for cell in cells])
    counts = np.zeros((len(cells), _COUNTS), np.int64)
    for row, each in enumerate(found):
        if each:
            counts[row] = np.frombuffer(each, "<u4")
    return counts


def read_products(store: IcechunkStore, cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return the names of the products that tiles were made of, sorted."""
    array = zarr.open_array(store, path="tile_products", mode="r").async_array

    async def read_all() -> list[Any]:
        # Tile by tile: zarr's index by coordinates counts all chunks of the array beforehand,
        # which takes gigabytes and many seconds for a world's.
        return await asyncio.gather(*map(array.getitem, cells))

    return [tuple(text.split("\n")) if text else () for text in map(str, sync(read_all()))]


def _read_stored(store: IcechunkStore, keys: Sequence[str]) -> list[bytes]:
    """Return chunks that are stored as they are, empty where there is none.

    So a fifth of the time of an array suffices to read thousands.
    """
    prototype = default_buffer_prototype()

    async def read(key: str) -> bytes:
        found = await store.get(key, prototype)
        return b"" if found is None else found.to_bytes()

    async def read_all() -> list[bytes]:
        return await asyncio.gather(*map(read, keys))

    return sync(read_all())
