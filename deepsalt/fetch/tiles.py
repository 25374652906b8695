"""Which bytes of a tiled TIFF hold some of its pixels, as its first bytes say.

Files whose directories do not all stand in front of the pixels, as Cloud-Optimized GeoTIFFs have
them, are fetched whole. After TIFF 6.0 (Adobe, 1992) and the BigTIFF design (Aware Systems, 2007).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_BYTES = 2**18
"""First bytes of a file to look at: directories of a Cloud-Optimized GeoTIFF of 224 bands take 100
kB."""

LEAST_BYTES = 2**23
"""Smaller files are fetched whole: one request more would cost as much."""

OTHERS = (".he5", ".h5", ".hdf5", ".hdf", ".nc", ".zip")
"""Ends of names of files that are no TIFF, so that their first bytes need no look."""

_MARGIN_BYTES = 8  # GDAL writes the size of a tile before it, and its last bytes again behind it
_JOINED_BYTES = 2**16  # a request costs about as much as so many bytes between two tiles
_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _PLANAR = 256, 257, 284
_SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 277, 322, 323
_OFFSETS, _COUNTS, _STRIPS = 324, 325, 273
_SEPARATE = 2  # PlanarConfiguration: a tile per band

Pixels = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of pixels (p,), (p,)."""

Ranges = list[tuple[int, int]]
"""First byte and the one after the last, of each part of a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the tiles of an image lie in its file.

    Parameters
    ----------
    header_bytes
        Length of what stands in front of all pixels.
    tile
        Rows and columns of a tile, pixels.
    across, down
        Tiles in a row, and rows of tiles.
    offsets, counts
        First byte and length of each tile (n,); bands that are stored apart follow each other.
    size_bytes
        Of the file.
    """

    header_bytes: int
    tile: tuple[int, int]
    across: int
    down: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    size_bytes: int

    def ranges(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Ranges:
        """Return the bytes of the header and of all tiles that hold some pixels, joined."""
        places = np.unique(rows // self.tile[0] * self.across + columns // self.tile[1])
        plane = self.across * self.down
        tiles = (np.arange(0, self.offsets.size, plane)[:, None] + places).ravel()
        tiles = tiles[self.counts[tiles] > 0]
        starts = self.offsets[tiles] - _MARGIN_BYTES
        ends = np.minimum(self.offsets[tiles] + self.counts[tiles] + _MARGIN_BYTES, self.size_bytes)
        found: Ranges = [(0, self.header_bytes)]
        for start, end in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
            if start - found[-1][1] <= _JOINED_BYTES:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((start, end))
        return found


def layout_of(first: bytes, size_bytes: int) -> Layout | None:
    """Return the layout of a tiled TIFF from its first bytes; None if they do not say it.

    Parameters
    ----------
    first
        The first bytes of the file.
    size_bytes
        Size of the file.
    """
    try:
        directories = list(_directories(first))
        image = directories[0]
        offsets, counts = image[_OFFSETS], image[_COUNTS]
        tile = (image[_TILE_HEIGHT][0], image[_TILE_WIDTH][0])
        across, down = -(-image[_WIDTH][0] // tile[1]), -(-image[_HEIGHT][0] // tile[0])
        apart = image.get(_PLANAR, (1,))[0] == _SEPARATE
        planes = image.get(_SAMPLES, (1,))[0] if apart else 1
        data = [
            start for each in directories for start in each.get(_OFFSETS) or each[_STRIPS] if start
        ]
    except (KeyError, IndexError, ValueError, ZeroDivisionError, struct.error):
        return None
    places = np.array(offsets, np.int64), np.array(counts, np.int64)
    if not len(offsets) == len(counts) == across * down * planes or not data:
        return None
    if (places[0] + places[1] > size_bytes).any() or min(data) > len(first):
        return None
    return Layout(min(data), tile, across, down, *places, size_bytes)


def _directories(first: bytes) -> Iterator[dict[int, Sequence[int]]]:
    """Yield the numbers in each directory, by tag.

    Raises
    ------
    ValueError, struct.error
        It is no TIFF, or something lies beyond the bytes.
    """
    order = {b"II": "<", b"MM": ">"}[first[:2]]
    (version,) = struct.unpack_from(f"{order}H", first, 2)
    is_big = version == 43
    if version not in (42, 43):
        raise ValueError(version)
    count_of, entry, pointer = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    (at,) = struct.unpack_from(f"{order}{pointer}", first, 8 if is_big else 4)
    seen = set[int]()
    while at:
        if at in seen:
            raise ValueError("directories in a circle")
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}{count_of}", first, at)
        at += struct.calcsize(f"{order}{count_of}")
        if at + count * entry > len(first):
            raise ValueError("a directory beyond the bytes")
        numbers = (_entry(first, at + i * entry, order, pointer) for i in range(count))
        yield {tag: values for tag, values in numbers if values}
        (at,) = struct.unpack_from(f"{order}{pointer}", first, at + count * entry)


def _entry(first: bytes, at: int, order: str, pointer: str) -> tuple[int, Sequence[int]]:
    """Return tag and numbers of an entry; none of a kind that says nothing about bytes."""
    tag, kind, count = struct.unpack_from(f"{order}HH{pointer}", first, at)
    size = struct.calcsize(pointer)
    if kind not in _TYPES:
        return tag, ()
    form = f"{order}{count}{_TYPES[kind]}"
    where = at + 4 + size
    if struct.calcsize(form) > size:
        (where,) = struct.unpack_from(f"{order}{pointer}", first, where)
    if where + struct.calcsize(form) > len(first):
        raise ValueError("numbers beyond the bytes")
    return tag, struct.unpack_from(form, first, where)
