"""Overview of one period of a version, tile by tile, so that it can follow changes.

To read all pixels of a mosaic (28 ns each) for each scene that is added would take a quarter of an
hour for a continent. So who composes a tile says what it looks like, and these tiles are painted
over the picture before. It is known by digest what each tile of it was made of: what does not fit
a version, after a roll-back or beside another build, is read from the pixels.
"""

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import Extent, MosaicGrid, PixelWindow, Tile
from deepsalt.plot.picture import KINDS, OUTSIDE_KIND, Picture, assemble_picture, cells_of
from deepsalt.types import PixelGrid

MOST_CELLS = 2**24
"""Cells of all tiles: four tiles of 2048 pixels show each pixel, a continent every 64th."""
_LEVEL = 1
"""A quarter of the time of 6, for half as many bytes again."""


TileState = tuple[Tile, int]
"""A tile and the digest of what it is made of."""


@dataclass(frozen=True, slots=True)
class TileView:
    """View of a tile.

    Parameters
    ----------
    kinds
        What most pixels of a cell are (n, n) uint8, see `deepsalt.plot.picture`.
    counts
        Pixels of the tile per kind (`KINDS`,) int64.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls, pieces: Iterable[tuple[tuple[int, int], NDArray[np.uint8]]], tile_px: int, cell_px: int
    ) -> Self:
        """Reduce the kinds of a tile's parts, given by their first row and column, to cells."""
        cells = cells_of((tile_px, tile_px), cell_px)
        counts = np.zeros(KINDS, np.int64)
        for corner, kinds in pieces:
            cells.add(kinds, corner)
            counts += np.bincount(kinds.ravel(), minlength=KINDS)
        counts[OUTSIDE_KIND] = tile_px**2 - counts[:OUTSIDE_KIND].sum()
        return cls(cells.winners(), counts)

    def coarser(self, factor: int) -> Self:
        """Return it with cells of so many cells' edge."""
        cells = cells_of(self.kinds.shape, factor)
        cells.add(self.kinds, (0, 0))
        return type(self)(cells.winners(), self.counts)

    def pack(self) -> bytes:
        """Return it as bytes."""
        return zlib.compress(self.counts.tobytes() + self.kinds.tobytes(), _LEVEL)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Return what `pack` made bytes of."""
        counts, kinds = np.split(np.frombuffer(zlib.decompress(packed), np.uint8), [8 * KINDS])
        edge = math.isqrt(kinds.size)
        return cls(kinds.reshape(edge, edge), counts.view(np.int64))


def cell_px(grid: MosaicGrid, tiles: int) -> int:
    """Return the edge of cells for so many tiles, pixels: a power of two, 1 where each may show."""
    size = 1
    while tiles * (grid.tile_px / size) ** 2 > MOST_CELLS and grid.tile_px % (2 * size) == 0:
        size *= 2
    return size


@dataclass(frozen=True, slots=True)
class Overview:
    """Views of the tiles of one period.

    Parameters
    ----------
    grid
        The mosaic's grid.
    cell_px
        Edge of a cell, pixels.
    views
        What each tile looks like, by the tile and the digest of what it is made of.
    """

    grid: MosaicGrid
    cell_px: int
    views: Mapping[TileState, TileView]

    def of(self, tiles: Iterable[TileState]) -> Self:
        """Return it with these tiles alone, as far as they are known."""
        views = {tile: self.views[tile] for tile in tiles if tile in self.views}
        return type(self)(self.grid, self.cell_px, views)

    def painted(self, cell_px: int, views: Mapping[TileState, TileView]) -> Self:
        """Return it with more tiles, whose cells have an edge of so many pixels."""
        size = max(self.cell_px, cell_px)
        painted = {
            tile: view if size == edge else view.coarser(size // edge)
            for some, edge in ((self.views, self.cell_px), (views, cell_px))
            for tile, view in some.items()
        }
        return type(self)(self.grid, size, painted)

    def picture(self) -> Picture:
        """Return what is drawn: its kinds, cropped to what was measured."""
        extent = Extent.of([tile for tile, _ in self.views])
        cell = self.cell_px
        pixels = self.grid.extent_grid(extent)
        a, b, c, d, e, f = pixels.transform
        corner = (a * cell, b, c, d, e * cell, f)
        cells = PixelGrid(pixels.crs, corner, pixels.height // cell, pixels.width // cell)
        at = {_cells(self.grid, tile, extent, cell): view for (tile, _), view in self.views.items()}
        found = assemble_picture(cells, list(at), lambda region: at[region].kinds)
        counts = sum((view.counts for view in at.values()), start=np.zeros(KINDS, np.int64))
        return Picture(found.kinds, counts, found.grid)

    def pack(self) -> bytes:
        """Return it as bytes, with a checksum."""
        edge = self.grid.tile_px // self.cell_px
        tiles = np.array([(tile.ix, tile.iy) for tile, _ in self.views], np.int64)
        digests = np.array([digest for _, digest in self.views], np.uint64)
        counts = np.array([v.counts for v in self.views.values()], np.int64)
        kinds = b"".join(view.kinds.tobytes() for view in self.views.values())
        head = np.array([len(self.views), self.cell_px, edge], np.int64)
        packed = zlib.compress(
            b"".join(part.tobytes() for part in (head, tiles, digests, counts)) + kinds, _LEVEL
        )
        return zlib.crc32(packed).to_bytes(4, "little") + packed

    @classmethod
    def unpack(cls, packed: bytes, grid: MosaicGrid) -> Self | None:
        """Return the value that `pack` encoded; None if damaged or of another grid."""
        # Of nothing the checksum is 0, and so is nothing read as a number.
        if len(packed) <= 4 or zlib.crc32(packed[4:]) != int.from_bytes(packed[:4], "little"):
            return None
        content = np.frombuffer(zlib.decompress(packed[4:]), np.uint8)
        count, cell, edge = (int(number) for number in content[:24].view(np.int64))
        ends = np.cumsum([24, 16 * count, 8 * count, 8 * KINDS * count])
        if cell * edge != grid.tile_px or content.size != ends[-1] + count * edge**2:
            return None
        _, tiles, digests, counts, kinds = np.split(content, ends)
        views = {
            (Tile(int(ix), int(iy)), int(digest)): TileView(each, numbers)
            for (ix, iy), digest, numbers, each in zip(
                tiles.view(np.int64).reshape(-1, 2),
                digests.view(np.uint64),
                counts.view(np.int64).reshape(-1, KINDS),
                kinds.reshape(-1, edge, edge),
                strict=True,
            )
        }
        return cls(grid, cell, views)


def _cells(grid: MosaicGrid, tile: Tile, extent: Extent, cell: int) -> PixelWindow:
    whole = grid.region(tile, extent)
    y, x = ((first // cell, last // cell) for first, last in (whole.y, whole.x))
    return PixelWindow(y, x)
