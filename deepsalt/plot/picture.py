"""Content of a quicklook: every pixel's kind, counted in full and reduced to a drawable size.

A kind says what both maps show of a pixel, in one byte: its class of salinity and its class of
salt, or why it has no estimate.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.grid import PixelWindow
from deepsalt.grid.georef import grid_of_layers
from deepsalt.layers import CHANCE
from deepsalt.plot.salt import MEANINGS, UNTOLD, SaltRule
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
class LegendClass:
    """One colour of the legend: a class of salinity or salt, or a reason for no estimate."""

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
SALT = tuple(
    LegendClass(meaning.replace("_", " "), color)
    for meaning, color in zip(MEANINGS, ("#fff3c4", "#8070c8", "#f7b955", "#a3123a"), strict=True)
)
OUTSIDE_KIND = len(SALINITY) * len(SALT) + len(REASONS)
"""Kind of cells without a measurement; those of an estimate come first, then the reasons."""
KINDS = OUTSIDE_KIND + 1
_FIRST_REASON = len(SALINITY) * len(SALT)
OUTSIDE_COLOR = "#f6f6f3"


@dataclass(frozen=True, slots=True)
class Theme:
    """What one map shows of each kind.

    Parameters
    ----------
    classes
        Classes of an estimate.
    index
        Index per kind into `classes`, the reasons after them, and OUTSIDE after those.
    """

    classes: tuple[LegendClass, ...]
    index: NDArray[np.uint8]

    @classmethod
    def of(cls, classes: tuple[LegendClass, ...], estimates: NDArray[np.integer[Any]]) -> Self:
        """Return a theme by the class of each kind of estimate."""
        reasons = np.arange(len(classes), len(classes) + len(REASONS) + 1)
        return cls(classes, np.concatenate([estimates, reasons]).astype(np.uint8))

    @property
    def colors(self) -> list[str]:
        """Colour of each index."""
        return [*(each.color for each in (*self.classes, *REASONS)), OUTSIDE_COLOR]

    def counted(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels per index, from those per kind."""
        found = np.zeros(len(self.colors), np.int64)
        np.add.at(found, self.index, counts)
        return found


