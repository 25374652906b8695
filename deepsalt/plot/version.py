"""What a version looks like: of a small one all pixels are read, a large one is put together.

To read all pixels of a continent would take a quarter of an hour for each scene that is added, so
its tiles keep beside their manifests what they look like from afar.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

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
from deepsalt.store.arrays import open_layers
from deepsalt.store.files import write_bytes
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.types import PixelGrid

CELL_PX = 8
"""Edge of a cell of a tile's picture, pixels of the mosaic."""

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
    """Return the picture of a tile; made from its pixels and kept if there is none yet.

    Raises
    ------
    StoreError
        The tile cannot be read, or the picture not be kept.
    """
    path = layout.picture_path(manifest.period, manifest.tile)
    picture = _read(path)
    if picture is None:
        picture = _from_pixels(layout, manifest)
        content = BytesIO()
        np.savez_compressed(content, kinds=picture.kinds, counts=picture.counts)
        write_bytes(path, content.getvalue())
    return picture


def _read(path: Path) -> TilePicture | None:
    try:
        with np.load(path, allow_pickle=False) as found:
            return TilePicture(found["kinds"], found["counts"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None  # made anew: it holds nothing that the pixels do not


def _from_pixels(layout: Layout, manifest: TileManifest) -> TilePicture:
    whole, edge = layout.region(manifest.tile), layout.grid.tile_px
    votes, counts = Votes((edge, edge), CELL_PX), np.zeros(len(KINDS) + 1, np.int64)
    counts[OUTSIDE] = edge**2
    kinds_at = _reading(layout, manifest.period)
    for region in layout.filled(manifest):
        kinds = kinds_at(region)
        votes.add(kinds, (region.y[0] - whole.y[0], region.x[0] - whole.x[0]))
        counts += np.bincount(kinds.ravel(), minlength=counts.size)
        counts[OUTSIDE] -= kinds.size
    return TilePicture(votes.winners(), counts)


def _reading(layout: Layout, period: str) -> KindsAt:
    arrays, index = open_layers(layout.group, _DRAWN), layout.periods.index(period)

    def kinds_at(region: Region) -> NDArray[np.uint8]:
        place = (index, slice(*region.y), slice(*region.x))
        return classify(*(np.asarray(arrays[layer.name][place]) for layer in _DRAWN))

    return kinds_at


def picture_of_version(layout: Layout, period: str) -> Picture:
    """Reduce one period of a version, published or not, to kinds, cropped to what was measured.

    Raises
    ------
    StoreError
        A tile cannot be read.
    """
    manifests = layout.tile_manifests(period)
    grid = layout.grid.extent_grid(layout.extent)
    if is_drawn_by_tiles(layout):
        return _put_tiles_together(layout, manifests, grid)
    filled = [region for each in manifests for region in layout.filled(each)]
    return put_together(grid, filled, _reading(layout, period))


def _put_tiles_together(
    layout: Layout, manifests: Sequence[TileManifest], pixels: PixelGrid
) -> Picture:
    """Do it with the tiles' pictures; a cell shows the kind that most of their cells have."""
    a, b, c, d, e, f = pixels.transform
    corner = (a * CELL_PX, b, c, d, e * CELL_PX, f)
    cells = PixelGrid(pixels.crs, corner, pixels.height // CELL_PX, pixels.width // CELL_PX)
    tiles = {_cells(layout, each): each for each in manifests}
    picture = put_together(
        cells, list(tiles), lambda region: tile_picture(layout, tiles[region]).kinds
    )
    counts = [tile_picture(layout, each).counts for each in manifests]
    return replace(picture, counts=np.sum(counts, axis=0, dtype=np.int64))


def _cells(layout: Layout, manifest: TileManifest) -> Region:
    y, x = (
        (first // CELL_PX, last // CELL_PX)
        for first, last in (layout.region(manifest.tile).y, layout.region(manifest.tile).x)
    )
    return Region(y, x)
