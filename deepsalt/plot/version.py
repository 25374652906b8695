"""What a version looks like, put together from what its tiles look like.

To read all pixels of a mosaic (28 ns each) for each scene that is added would take a quarter of an
hour for a continent, so its tiles keep beside their manifests what they look like: pixel by pixel,
or from afar where a pixel would not show.
"""

import logging
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import StoreError
from deepsalt.grid import Region
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects.disk import storing
from deepsalt.plot.picture import (
    BREAKS_DS_M,
    KINDS,
    MAX_EDGE_PX,
    OUTSIDE,
    REASONS,
    KindsAt,
    Picture,
    cells_of,
    classify,
    put_together,
)
from deepsalt.store.arrays import Array, open_layers
from deepsalt.store.files import digest_of, sha256_of, write_bytes
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.types import PixelGrid

FAR_CELL_PX = 8
"""Edge of a cell of a tile's picture in a large mosaic, pixels of the mosaic."""
_COMPRESS_LEVEL = 1
"""A quarter of the time of 6, for files half as large again that are small beside the shards."""

logger = logging.getLogger(__name__)

_DRAWN = [
    layer for name in ("salinity", "quality_flags") for layer in MOSAIC_LAYERS if layer.name == name
]


@dataclass(frozen=True, slots=True)
class TilePicture:
    """What a tile looks like.

    Parameters
    ----------
    kinds
        Index into `KINDS` of what most pixels of a cell are (h, w) uint8, one past the last where
        nothing was measured.
    counts
        Pixels of the tile per kind (k + 1,) int64.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]


def cell_px(layout: Layout) -> int:
    """Return the edge of a cell of the tiles' pictures, pixels: 1 unless it would not show."""
    extent, grid = layout.extent, layout.grid
    tiles = max(extent.ix1 - extent.ix0, extent.iy1 - extent.iy0)
    is_large = tiles * grid.tile_px > MAX_EDGE_PX * FAR_CELL_PX
    return FAR_CELL_PX if is_large and grid.tile_px % FAR_CELL_PX == 0 else 1


def tile_picture(layout: Layout, manifest: TileManifest) -> TilePicture:
    """Return the picture of a tile; made from its pixels and kept if there is none of them yet.

    Raises
    ------
    StoreError
        The tile cannot be read, or is not what was written.
    """
    path = layout.picture_path(manifest.period, manifest.tile)
    kept = _read(path, _shows(layout, manifest))
    if kept is not None:
        counts, kinds = np.split(np.frombuffer(kept, np.uint8), [8 * (len(KINDS) + 1)])
        edge = layout.grid.tile_px // cell_px(layout)
        return TilePicture(kinds.reshape(edge, edge), counts.view(np.int64))
    _refuse_damaged(layout, manifest)
    return keep_picture(layout, manifest, _from_pixels(layout, manifest))


def keep_picture(
    layout: Layout, manifest: TileManifest, pieces: Iterable[tuple[Region, NDArray[np.uint8]]]
) -> TilePicture:
    """Make the picture of a tile, given the kinds of its filled shards, and keep it."""
    picture = _picture(layout, manifest, pieces)
    shows = _shows(layout, manifest)
    content = zlib.compress(picture.counts.tobytes() + picture.kinds.tobytes(), _COMPRESS_LEVEL)
    path = layout.picture_path(manifest.period, manifest.tile)
    try:
        write_bytes(path, sha256(shows + content).digest() + content)
    except StoreError as error:
        logger.warning("%s; what a tile looks like is found out again next time", error)
    return picture