_ESTIMATES = np.arange(_FIRST_REASON)
MEAN = Theme.of(SALINITY, _ESTIMATES // len(SALT))
SALTINESS = Theme.of(SALT, _ESTIMATES % len(SALT))


@dataclass(frozen=True, slots=True)
class Picture:
    """Content of a quicklook, before it is drawn.

    Parameters
    ----------
    kinds
        Kind per cell (h, w) uint8.
    counts
        Pixels of the mosaic per kind (`KINDS`,), before coarsening.
    grid
        Grid of the cells.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]
    grid: PixelGrid


KindsAt = Callable[[PixelWindow], NDArray[np.uint8]]
"""Returns the kinds of a region's pixels (h, w)."""


def picture_of(layers: xr.Dataset) -> Picture:
    """Reduce the layers (y, x) of one period to kinds, cropped to what was measured.

    Parameters
    ----------
    layers
        Layers of one period, and in the attributes where they lie.
    """
    grid = grid_of_layers(layers)
    if "salinity" not in layers or "quality_flags" not in layers:
        raise FormatError("a quicklook needs the layers salinity and quality_flags")
    rule = SaltRule.of(layers)
    names = needed(rule)
    if rule is not None:
        layers = layers.assign({CHANCE: rule.chance(layers)})

    def kinds_at(region: PixelWindow) -> NDArray[np.uint8]:
        found = layers.isel(y=slice(*region.y), x=slice(*region.x))
        return classify({name: found[name].values for name in names}, rule)

    rows, columns = _cuts(grid.height), _cuts(grid.width)
    return assemble_picture(grid, [PixelWindow(y, x) for y in rows for x in columns], kinds_at)


def assemble_picture(grid: PixelGrid, pieces: Sequence[PixelWindow], kinds_at: KindsAt) -> Picture:
    """Reduce pixels that are given piece by piece, cropped, to at most `MAX_EDGE_PX`.

    Memory does not grow with the mosaic. A cell shows the class that most of its pixels have.

    Parameters
    ----------
    grid
        All pixels.
    pieces
        Where there may be something measured.
    kinds_at
        Returns the kinds of a piece's pixels (h, w); asked twice per piece unless there are few.
    """
    kinds_at = _remembered(kinds_at, pieces)
    (top, bottom), (left, right) = _measured_window(grid, pieces, kinds_at)
    factor = math.ceil(max(bottom - top, right - left) / MAX_EDGE_PX)
    window = PixelWindow((top, bottom), (left, right))
    cells = cells_of(window.shape, factor)
    counts = np.zeros(KINDS, np.int64)
    for piece in pieces:
        part = _overlap(piece, window)
        if part is not None:
            rows, columns = (
                slice(first - start, last - start)
                for (first, last), (start, _) in ((part.y, piece.y), (part.x, piece.x))
            )
            kinds = kinds_at(piece)[rows, columns]
            counts += np.bincount(kinds.ravel(), minlength=KINDS)
            cells.add(kinds, (part.y[0] - top, part.x[0] - left))
    a, b, c, d, e, f = grid.transform
    corner = (a * factor, b, c + a * left, d, e * factor, f + e * top)
    kinds = cells.winners()
    return Picture(kinds, counts, PixelGrid(grid.crs, corner, *kinds.shape))


def _remembered(kinds_at: KindsAt, pieces: Sequence[PixelWindow]) -> KindsAt:
    """Return the same function, with a memory when all it says takes little."""
    pixels = sum(height * width for height, width in (piece.shape for piece in pieces))
    return cache(kinds_at) if pixels <= _REMEMBERED_PX else kinds_at


def needed(rule: SaltRule | None) -> tuple[str, ...]:
    """Return the names of the layers that `classify` takes."""
    return ("salinity", "quality_flags", *(rule.needs if rule else ()))


def classify(layers: Mapping[str, NDArray[Any]], rule: SaltRule | None) -> NDArray[np.uint8]:
    """Return the kind of each pixel.

    Parameters
    ----------
    layers
        The layers that `needed` names (h, w); `p_above` of the rule's threshold, or of all of them
        (threshold, h, w).
    rule
        How pixels are classed by salt; without one, none can be told.
    """
    salinity = layers["salinity"]
    quality_flags = layers["quality_flags"]
    reasons = _KIND_BY_FLAGS[quality_flags]
    # Comparisons, which are a fifth of the time of `np.digitize`.
    kinds = np.zeros(salinity.shape, np.uint8)
    for least in BREAKS_DS_M:
        kinds += salinity >= least
    kinds *= np.uint8(len(SALT))
    kinds += _salt(layers, rule) if rule else np.uint8(UNTOLD)
    unseen = (quality_flags & np.uint16(QualityFlag.OUTSIDE)) != 0
    np.copyto(kinds, reasons, where=~np.isfinite(salinity) | unseen)
    return kinds


def _salt(layers: Mapping[str, NDArray[Any]], rule: SaltRule) -> NDArray[np.uint8]:
    chance, upper, quality_flags = (layers[name] for name in rule.needs)
    if chance.ndim > upper.ndim:
        chance = chance[rule.index]
    return rule.classes(chance, upper, quality_flags)


def _kind_by_flags() -> NDArray[np.uint8]:
    """Return the kind of a pixel without an estimate by its `quality_flags`."""
    flags = np.arange(2**16)
    kinds = np.full(flags.size, OUTSIDE_KIND, np.uint8)
    for index, reason in reversed(list(enumerate(REASONS, start=_FIRST_REASON))):
        kinds[(flags & int(reason.bits or 0)) != 0] = index
    kinds[(flags & int(QualityFlag.OUTSIDE)) != 0] = OUTSIDE_KIND
    return kinds


_KIND_BY_FLAGS = _kind_by_flags()


def _cuts(size: int) -> list[tuple[int, int]]:
    return [(first, min(first + _PIECE_PX, size)) for first in range(0, size, _PIECE_PX)]


def _overlap(piece: PixelWindow, window: PixelWindow) -> PixelWindow | None:
    (top, bottom), (left, right) = (
        (max(a[0], b[0]), min(a[1], b[1])) for a, b in ((piece.y, window.y), (piece.x, window.x))
    )
    return PixelWindow((top, bottom), (left, right)) if top < bottom and left < right else None


def _measured_window(
    grid: PixelGrid, pieces: Sequence[PixelWindow], kinds_at: KindsAt
) -> tuple[tuple[int, int], tuple[int, int]]:
    rows = np.zeros(grid.height, np.bool_)
    columns = np.zeros(grid.width, np.bool_)
    for piece in pieces:
        measured = kinds_at(piece) != OUTSIDE_KIND
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
        self._kinds = np.full(shape, OUTSIDE_KIND, np.uint8)

    def add(self, kinds: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        top, left = corner
        height, width = kinds.shape
        self._kinds[top : top + height, left : left + width] = kinds

    def winners(self) -> NDArray[np.uint8]:
        return self._kinds


class Votes:
    """`Cells` that show what most of their pixels are.

    Pixels vote twice: for a class of salinity or a reason, then, where salinity has won, for a
    class of salt. So both maps lack an estimate in the same cells.

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
        kind = np.min_scalar_type(factor**2)
        self.votes = np.zeros((len(SALINITY) + len(REASONS), *cells), kind)
        self.salt_votes = np.zeros((len(SALT), *cells), kind)

    def add(self, kinds: NDArray[np.uint8], corner: tuple[int, int]) -> None:
        """Count the pixels of a piece, whose first one is at `corner`."""
        factor = self.factor
        cell = [place // factor for place in corner]
        before = [place % factor for place in corner]
        after = [-(skip + size) % factor for skip, size in zip(before, kinds.shape, strict=True)]
        padded = np.pad(kinds, list(zip(before, after, strict=True)), constant_values=OUTSIDE_KIND)
        height, width = (size // factor for size in padded.shape)
        place = (slice(cell[0], cell[0] + height), slice(cell[1], cell[1] + width))
        counts = np.bincount(kinds.ravel(), minlength=KINDS)
        for theme, votes in ((MEAN, self.votes), (SALTINESS, self.salt_votes)):
            found = np.flatnonzero(theme.counted(counts)[: len(votes)])
            chosen = theme.index[padded] if found.size else padded
            for index in found:
                votes[index][place] += _per_cell(chosen == index, factor, votes.dtype)

    def winners(self) -> NDArray[np.uint8]:
        """Return the kind of each cell; a pixel that did not vote is outside."""
        counted = self.votes
        sizes = [
            np.diff(np.r_[np.arange(0, size, self.factor), size]).astype(np.int32)
            for size in self.shape
        ]
        silent = np.multiply.outer(*sizes) - counted.sum(axis=0, dtype=np.int32)
        winners = counted.argmax(axis=0).astype(np.uint8)
        salt = self.salt_votes.argmax(axis=0).astype(np.uint8)
        kinds: NDArray[np.uint8] = np.where(
            winners < len(SALINITY),
            winners * np.uint8(len(SALT)) + salt,
            winners + np.uint8(_FIRST_REASON - len(SALINITY)),
        )
        kinds[silent > counted.max(axis=0)] = OUTSIDE_KIND
        return kinds


def _per_cell(
    chosen: NDArray[np.bool_], factor: int, kind: np.dtype[np.unsignedinteger[Any]]
) -> NDArray[np.unsignedinteger[Any]]:
    """Return how many pixels are chosen in each cell.

    Sums of slices: for cells of 2 to 8 pixels a twentieth of the time of a sum over blocks.
    """
    height = chosen.shape[0] // factor
    rows = chosen.reshape(height, factor, -1).view(np.uint8).sum(axis=1, dtype=kind)
    total = np.zeros((height, chosen.shape[1] // factor), kind)
    for column in range(factor):
        total += rows[:, column::factor]
    return total
