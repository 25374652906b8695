"""What a quicklook shows: every pixel's kind, counted in full and reduced to a drawable size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.georef import pixel_grid_of
from deepsalt.grid import Region
from deepsalt.types import PixelGrid, QualityFlag

MAX_EDGE_PX = 2000
"""Longest edge of the drawn raster; more would not show in a quicklook."""
BREAKS_DS_M = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Breaks, dS/m: those of the USDA salinity classes (2 to 16, for ECe: U.S. Salinity Laboratory,
Handbook 60), halved twice more, because a water extract of the same soil conducts a fifth to a
third of its saturated paste."""
_PIECE_PX = 1024
_REMEMBERED_PX = 2**26
"""Pixels whose kinds are kept while a picture is made, a byte each."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One colour of the legend: a class of salinity, or a reason for no estimate."""

    label: str
    color: str
    bits: QualityFlag | None = None


SALINITY = (
    Kind("0 - 0.5", "#fff3c4"),
    Kind("0.5 - 1", "#fdd587"),
    Kind("1 - 2", "#fba95a"),
    Kind("2 - 4", "#ee744c"),
    Kind("4 - 8", "#cb4560"),
    Kind("8 - 16", "#8a2a72"),
    Kind("above 16", "#3f1159"),
)
REASONS = (
    Kind("cloud, cirrus", "#dde3ea", QualityFlag.CLOUD | QualityFlag.CIRRUS),
    Kind("cloud shadow", "#a3abb5", QualityFlag.SHADOW),
    Kind("snow", "#c4e3ee", QualityFlag.SNOW),
    Kind("water", "#86aed1", QualityFlag.WATER),
    Kind("green vegetation", "#93b28c", QualityFlag.GREEN_VEGETATION),
    Kind("dry vegetation", "#c9c3ae", QualityFlag.DRY_VEGETATION),
    Kind("saturated, defective", "#7b756f", QualityFlag.DEFECTIVE),
)
"""Reasons in order of precedence, where a pixel has several."""
KINDS = (*SALINITY, *REASONS)
OUTSIDE = len(KINDS)
"""Index of cells where nothing was measured."""
OUTSIDE_COLOR = "#f6f6f3"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a quicklook shows, before it is drawn.

    Parameters
    ----------
    kinds
        Index into `KINDS` per cell (h, w) uint8, one past the last where nothing was measured.
    counts
        Pixels of the mosaic per kind (k,), before coarsening.
    grid
        Grid of the cells.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]
    grid: PixelGrid


KindsAt = Callable[[Region], NDArray[np.uint8]]
"""Returns the index into `KINDS` of a region's pixels (h, w), one past the last outside."""


def picture_of(layers: xr.Dataset) -> Picture:
    """Reduce the layers (y, x) of one period to kinds, cropped to what was measured.

    Parameters
    ----------
    layers
        Layers of one period, and in the attributes where they lie.
    """
    grid = pixel_grid_of(layers.attrs)
    if "salinity" not in layers or "quality_flags" not in layers:
        raise FormatError("a quicklook needs the layers salinity and quality_flags")

    def kinds_at(region: Region) -> NDArray[np.uint8]:
        found = layers.isel(y=slice(*region.y), x=slice(*region.x))
        return classify(found["salinity"].values, found["quality_flags"].values)

    rows, columns = _cuts(grid.height), _cuts(grid.width)
    return assemble_picture(grid, [Region(y, x) for y in rows for x in columns], kinds_at)


def assemble_picture(grid: PixelGrid, pieces: Sequence[Region], kinds_at: KindsAt) -> Picture:
    """Reduce pixels that are given piece by piece, cropped, to at most `MAX_EDGE_PX`.

    Memory does not grow with the mosaic. A cell shows the kind that most of its pixels have.

    Parameters
    ----------
    grid
        All pixels.
    pieces
        Where there may be something measured.
    kinds_at
        Returns the kinds of a piece's pixels (h, w); asked twice for a piece unless there are few.
    """
    kinds_at = _remembered(kinds_at, pieces)
    (top, bottom), (left, right) = _measured_window(grid, pieces, kinds_at)
    factor = math.ceil(max(bottom - top, right - left) / MAX_EDGE_PX)
    window = Region((top, bottom), (left, right))
    cells = cells_of(window.shape, factor)
    counts = np.zeros(OUTSIDE + 1, np.int64)
    for piece in pieces:
        part = _overlap(piece, window)
        if part is not None:
            rows, columns = (
                slice(first - start, last - start)
                for (first, last), (start, _) in ((part.y, piece.y), (part.x, piece.x))
            )
            kinds = kinds_at(piece)[rows, columns]
            counts += np.bincount(kinds.ravel(), minlength=OUTSIDE + 1)
            cells.add(kinds, (part.y[0] - top, part.x[0] - left))
    a, b, c, d, e, f = grid.transform
    corner = (a * factor, b, c + a * left, d, e * factor, f + e * top)
    kinds = cells.winners()
    return Picture(kinds, counts, PixelGrid(grid.crs, corner, *kinds.shape))


def _remembered(kinds_at: KindsAt, pieces: Sequence[Region]) -> KindsAt:
    """Return the same function, with a memory when all it says takes little."""
    pixels = sum(height * width for height, width in (piece.shape for piece in pieces))
    return cache(kinds_at) if pixels <= _REMEMBERED_PX else kinds_at


