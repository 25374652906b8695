"""Content of a quicklook: every pixel's class, counted in full and reduced to a drawable size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.grid import PixelWindow
from deepsalt.grid.georef import grid_of_layers
from deepsalt.types import PixelGrid, QualityFlag

MAX_EDGE_PX = 2000
"""Longest edge of the drawn raster; more would not show in a quicklook."""
BREAKS_DS_M = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Breaks, dS/m: those of the USDA salinity classes (2 to 16, for ECe: U.S. Salinity Laboratory,
Handbook 60), halved twice more, because a water extract of the same soil conducts a fifth to a
third of its saturated paste."""
_PIECE_PX = 1024
_REMEMBERED_PX = 2**26
"""Pixels whose classes are kept while a picture is made, a byte each."""


@dataclass(frozen=True, slots=True)
class LegendClass:
    """One colour of the legend: a class of salinity, or a reason for no estimate."""

    label: str
    color: str
    bits: QualityFlag | None = None


SALINITY = (
    LegendClass("0 - 0.5", "#fff3c4"),
    LegendClass("0.5 - 1", "#fdd587"),
    LegendClass("1 - 2", "#fba95a"),
    LegendClass("2 - 4", "#ee744c"),
    LegendClass("4 - 8", "#cb4560"),
    LegendClass("8 - 16", "#8a2a72"),
    LegendClass("above 16", "#3f1159"),
)
REASONS = (
    LegendClass("cloud, cirrus", "#dde3ea", QualityFlag.CLOUD | QualityFlag.CIRRUS),
    LegendClass("cloud shadow", "#a3abb5", QualityFlag.SHADOW),
    LegendClass("snow", "#c4e3ee", QualityFlag.SNOW),
    LegendClass("water", "#86aed1", QualityFlag.WATER),
    LegendClass("green vegetation", "#93b28c", QualityFlag.GREEN_VEGETATION),
    LegendClass("dry vegetation", "#c9c3ae", QualityFlag.DRY_VEGETATION),
    LegendClass("saturated, defective", "#7b756f", QualityFlag.DEFECTIVE),
)
"""Reasons in order of precedence, where a pixel has several."""
CLASSES = (*SALINITY, *REASONS)
OUTSIDE_CLASS = len(CLASSES)
"""Index of cells without a measurement."""
OUTSIDE_COLOR = "#f6f6f3"


@dataclass(frozen=True, slots=True)
class Picture:
    """Content of a quicklook, before it is drawn.

    Parameters
    ----------
    classes
        Index into `CLASSES` per cell (h, w) uint8, one past the last where nothing was measured.
    counts
        Pixels of the mosaic per class (k,), before coarsening.
    grid
        Grid of the cells.
    """

    classes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    grid: PixelGrid


ClassesAt = Callable[[PixelWindow], NDArray[np.uint8]]
"""Returns the index into `CLASSES` of a region's pixels (h, w), one past the last outside."""


def picture_of(layers: xr.Dataset) -> Picture:
    """Reduce the layers (y, x) of one period to classes, cropped to what was measured.

    Parameters
    ----------
    layers
        Layers of one period, and in the attributes where they lie.
    """
    grid = grid_of_layers(layers)
    if "salinity" not in layers or "quality_flags" not in layers:
        raise FormatError("a quicklook needs the layers salinity and quality_flags")

    def classes_at(region: PixelWindow) -> NDArray[np.uint8]:
        found = layers.isel(y=slice(*region.y), x=slice(*region.x))
        return classify(found["salinity"].values, found["quality_flags"].values)

    rows, columns = _cuts(grid.height), _cuts(grid.width)
    return assemble_picture(grid, [PixelWindow(y, x) for y in rows for x in columns], classes_at)


def assemble_picture(
    grid: PixelGrid, pieces: Sequence[PixelWindow], classes_at: ClassesAt
) -> Picture:
    """Reduce pixels that are given piece by piece, cropped, to at most `MAX_EDGE_PX`.

    Memory does not grow with the mosaic. A cell shows the class that most of its pixels have.

    Parameters
    ----------
    grid
        All pixels.
    pieces
        Where there may be something measured.
    classes_at
        Returns the classes of a piece's pixels (h, w); asked twice per piece unless there are few.
    """
    classes_at = _remembered(classes_at, pieces)
    (top, bottom), (left, right) = _measured_window(grid, pieces, classes_at)
    factor = math.ceil(max(bottom - top, right - left) / MAX_EDGE_PX)
    window = PixelWindow((top, bottom), (left, right))
    cells = cells_of(window.shape, factor)
    counts = np.zeros(OUTSIDE_CLASS + 1, np.int64)
    for piece in pieces:
        part = _overlap(piece, window)
        if part is not None:
            rows, columns = (
                slice(first - start, last - start)
                for (first, last), (start, _) in ((part.y, piece.y), (part.x, piece.x))
            )
            classes = classes_at(piece)[rows, columns]
            counts += np.bincount(classes.ravel(), minlength=OUTSIDE_CLASS + 1)
            cells.add(classes, (part.y[0] - top, part.x[0] - left))
    a, b, c, d, e, f = grid.transform
    corner = (a * factor, b, c + a * left, d, e * factor, f + e * top)
    classes = cells.winners()
    return Picture(classes, counts, PixelGrid(grid.crs, corner, *classes.shape))


