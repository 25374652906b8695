"""Many scenes in little memory, and the order in which they are processed."""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import GridError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.types import Acquisition, Asset, BandTable, PixelGrid

Kind = TypeVar("Kind")


class Book:
    """What packed scenes have in common: each needs the book that it was packed with.

    Scenes of one sensor mostly have equal bands and scales, so each column is kept once, as its
    difference from the first one; the rest of a scene is compressed with another one as the
    dictionary.
    """

    def __init__(self) -> None:
        self._names: list[tuple[tuple[str, ...], tuple[bool, ...]]] = []
        self._columns = tuple(_Columns() for _ in range(4))
        self._first = b""

    def pack(self, acquisition: Acquisition) -> "Packed":
        """Return a scene in a few hundred bytes, with this book."""
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
        return self, packer.compress(data) + packer.flush()

    def unpack(self, data: bytes) -> Acquisition:
        """Return a scene that was packed with this book, as it was."""
        packed = zlib.decompressobj(zdict=self._first)
        (named, *rows), grid, assets, rest = pickle.loads(packed.decompress(data) + packed.flush())
        bands = _table(self, named, *rows[:2])
        gain, offset = (known[row] for known, row in zip(self._columns[2:], rows[2:], strict=True))
        apart = (_GRID.made(grid), bands, gain, offset, tuple(map(_ASSET.made, assets)))
        return _ACQUISITION.made((*apart, *rest))

    def table(self, named: int, centers: int, fwhm: int) -> BandTable:
        """Return a table by the places of its parts."""
        names, usable = self._names[named]
        return _BANDS.made((names, self._columns[0][centers], self._columns[1][fwhm], usable))


Packed = tuple[Book, bytes]
"""A packed scene."""


@lru_cache(maxsize=64)
def _table(book: Book, named: int, centers: int, fwhm: int) -> BandTable:
    """Return a table of a book; scenes that are unpacked near each other share one."""
    return book.table(named, centers, fwhm)


class Scenes(Sequence[Acquisition]):
    """Scenes, packed: a few hundred bytes each instead of tens of thousands.

    Parameters
    ----------
    acquisitions
        The scenes, taken one by one.
    """

    def __init__(self, acquisitions: Iterable[Acquisition] = ()) -> None:
        book = Book()
        self._packed = [book.pack(each) for each in acquisitions]

    @classmethod
    def of(cls, packed: Iterable[Packed]) -> "Scenes":
        """Return scenes that were packed, each with a book of its own or with one of many."""
        found = cls()
        found._packed = list(packed)
        return found

    def only(self, indices: Iterable[int]) -> "Scenes":
        """Return some of the scenes, in the given order."""
        return Scenes.of(self._packed[index] for index in indices)

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
        book, data = self._packed[index]
        return book.unpack(data)

    def __iter__(self) -> Iterator[Acquisition]:
        return (self[index] for index in range(len(self)))


class _Columns:
    """Columns of numbers, one per band: equal ones once, others as differences from the first.

    Numbers are written with a few decimals, and differ by little from scene to scene. What is kept
    are their differences in steps, and the bits that steps do not say: mostly none.
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
        self._first = self._first or column.tobytes()
        steps = _steps(column)
        more = column.view(np.int64) ^ (steps / _STEPS).view(np.int64)
        return zlib.compress(
            (steps - _base(self._first, column.size)).tobytes() + more.tobytes(), 1
        )

    def __getitem__(self, index: int) -> tuple[float, ...]:
        return _numbers(self._packed[index], self._first)


_AT_A_TIME = 512
"""Scenes whose tiles are looked for together; unpacked they take ten megabytes."""

_STEPS = 1e4
_MOST_STEPS = 1e12


@lru_cache(maxsize=64)
def _numbers(packed: bytes, first: bytes) -> tuple[float, ...]:
    steps, more = np.frombuffer(zlib.decompress(packed)).reshape(2, -1)
    column = (steps + _base(first, steps.size)) / _STEPS
    return tuple((column.view(np.int64) ^ more.view(np.int64)).view(np.float64).tolist())


def _base(first: bytes, size: int) -> NDArray[np.float64]:
    """Return the steps of the first column for one of as many numbers, zeros for any other."""
    column = np.frombuffer(first)
    return _steps(column) if column.size == size else np.zeros(size)


def _steps(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers as whole steps; zero for those that would not be exact."""
    with np.errstate(over="ignore"):  # what no product can mean may stand in unused bands
        steps: NDArray[np.float64] = np.rint(column * _STEPS)
    steps[~(np.abs(steps) < _MOST_STEPS)] = 0.0
    return steps


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


def with_tiles(
    grid: MosaicGrid, scenes: Iterable[Acquisition]
) -> Iterator[tuple[Acquisition, list[Tile] | GridError]]:
    """Yield each scene with the tiles under it, or with why the grid cannot hold it."""
    left = iter(scenes)
    while some := list(islice(left, _AT_A_TIME)):
        yield from zip(some, grid.tiles_over_each([each.grid for each in some]), strict=True)


def in_space(grid: MosaicGrid, scenes: Iterable[Acquisition]) -> list[tuple[Tile, ...]]:
    """Return the tiles under each scene; none for one that the grid cannot hold."""
    known: dict[Tile, Tile] = {}
    return [
        tuple(known.setdefault(t, t) for t in ([] if isinstance(tiles, GridError) else tiles))
        for _, tiles in with_tiles(grid, scenes)
    ]


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