def _shows(layout: Layout, manifest: TileManifest) -> bytes:
    """Return what binds a picture to the shards it shows."""
    cell = cell_px(layout)
    shape = (layout.grid.tile_px // cell,) * 2
    kinds = [*BREAKS_DS_M, *(int(reason.bits or 0) for reason in REASONS)]
    return digest_of([cell, kinds, shape, manifest.shards]).encode()


def _read(path: Path, shows: bytes) -> bytes | None:
    """Return what is kept of a tile; None if it is damaged or of other shards."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    checksum, content = kept[:32], kept[32:]
    return zlib.decompress(content) if sha256(shows + content).digest() == checksum else None


def _refuse_damaged(layout: Layout, manifest: TileManifest) -> None:
    """Refuse to make a lasting picture of shards that are lost or damaged: zarr may not notice."""
    files = layout.shard_paths(manifest.period, manifest.tile)
    drawn = {layer.name for layer in _DRAWN}
    for name, digest in manifest.shards:
        if digest is None or name.partition("/")[0] not in drawn:
            continue
        with storing(files[name]):
            damaged = sha256_of(files[name]) != digest
        if damaged:
            raise StoreError(
                f"tile {manifest.tile.id} of period {manifest.period} is damaged ({name})"
            )


def _from_pixels(
    layout: Layout, manifest: TileManifest
) -> Iterator[tuple[Region, NDArray[np.uint8]]]:
    arrays = open_layers(layout.group, _DRAWN)
    for region in layout.filled(manifest):
        yield region, _kinds_of(arrays, layout, manifest, region)


def _picture(
    layout: Layout, manifest: TileManifest, pieces: Iterable[tuple[Region, NDArray[np.uint8]]]
) -> TilePicture:
    whole = layout.region(manifest.tile)
    cells = cells_of(whole.shape, cell_px(layout))
    counts = np.zeros(len(KINDS) + 1, np.int64)
    counts[OUTSIDE] = math.prod(whole.shape)
    for region, kinds in pieces:
        cells.add(kinds, (region.y[0] - whole.y[0], region.x[0] - whole.x[0]))
        counts += np.bincount(kinds.ravel(), minlength=counts.size)
        counts[OUTSIDE] -= kinds.size
    return TilePicture(cells.winners(), counts)


def _kinds_of(
    arrays: dict[str, Array], layout: Layout, manifest: TileManifest, region: Region
) -> NDArray[np.uint8]:
    place = (layout.periods.index(manifest.period), slice(*region.y), slice(*region.x))
    try:
        return classify(*(np.asarray(arrays[layer.name][place]) for layer in _DRAWN))
    except (OSError, ValueError, RuntimeError) as error:  # decoding a damaged shard
        raise StoreError(
            f"tile {manifest.tile.id} of period {manifest.period} cannot be read ({error})"
        ) from error


def picture_of_version(
    layout: Layout, period: str, given_up: Callable[[], bool] = lambda: False
) -> Picture:
    """Reduce one period of a version, published or not, to kinds, cropped to what was measured.

    A tile that cannot be read is drawn as not measured, with a warning: what was published before
    is not checked again, and shall not keep new scenes from readers.

    Parameters
    ----------
    layout, period
        Where the version lies, and its period.
    given_up
        Asked tile by tile.

    Raises
    ------
    CancelledError
        It was given up.
    StoreError
        A manifest cannot be read, or the version has no such layers.
    """
    cell, pixels = cell_px(layout), layout.grid.extent_grid(layout.extent)
    a, b, c, d, e, f = pixels.transform
    corner = (a * cell, b, c, d, e * cell, f)
    cells = PixelGrid(pixels.crs, corner, pixels.height // cell, pixels.width // cell)
    tiles = {_cells(layout, each, cell): each for each in layout.tile_manifests(period)}
    counts = dict[Region, NDArray[np.int64]]()

    def kinds_of(region: Region) -> NDArray[np.uint8]:
        picture = tile_picture(layout, tiles[region])
        counts[region] = picture.counts
        return picture.kinds

    picture = put_together(cells, list(tiles), _forgiving(kinds_of, given_up))
    total = sum(counts.values(), start=np.zeros(len(KINDS) + 1, np.int64))
    return replace(picture, counts=total)


def _forgiving(kinds_of: KindsAt, given_up: Callable[[], bool]) -> KindsAt:
    def kinds_at(region: Region) -> NDArray[np.uint8]:
        if given_up():
            raise CancelledError
        try:
            return kinds_of(region)
        except StoreError as error:
            logger.warning("%s; it is drawn as not measured, run `deepsalt check`", error)
            return np.full(region.shape, OUTSIDE, np.uint8)

    return kinds_at


def _cells(layout: Layout, manifest: TileManifest, cell: int) -> Region:
    whole = layout.region(manifest.tile)
    y, x = ((first // cell, last // cell) for first, last in (whole.y, whole.x))
    return Region(y, x)
