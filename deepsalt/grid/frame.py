"""Extent of the arrays of a mosaic: the whole area of use of its CRS, from the start."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from deepsalt.errors import GridError
from deepsalt.grid.crs import area_of_use
from deepsalt.grid.tiles import Extent, MosaicGrid, Tile
from deepsalt.types import PixelGrid

Cell = tuple[int, int, int]
"""Index of a tile in the arrays over tiles: slot of the period, row, column."""

_MARGIN_M = 500_000.0  # scenes at the edge of a CRS's area of use reach beyond it
_REACH_M = 5_000_000.0  # around the anchor, where a CRS does not say where it may be used


@dataclass(frozen=True, slots=True)
class Frame:
    """Extent of the arrays of a mosaic.

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
        size = grid.tile_px * grid.resolution_m
        x, y = grid.anchor
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
                    f"{name} lies more than {_MARGIN_M / 1000:.0f} km outside the area of use of "
                    f"{self.grid.crs:.40}; leave it out, or map it in another CRS"
                )
