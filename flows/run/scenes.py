"""Many scenes in little memory, and the order in which they are processed."""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import GridError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.types import Acquisition, Asset, BandTable, PixelGrid

Kind = TypeVar("Kind")


class Scenes(Sequence[Acquisition]):
    """Scenes, packed: a few hundred bytes each instead of tens of thousands.

    Scenes of one sensor mostly have equal bands and scales, so each column is kept once, as its
    difference from the first one; the rest of a scene is compressed with another one as the
    dictionary.

    Parameters
    ----------
    acquisitions
        The scenes, taken one by one.
    """

    def __init__(self, acquisitions: Iterable[Acquisition] = ()) -> None:
        self._names: list[tuple[tuple[str, ...], tuple[bool, ...]]] = []
        self._columns = tuple(_Columns() for _ in range(4))
        self._tables: dict[tuple[int, int, int], BandTable] = {}
        self._packed: list[bytes] = []
        self._first = b""
        for each in acquisitions:
            self.add(each)

    def add(self, acquisition: Acquisition) -> int:
        """Add a scene and return its index."""
        self._packed.append(self._pack(acquisition))
        return len(self._packed) - 1

    def only(self, indices: Iterable[int]) -> "Scenes":
        """Return some of the scenes, in the given order."""
        found = Scenes()
        found._names = self._names
        found._columns = self._columns
        found._first = self._first
        found._tables = self._tables
        found._packed = [self._packed[index] for index in indices]
        return found

    def _pack(self, acquisition: Acquisition) -> bytes:
        bands = acquisition.bands
        if (names := (bands.names, bands.usable)) not in self._names:
            self._names.append(names)
        numbers = (bands.centers_nm, bands.fwhm_nm, acquisition.gain, acquisition.offset)
        columns = (
            self._names.index(names),
            *(known.add(column) for known, column in zip(self._columns, numbers, strict=True)),
        )
        grid = _GRID.values(acquisition.grid)
        assets = acquisition.assets
        data = pickle.dumps(
            (columns, grid, list(map(_ASSET.values, assets)), _REST.values(acquisition)),
            protocol=pickle.HIGHEST_PROTOCOL,
        )
        self._first = self._first or data
        packer = zlib.compressobj(6, zdict=self._first)
        return packer.compress(data) + packer.flush()

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> Acquisition: ...
    @overload
    def __getitem__(self, index: slice) -> "list[Acquisition]": ...
    def __getitem__(self, index: int | slice) -> "Acquisition | list[Acquisition]":
        """Return a scene unchanged."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        packed = zlib.decompressobj(zdict=self._first)
        (named, *rows), grid, assets, rest = pickle.loads(
            packed.decompress(self._packed[index]) + packed.flush()
        )
        bands = self._bands(named, *rows[:2])
        gain, offset = (known[row] for known, row in zip(self._columns[2:], rows[2:], strict=True))
        apart = (_GRID.made(grid), bands, gain, offset, tuple(map(_ASSET.made, assets)))
        return _ACQUISITION.made((*apart, *rest))

    def _bands(self, named: int, centers: int, fwhm: int) -> BandTable:
        """Return a table by its parts; scenes unpacked near each other share one."""
        key = named, centers, fwhm
        found = self._tables.get(key)
        if found is None:
            names, usable = self._names[named]
            columns = self._columns[0][centers], self._columns[1][fwhm]
            found = _BANDS.made((names, *columns, usable))
            if len(self._tables) >= _TABLES:
                self._tables.clear()
            self._tables[key] = found
        return found

    def __iter__(self) -> Iterator[Acquisition]:
        return (self[index] for index in range(len(self)))


class _Columns:
    """Columns of numbers, one per band: equal ones once, others as differences from the first.

    Numbers are written with a few decimals, and differ by little from scene to scene.
    """

    def __init__(self) -> None:
        self._first = b""
        self._packed: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._last: tuple[tuple[float, ...], int] = ((), -1)

    def add(self, column: tuple[float, ...]) -> int:
        """Return the index of a column."""
        if column != self._last[0]:
            packed = self._pack(np.array(column))
            index = self._known.setdefault(packed, len(self._packed))
            if index == len(self._packed):
                self._packed.append(packed)
            self._last = (column, index)
        return self._last[1]

    def _pack(self, column: NDArray[np.float64]) -> bytes:
        steps = np.rint(column * _STEPS)
        if not np.array_equal(steps / _STEPS, column):
            return _EXACT + column.tobytes()
        self._first = self._first or steps.tobytes()
        first = np.frombuffer(self._first)
        first = first if first.size == steps.size else np.zeros(1)
        return _IN_STEPS + zlib.compress((steps - first).tobytes(), 1)

    def __getitem__(self, index: int) -> tuple[float, ...]:
        return _numbers(self._packed[index], self._first)


_TABLES = 64
_STEPS = 1e4
_EXACT = b"="
_IN_STEPS = b"-"


@lru_cache(maxsize=64)
def _numbers(packed: bytes, first: bytes) -> tuple[float, ...]:
    if packed.startswith(_EXACT):
        return tuple(np.frombuffer(packed[1:]).tolist())
    steps = np.frombuffer(zlib.decompress(packed[1:]))
    base = np.frombuffer(first)
    base = base if base.size == steps.size else np.zeros(1)
    return tuple(((steps + base) / _STEPS).tolist())


class _Form(Generic[Kind]):
    """Some or all fields of a class with slots: taken from objects, and made into objects again."""

    def __init__(self, kind: type[Kind], names: Iterable[str]) -> None:
        names = tuple(names)
        self.values: Callable[[Kind], tuple[Any, ...]] = attrgetter(*names)
        self._kind = kind
        self._setters = tuple(getattr(kind, name).__set__ for name in names)

    def made(self, values: tuple[Any, ...]) -> Kind:
        """Return an object from values that were checked when it was first made."""
        found = object.__new__(self._kind)
        for put, value in zip(self._setters, values, strict=True):
            put(found, value)
        return found


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_APART = ("grid", "bands", "gain", "offset", "assets")
_OTHERS = tuple(name for name in _names(Acquisition) if name not in _APART)
_ACQUISITION = _Form(Acquisition, (*_APART, *_OTHERS))
_REST = _Form(Acquisition, _OTHERS)
_GRID = _Form(PixelGrid, _names(PixelGrid))
_ASSET = _Form(Asset, _names(Asset))
_BANDS = _Form(BandTable, ("names", "centers_nm", "fwhm_nm", "usable"))


def in_space(grid: MosaicGrid, scenes: Iterable[Acquisition]) -> list[tuple[Tile, ...]]:
    """Return the tiles under each scene; none for one that the grid cannot hold."""
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
    """Return an order of scenes that keeps neighbours together, along a Morton curve.

    So tiles are finished early, and few wait for scenes at a time.
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
