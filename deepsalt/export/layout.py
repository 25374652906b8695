"""Which part of a mosaic an export covers, and the keys of its shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from deepsalt.grid import Extent, Frame, MosaicGrid, PixelWindow, Tile
from deepsalt.types import PixelGrid
from deepsalt.versions import Filled, Piece

ROUNDED_TILES = 16
"""An export's extent is rounded out to this many tiles, so that most growth moves nothing."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Extent of the arrays of an export.

    Parameters
    ----------
    grid
        The mosaic's grid.
    extent
        Tiles inside it.
    slots
        Slots of the mosaic's periods, in order of time: the period axis.
    is_sharded
        Whether each shard is an object; otherwise each chunk is.
    """

    grid: MosaicGrid
    extent: Extent
    slots: tuple[int, ...]
    is_sharded: bool

    @classmethod
    def of(cls, frame: Frame, filled: Sequence[Filled], *, is_sharded: bool) -> Self:
        """Return the layout of a new export of a version."""
        data = data_of(filled)
        limit = frame.extent
        n = ROUNDED_TILES
        extent = Extent(
            max(data.ix0 // n * n, limit.ix0),
            max(data.iy0 // n * n, limit.iy0),
            min(-(-data.ix1 // n) * n, limit.ix1),
            min(-(-data.iy1 // n) * n, limit.iy1),
        )
        return cls(frame.grid, extent, tuple(each.slot for each in filled), is_sharded)

    def holding(self, filled: Sequence[Filled]) -> "Layout | None":
        """Return this layout with the periods of a version; None if shards would have to move.

        The extent stays as long as it covers the data, so that an export does not shrink with a
        withdrawal and grow again with the next scene.
        """
        slots = tuple(each.slot for each in filled)
        data = data_of(filled)
        e = self.extent
        covers = e.ix0 <= data.ix0 and e.iy0 <= data.iy0 and data.ix1 <= e.ix1 and data.iy1 <= e.iy1
        common = min(len(slots), len(self.slots))
        if not covers or slots[:common] != self.slots[:common]:
            return None
        return Layout(self.grid, e, slots, self.is_sharded)

    def longer(self, other: "Layout") -> "Layout":
        """Return which of two equivalent layouts has more periods."""
        return self if len(self.slots) >= len(other.slots) else other

    @property
    def pixels(self) -> PixelGrid:
        """All pixels of the arrays."""
        return self.grid.extent_grid(self.extent)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a layer (period, y, x)."""
        return len(self.slots), self.pixels.height, self.pixels.width

    def region(self, data: Extent) -> PixelWindow:
        """Return the pixels of some tiles."""
        first = self.grid.region(Tile(data.ix0, data.iy0), self.extent)
        last = self.grid.region(Tile(data.ix1 - 1, data.iy1 - 1), self.extent)
        return PixelWindow(y=(first.y[0], last.y[1]), x=(first.x[0], last.x[1]))

    def shards(self, piece: Piece) -> Iterator[tuple[tuple[int, int], tuple[int, int, int]]]:
        """Yield the shards of a piece: place in the tile, and index among the export's shards."""
        slot, tile = piece
        n = self.grid.tile_shards
        period = self.slots.index(slot)
        row, column = (tile.iy - self.extent.iy0) * n, (tile.ix - self.extent.ix0) * n
        for dy in range(n):
            for dx in range(n):
                yield (dy, dx), (period, row + dy, column + dx)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        e = self.extent
        return {
            "grid": self.grid.to_dict(),
            "extent": [e.ix0, e.iy0, e.ix1, e.iy1],
            "slots": [*self.slots],
            "sharded": self.is_sharded,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the layout that `to_dict` described."""
        grid = MosaicGrid.from_dict(values["grid"])
        extent = Extent(*values["extent"])
        slots = tuple(int(slot) for slot in values["slots"])
        return cls(grid, extent, slots, bool(values["sharded"]))


def data_of(filled: Sequence[Filled]) -> Extent:
    """Return the bounding box of all tiles with data."""
    return Extent.of([tile for each in filled for tile in each.tiles])


def pieces_of(filled: Sequence[Filled]) -> dict[Piece, int]:
    """Return the digest of every tile with data."""
    return {(each.slot, tile): digest for each in filled for tile, digest in each.tiles.items()}
