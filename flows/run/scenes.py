"""Many scenes in little memory, and the order in which they are worked on."""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

from deepsalt.errors import GridError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.types import Acquisition, BandTable

_NO_BANDS = BandTable(("none",), (1000.0,), (1.0,), (True,))


class Scenes(Sequence[Acquisition]):
    """Scenes, packed: a few hundred bytes each instead of some thousand.

    Scenes of one sensor mostly have equal bands and scales, which are kept once; what is left of
    one scene is compressed with another one as the dictionary.

    Parameters
    ----------
    acquisitions
        The scenes, taken one by one.
    """

    def __init__(self, acquisitions: Iterable[Acquisition] = ()) -> None:
        self._rows: dict[tuple[Any, ...], int] = {}
        self._tables: list[tuple[Any, ...]] = []
        self._packed: list[bytes] = []
        self._known = b""
        for each in acquisitions:
            self.add(each)

    def add(self, acquisition: Acquisition) -> int:
        """Add a scene and return its index."""
        self._packed.append(self._pack(acquisition))
        return len(self._packed) - 1

    def only(self, indices: Iterable[int]) -> "Scenes":
        """Return some of the scenes, in an order."""
        found = Scenes()
        found._rows, found._tables, found._known = self._rows, self._tables, self._known
        found._packed = [self._packed[index] for index in indices]
        return found

    def _pack(self, acquisition: Acquisition) -> bytes:
        table = (acquisition.bands, acquisition.gain, acquisition.offset)
        row = self._rows.setdefault(table, len(self._tables))
        if row == len(self._tables):
            self._tables.append(table)
        bare = replace(acquisition, bands=_NO_BANDS, gain=(1.0,), offset=(0.0,))
        data = pickle.dumps((row, bare), protocol=pickle.HIGHEST_PROTOCOL)
        self._known = self._known or data
        packer = zlib.compressobj(6, zdict=self._known)
        return packer.compress(data) + packer.flush()

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> Acquisition: ...
    @overload
    def __getitem__(self, index: slice) -> "list[Acquisition]": ...
    def __getitem__(self, index: int | slice) -> "Acquisition | list[Acquisition]":
        """Return a scene, as it was."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        packed = zlib.decompressobj(zdict=self._known)
        row, bare = pickle.loads(packed.decompress(self._packed[index]) + packed.flush())
        bands, gain, offset = self._tables[row]
        found: Acquisition = replace(bare, bands=bands, gain=gain, offset=offset)
        return found

    def __iter__(self) -> Iterator[Acquisition]:
        return (self[index] for index in range(len(self)))


def in_space(grid: MosaicGrid, scenes: Iterable[Acquisition]) -> list[tuple[Tile, ...]]:
    """Return the tiles under each scene; none of one that the grid cannot hold."""
    known: dict[Tile, Tile] = {}
    found = []
    for each in scenes:
        try:
            tiles = sorted(grid.tiles_over(each.grid))
        except GridError:
            tiles = []
        found.append(tuple(known.setdefault(tile, tile) for tile in tiles))
    return found


def along_curve(tiles: Sequence[tuple[Tile, ...]]) -> list[int]:
    """Return the order of scenes in which neighbours come together, along a Morton curve.

    So tiles are finished early, and few are waiting for scenes at a time.
    """
    return sorted(range(len(tiles)), key=lambda scene: _place(tiles[scene]))


def _place(tiles: tuple[Tile, ...]) -> int:
    if not tiles:
        return -1
    first = tiles[0]
    place = 0
    for bit in range(24):
        place |= (first.ix + 2**23 >> bit & 1) << 2 * bit
        place |= (first.iy + 2**23 >> bit & 1) << 2 * bit + 1
    return place
