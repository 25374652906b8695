"""Exact coordinate maps from one pixel grid to another.

GDAL's warper approximates by an eighth of a pixel, and then the same scene warped whole and by
tiles differs; here a pixel's source depends on nothing but the pixel.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import GridError
from deepsalt.grid.centers import Window, centers
from deepsalt.grid.crs import transform
from deepsalt.types import Floats, PixelGrid

_EDGE_TOLERANCE_PX = 1e-6
"""A centre this close to a source pixel's west or north edge belongs to that pixel: the last bits
of a coordinate differ with the origin they are counted from, the answer must not."""

_TEAR = 100.0
"""Ratio of the two halves of one step along a scene's edge that no projection reaches by
distortion: it changes little within a step, whatever the directions of other steps."""

_STRIP_ROWS = 32
"""Rows of a window that are located together."""

SPARSE_PX = 16
"""Pixels between points of an edge where its course needs to be known roughly."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where the pixels of a target window lie in a scene.

    Parameters
    ----------
    row, column
        First pixel of the window in the target grid.
    rows, columns
        Scene pixel (h, w) int32 under the centre of each pixel of the window, -1 outside the scene.
    """

    row: int
    column: int
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    @property
    def window(self) -> tuple[slice, slice]:
        """Slices of the window in the target grid."""
        height, width = self.rows.shape
        return (slice(self.row, self.row + height), slice(self.column, self.column + width))


Moved = dict[tuple[PixelGrid, str, Window], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Centres of a window's pixels in another CRS, as `locate` found them last: at most one window."""


def locate(target: PixelGrid, scene: PixelGrid, moved: Moved | None = None) -> Location | None:
    """Find the scene pixel under the centre of each target pixel; None if they do not meet.

    Only the scene's bounding window in the target is searched, so the cost follows the scene.
    A pixel's answer does not depend on which target grid (tile, block) it was asked through.

    Parameters
    ----------
    target
        Whose pixels are asked for.
    scene
        Where they may lie.
    moved
        Result of the last call, kept for the next scene over the same ground.

    Raises
    ------
    GridError
        The scene reaches beyond where the target's CRS is defined, or across its edge.
    """
    window = _window(target, scene)
    if window is None:
        return None
    row, column, height, width = window
    moved = {} if moved is None else moved
    key = target, scene.crs, window
    if key not in moved:
        moved.clear()
        moved[key] = centers(*key)
    x, y = moved[key]
    rows, columns = np.empty((2, height, width), np.int32)
    for strip in _strips(height):
        rows[strip], columns[strip] = _indices(scene, x[strip] if len(x) > 1 else x, y[strip])
    if rows.max() < 0:
        return None
    return Location(row, column, rows, columns)


def _strips(height: int) -> Iterator[slice]:
    """Cut rows so that what is computed with them stays in the cache of a core."""
    return (slice(top, min(top + _STRIP_ROWS, height)) for top in range(0, height, _STRIP_ROWS))


def _window(target: PixelGrid, scene: PixelGrid) -> Window | None:
    x, y, margin = outline(scene, target.crs)
    a, _, c, _, e, f = target.transform
    first = math.floor((float(x.min()) - margin - c) / a)
    last = math.ceil((float(x.max()) + margin - c) / a)
    top = math.floor((float(y.max()) + margin - f) / e)
    bottom = math.ceil((float(y.min()) - margin - f) / e)
    first = max(first, 0)
    last = min(last, target.width)
    top = max(top, 0)
    bottom = min(bottom, target.height)
    if first >= last or top >= bottom:
        return None
    return top, first, bottom - top, last - first