def classify(
    salinity: NDArray[np.floating[Any]], quality_flags: NDArray[np.uint16]
) -> NDArray[np.uint8]:
    """Return the index into `KINDS` of each pixel, one past the last where nothing was measured."""
    kinds = np.full(quality_flags.shape, OUTSIDE, np.uint8)
    for index, reason in reversed(list(enumerate(REASONS, start=len(SALINITY)))):
        kinds[(quality_flags & np.uint16(reason.bits or 0)) != 0] = index
    estimated = np.isfinite(salinity)
    kinds[estimated] = np.digitize(salinity[estimated], BREAKS_DS_M)
    kinds[(quality_flags & np.uint16(QualityFlag.OUTSIDE)) != 0] = OUTSIDE
    return kinds


def _cuts(size: int) -> list[tuple[int, int]]:
    return [(first, min(first + _PIECE_PX, size)) for first in range(0, size, _PIECE_PX)]


def _overlap(piece: Region, window: Region) -> Region | None:
    (top, bottom), (left, right) = (
        (max(a[0], b[0]), min(a[1], b[1])) for a, b in ((piece.y, window.y), (piece.x, window.x))
    )
    return Region((top, bottom), (left, right)) if top < bottom and left < right else None


def _measured_window(
    grid: PixelGrid, pieces: Sequence[Region], kinds_at: KindsAt
) -> tuple[tuple[int, int], tuple[int, int]]:
    rows = np.zeros(grid.height, np.bool_)
    columns = np.zeros(grid.width, np.bool_)
    for piece in pieces:
        measured = kinds_at(piece) != OUTSIDE
        rows[slice(*piece.y)] |= measured.any(axis=1)
        columns[slice(*piece.x)] |= measured.any(axis=0)
    if not rows.any():
        return (0, grid.height), (0, grid.width)
    # A strip as narrow as a single swath would leave no room for the scale bar and the labels.
    least = max(_length(rows), _length(columns)) // 2
    return _span(rows, least), _span(columns, least)


def _length(flags: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(flags)
    return int(places[-1] - places[0]) + 1


def _span(flags: NDArray[np.bool_], least: int) -> tuple[int, int]:
    """Return the window of the flags that are set, with a margin and at least so long if it can."""
    length = _length(flags)
    margin = max(1, length // 50, (least - length) // 2)
    first = int(np.flatnonzero(flags)[0])
    return max(0, first - margin), min(flags.size, first + length + margin)


class Cells(Protocol):
    """Kinds of pixels, reduced to cells."""

    def add(self, kinds: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        """Take in the pixels of a piece, whose first one is at `corner`."""

    def winners(self) -> NDArray[np.uint8]:
        """Return the kind of each cell; a pixel that was not taken in is outside."""


def cells_of(shape: tuple[int, int], factor: int) -> Cells:
    """Return cells of so many pixels' edge over a raster of this shape (pixels)."""
    return _Pixels(shape) if factor == 1 else Votes(shape, factor)


class _Pixels:
    """`Cells` of a pixel each."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._kinds = np.full(shape, OUTSIDE, np.uint8)

    def add(self, kinds: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        (top, left), (height, width) = corner, kinds.shape
        self._kinds[top : top + height, left : left + width] = kinds

    def winners(self) -> NDArray[np.uint8]:
        return self._kinds


class Votes:
    """`Cells` that show what most of their pixels are.

    Parameters
    ----------
    shape
        Height and width, pixels.
    factor
        Edge of a cell, pixels.
    """

    def __init__(self, shape: tuple[int, int], factor: int) -> None:
        cells = [-(-size // factor) for size in shape]
        self.shape = shape
        self.factor = factor
        self.votes = np.zeros((len(KINDS), *cells), np.min_scalar_type(factor**2))

    def add(self, kinds: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        """Count the pixels of a piece, whose first one is at `corner`."""
        factor = self.factor
        cell = [place // factor for place in corner]
        before = [place % factor for place in corner]
        after = [-(skip + size) % factor for skip, size in zip(before, kinds.shape, strict=True)]
        padded = np.pad(kinds, list(zip(before, after, strict=True)), constant_values=OUTSIDE)
        height, width = (size // factor for size in padded.shape)
        blocks = padded.reshape(height, factor, width, factor)
        place = (slice(cell[0], cell[0] + height), slice(cell[1], cell[1] + width))
        for kind in np.flatnonzero(np.bincount(kinds.ravel(), minlength=OUTSIDE)[:OUTSIDE]):
            found = (blocks == kind).sum(axis=(1, 3), dtype=self.votes.dtype)
            self.votes[kind][place] += found

    def winners(self) -> NDArray[np.uint8]:
        """Return the kind of each cell; a pixel that did not vote is outside."""
        counted = self.votes
        sizes = [
            np.diff(np.r_[np.arange(0, size, self.factor), size]).astype(np.int32)
            for size in self.shape
        ]
        silent = np.multiply.outer(*sizes) - counted.sum(axis=0, dtype=np.int32)
        winners: NDArray[np.uint8] = counted.argmax(axis=0).astype(np.uint8)
        winners[silent > counted.max(axis=0)] = OUTSIDE
        return winners