def _remembered(classes_at: ClassesAt, pieces: Sequence[PixelWindow]) -> ClassesAt:
    """Return the same function, with a memory when all it says takes little."""
    pixels = sum(height * width for height, width in (piece.shape for piece in pieces))
    return cache(classes_at) if pixels <= _REMEMBERED_PX else classes_at


def classify(
    salinity: NDArray[np.floating[Any]], quality_flags: NDArray[np.uint16]
) -> NDArray[np.uint8]:
    """Return the index into `CLASSES` of each pixel, one past the last where not measured."""
    classes = np.full(quality_flags.shape, OUTSIDE_CLASS, np.uint8)
    for index, reason in reversed(list(enumerate(REASONS, start=len(SALINITY)))):
        classes[(quality_flags & np.uint16(reason.bits or 0)) != 0] = index
    estimated = np.isfinite(salinity)
    classes[estimated] = np.digitize(salinity[estimated], BREAKS_DS_M)
    classes[(quality_flags & np.uint16(QualityFlag.OUTSIDE)) != 0] = OUTSIDE_CLASS
    return classes


def _cuts(size: int) -> list[tuple[int, int]]:
    return [(first, min(first + _PIECE_PX, size)) for first in range(0, size, _PIECE_PX)]


def _overlap(piece: PixelWindow, window: PixelWindow) -> PixelWindow | None:
    (top, bottom), (left, right) = (
        (max(a[0], b[0]), min(a[1], b[1])) for a, b in ((piece.y, window.y), (piece.x, window.x))
    )
    return PixelWindow((top, bottom), (left, right)) if top < bottom and left < right else None


def _measured_window(
    grid: PixelGrid, pieces: Sequence[PixelWindow], classes_at: ClassesAt
) -> tuple[tuple[int, int], tuple[int, int]]:
    rows = np.zeros(grid.height, np.bool_)
    columns = np.zeros(grid.width, np.bool_)
    for piece in pieces:
        measured = classes_at(piece) != OUTSIDE_CLASS
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

    def add(self, classes: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        """Take in the pixels of a piece, whose first one is at `corner`."""

    def winners(self) -> NDArray[np.uint8]:
        """Return the class of each cell; a pixel that was not taken in is outside."""


def cells_of(shape: tuple[int, int], factor: int) -> Cells:
    """Return cells of so many pixels' edge over a raster of this shape (pixels)."""
    return _Pixels(shape) if factor == 1 else Votes(shape, factor)


class _Pixels:
    """`Cells` of a pixel each."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._classes = np.full(shape, OUTSIDE_CLASS, np.uint8)

    def add(self, classes: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        top, left = corner
        height, width = classes.shape
        self._classes[top : top + height, left : left + width] = classes

    def winners(self) -> NDArray[np.uint8]:
        return self._classes


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
        self.votes = np.zeros((len(CLASSES), *cells), np.min_scalar_type(factor**2))

    def add(self, classes: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        """Count the pixels of a piece, whose first one is at `corner`."""
        factor = self.factor
        cell = [place // factor for place in corner]
        before = [place % factor for place in corner]
        after = [-(skip + size) % factor for skip, size in zip(before, classes.shape, strict=True)]
        padded = np.pad(
            classes, list(zip(before, after, strict=True)), constant_values=OUTSIDE_CLASS
        )
        height, width = (size // factor for size in padded.shape)
        blocks = padded.reshape(height, factor, width, factor)
        place = (slice(cell[0], cell[0] + height), slice(cell[1], cell[1] + width))
        for index in np.flatnonzero(
            np.bincount(classes.ravel(), minlength=OUTSIDE_CLASS)[:OUTSIDE_CLASS]
        ):
            found = (blocks == index).sum(axis=(1, 3), dtype=self.votes.dtype)
            self.votes[index][place] += found

    def winners(self) -> NDArray[np.uint8]:
        """Return the class of each cell; a pixel that did not vote is outside."""
        counted = self.votes
        sizes = [
            np.diff(np.r_[np.arange(0, size, self.factor), size]).astype(np.int32)
            for size in self.shape
        ]
        silent = np.multiply.outer(*sizes) - counted.sum(axis=0, dtype=np.int32)
        winners: NDArray[np.uint8] = counted.argmax(axis=0).astype(np.uint8)
        winners[silent > counted.max(axis=0)] = OUTSIDE_CLASS
        return winners