def _indices(
    scene: PixelGrid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return row and column of the scene pixels under points, both -1 outside the scene."""
    a, _, c, _, e, f = scene.transform
    row = np.floor((y - f) / e + _EDGE_TOLERANCE_PX)
    column = np.floor((x - c) / a + _EDGE_TOLERANCE_PX)
    # Compared before the cast: where PROJ has no answer the index is infinite.
    inside = (row >= 0) & (row < scene.height) & (column >= 0) & (column < scene.width)
    found = (np.where(inside, index, -1).astype(np.int32) for index in (row, column))
    return next(found), next(found)


@lru_cache(maxsize=64)
def outline(
    grid: PixelGrid, crs: str, every_px: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return a grid's outer edge in another CRS, pixel by pixel, and the longest step between.

    The image of a grid is bounded by the image of its edge, and a step along the edge stays within
    one step of its ends: widened by that margin the points enclose every pixel. With
    `every_px` above 1 only the corners and points that many pixels apart are taken.
    """
    x, y, step, torn = outlines([grid], crs, every_px)
    _refuse_undefined(grid, crs, x, y)
    if torn[0]:
        raise GridError(
            f"a scene in {grid.crs} with bounds {grid.bounds} is split by the edge of {crs} (the "
            f"180 degree meridian, for a world-wide CRS); give a regional --crs"
        )
    return x[0, ::2], y[0, ::2], float(step[0])


def outlines(
    grids: Sequence[PixelGrid], crs: str, every_px: int
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return the outer edges of grids in another CRS, which PROJ moves together.

    Parameters
    ----------
    grids
        n grids in one CRS. Those with fewer points than others have corners several times.
    crs
        In which their edges are wanted.
    every_px
        Pixels between points.

    Returns
    -------
    x, y
        Of each grid the points of its edge, every other one in the middle of a step (n, p); not
        finite where the CRS is not defined.
    step
        The longest step of each grid (n,).
    torn
        Whether the edge of the CRS runs through a grid, or it is not defined there (n,).
    """
    a, _, c, _, e, f = np.array([grid.transform for grid in grids]).T[:, :, None]
    column, row = _rings(grids, every_px)
    # Each step with its middle: where the CRS's edge runs through a step, one half of it leads
    # around the world.
    x, y = transform(grids[0].crs, crs, c + a * _with_middles(column), f + e * _with_middles(row))
    with np.errstate(invalid="ignore"):  # where the CRS is not defined
        halves = np.hypot(np.diff(x), np.diff(y)).reshape(len(grids), -1, 2)
        whole = halves.max(axis=2) <= _TEAR * halves.min(axis=2)
        step = np.hypot(np.diff(x[:, ::2]), np.diff(y[:, ::2])).max(axis=1)
    return x, y, step, ~(whole & np.isfinite(halves).all(axis=2)).all(axis=1)


def _rings(grids: Sequence[PixelGrid], every_px: int) -> tuple[Floats, Floats]:
    """Return columns and rows of points along outer edges, closed (n, p)."""
    height = np.array([[float(grid.height)] for grid in grids])
    width = np.array([[float(grid.width)] for grid in grids])
    down, across = (math.ceil(side.max() / every_px) for side in (height, width))
    columns = np.minimum(every_px * np.arange(across + 1.0), width)
    rows = np.minimum(every_px * np.arange(down + 1.0), height)
    column = (columns, np.tile(width, down), columns[:, -2::-1], np.zeros((len(grids), down)))
    row = (np.zeros_like(columns), rows[:, 1:], np.tile(height, across), rows[:, -2::-1])
    return np.concatenate(column, axis=1), np.concatenate(row, axis=1)


def _with_middles(values: Floats) -> Floats:
    """Return rows of values (n, p) and, between each two, their mean."""
    result = np.empty((len(values), 2 * values.shape[1] - 1))
    result[:, ::2] = values
    result[:, 1::2] = (values[:, 1:] + values[:, :-1]) / 2
    return result


def interior(
    grid: PixelGrid, crs: str, *, step_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points inside a grid, in another CRS, at most `step_m` apart."""
    pixel_m = outline(grid, crs, SPARSE_PX)[2] / SPARSE_PX
    step = max(1, int(step_m / pixel_m))
    columns = np.unique(np.r_[np.arange(0, grid.width, step), grid.width])
    rows = np.unique(np.r_[np.arange(0, grid.height, step), grid.height])
    column, row = np.meshgrid(columns.astype(float), rows.astype(float))
    x, y = _points(grid, crs, column.ravel(), row.ravel())
    return x, y


def _points(
    grid: PixelGrid, crs: str, column: NDArray[np.float64], row: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, _, c, _, e, f = grid.transform
    x, y = transform(grid.crs, crs, c + a * column, f + e * row)
    _refuse_undefined(grid, crs, x, y)
    return x, y


def _refuse_undefined(grid: PixelGrid, crs: str, x: Floats, y: Floats) -> None:
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise GridError(
            f"a scene in {grid.crs} with bounds {grid.bounds} exceeds the area of definition of "
            f"{crs}; give another --crs"
        )
