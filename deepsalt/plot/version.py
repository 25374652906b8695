"""What a version looks like: of a small one all pixels are read, a large one is put together.

To read all pixels of a continent (28 ns each) would take a quarter of an hour for each scene that
is added, so its tiles keep beside their manifests what they look like from afar.
"""

import logging
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import StoreError
from deepsalt.grid import Region
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.plot.picture import (
    KINDS,
    MAX_EDGE_PX,
    OUTSIDE,
    KindsAt,
    Picture,
    Votes,
    classify,
    put_together,
)
from deepsalt.store.arrays import Array, open_layers
from deepsalt.store.files import digest_of, sha256_of, storing, write_bytes
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.types import PixelGrid

CELL_PX = 8
"""Edge of a cell of a tile's picture, pixels of the mosaic."""

logger = logging.getLogger(__name__)

_DRAWN = [layer for name in ("salinity", "basis") for layer in MOSAIC_LAYERS if layer.name == name]


@dataclass(frozen=True, slots=True)
class TilePicture:
    """A tile from afar.

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


def is_drawn_by_tiles(layout: Layout) -> bool:
    """Say whether a mosaic is so large that a cell of its tiles' pictures would not show alone."""
    extent, grid = layout.extent, layout.grid
    tiles = max(extent.ix1 - extent.ix0, extent.iy1 - extent.iy0)
    return tiles * grid.tile_px > MAX_EDGE_PX * CELL_PX and grid.shard_px % CELL_PX == 0


def tile_picture(layout: Layout, manifest: TileManifest) -> TilePicture:
    """Return the picture of a tile; made from its pixels and kept if there is none of them yet.

    Raises
    ------
    StoreError
        The tile cannot be read, or is not what was written.
    """
    path = layout.picture_path(manifest.period, manifest.tile)
    shape = (layout.grid.tile_px // CELL_PX,) * 2
    shows = digest_of([CELL_PX, len(KINDS), shape, manifest.shards]).encode()
    kept = _read(path, shows)
    if kept is not None:
        counts, kinds = np.split(np.frombuffer(kept, np.uint8), [8 * (len(KINDS) + 1)])
        return TilePicture(kinds.reshape(shape), counts.view(np.int64))
    _refuse_damaged(layout, manifest)
    picture = _from_pixels(layout, manifest)
    content = zlib.compress(picture.counts.tobytes() + picture.kinds.tobytes())
    try:
        write_bytes(path, sha256(shows + content).digest() + content)
    except StoreError as error:
        logger.warning("%s; what a tile looks like is found out again next time", error)
    return picture


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


def _from_pixels(layout: Layout, manifest: TileManifest) -> TilePicture:
    whole, edge = layout.region(manifest.tile), layout.grid.tile_px
    votes, counts = Votes((edge, edge), CELL_PX), np.zeros(len(KINDS) + 1, np.int64)
    counts[OUTSIDE] = edge**2
    arrays = open_layers(layout.group, _DRAWN)
    for region in layout.filled(manifest):
        kinds = _kinds_of(arrays, layout, manifest, region)
        votes.add(kinds, (region.y[0] - whole.y[0], region.x[0] - whole.x[0]))
        counts += np.bincount(kinds.ravel(), minlength=counts.size)
        counts[OUTSIDE] -= kinds.size
    return TilePicture(votes.winners(), counts)


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
    manifests = layout.tile_manifests(period)
    grid = layout.grid.extent_grid(layout.extent)
    if is_drawn_by_tiles(layout):
        return _put_tiles_together(layout, manifests, grid, given_up)
    filled = {region: each for each in manifests for region in layout.filled(each)}
    arrays = open_layers(layout.group, _DRAWN)

    def kinds_of(region: Region) -> NDArray[np.uint8]:
        return _kinds_of(arrays, layout, filled[region], region)

    return put_together(grid, list(filled), _forgiving(kinds_of, given_up))


def _put_tiles_together(
    layout: Layout,
    manifests: Sequence[TileManifest],
    pixels: PixelGrid,
    given_up: Callable[[], bool],
) -> Picture:
    """Do it with the tiles' pictures; a cell shows the kind that most of their cells have."""
    a, b, c, d, e, f = pixels.transform
    corner = (a * CELL_PX, b, c, d, e * CELL_PX, f)
    cells = PixelGrid(pixels.crs, corner, pixels.height // CELL_PX, pixels.width // CELL_PX)
    tiles = {_cells(layout, each): each for each in manifests}
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


def _cells(layout: Layout, manifest: TileManifest) -> Region:
    y, x = (
        (first // CELL_PX, last // CELL_PX)
        for first, last in (layout.region(manifest.tile).y, layout.region(manifest.tile).x)
    )
    return Region(y, x)
