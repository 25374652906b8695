"""Many scenes in little memory, and the order in which they are worked on."""

import pickle
import zlib
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar, overload

from deepsalt.errors import GridError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.types import Acquisition, Asset, BandTable, PixelGrid

Kind = TypeVar("Kind")


class Scenes(Sequence[Acquisition]):
    """Scenes, packed: a few hundred bytes each instead of tens of thousands.

    Scenes of one sensor mostly have equal bands and scales, of which each column is kept once; what
    is left of one scene is compressed with another one as the dictionary.

    Parameters
    ----------
    acquisitions
        The scenes, taken one by one.
    """

    def __init__(self, acquisitions: Iterable[Acquisition] = ()) -> None:
        self._columns: list[Any] = []
        self._known: dict[Hashable, int] = {}
        self._packed: list[bytes] = []
        self._first = b""
        for each in acquisitions:
            self.add(each)

    def add(self, acquisition: Acquisition) -> int:
        """Add a scene and return its index."""
        self._packed.append(self._pack(acquisition))
        return len(self._packed) - 1

    def only(self, indices: Iterable[int]) -> "Scenes":
        """Return some of the scenes, in an order."""
        found = Scenes()
        found._columns, found._known, found._first = self._columns, self._known, self._first
        found._packed = [self._packed[index] for index in indices]
        return found

    def _pack(self, acquisition: Acquisition) -> bytes:
        bands = acquisition.bands
        numbers = (bands.centers_nm, bands.fwhm_nm, acquisition.gain, acquisition.offset)
        columns = [
            self._column((bands.names, bands.usable)),
            *(self._column(array("d", column).tobytes()) for column in numbers),
        ]
        grid, assets = _VALUES[PixelGrid](acquisition.grid), acquisition.assets
        data = pickle.dumps(
            (columns, grid, list(map(_VALUES[Asset], assets)), _REST(acquisition)),
            protocol=pickle.HIGHEST_PROTOCOL,
        )
        self._first = self._first or data
        packer = zlib.compressobj(6, zdict=self._first)
        return packer.compress(data) + packer.flush()

    def _column(self, column: Hashable) -> int:
        index = self._known.setdefault(column, len(self._columns))
        if index == len(self._columns):
            self._columns.append(column)
        return index

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
        packed = zlib.decompressobj(zdict=self._first)
        columns, grid, assets, rest = pickle.loads(
            packed.decompress(self._packed[index]) + packed.flush()
        )
        (names, usable), centers, fwhm, gain, offset = (self._columns[each] for each in columns)
        apart = (
            _again(PixelGrid, _NAMES[PixelGrid], grid),
            _table(names, centers, fwhm, usable),
            _floats(gain),
            _floats(offset),
            tuple(_again(Asset, _NAMES[Asset], each) for each in assets),
        )
        return _again(Acquisition, (*_APART, *_REST_NAMES), (*apart, *rest))

    def __iter__(self) -> Iterator[Acquisition]:
        return (self[index] for index in range(len(self)))


_NAMES = {
    kind: tuple(field.name for field in fields(kind)) for kind in (Acquisition, Asset, PixelGrid)
}
_VALUES = {kind: attrgetter(*names) for kind, names in _NAMES.items()}
_APART = ("grid", "bands", "gain", "offset", "assets")
_REST_NAMES = tuple(name for name in _NAMES[Acquisition] if name not in _APART)
_REST = attrgetter(*_REST_NAMES)


def _again(kind: type[Kind], names: Iterable[str], values: Iterable[Any]) -> Kind:
    """Return an object of values that were checked when it was made first."""
    found = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(found, name, value)
    return found


@lru_cache(maxsize=64)
def _floats(packed: bytes) -> tuple[float, ...]:
    return tuple(array("d", packed))


@lru_cache(maxsize=64)
def _table(
    names: tuple[str, ...], centers: bytes, fwhm: bytes, usable: tuple[bool, ...]
) -> BandTable:
    columns = (names, _floats(centers), _floats(fwhm), usable)
    return _again(BandTable, ("names", "centers_nm", "fwhm_nm", "usable"), columns)


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
