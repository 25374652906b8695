"""Weights that fall towards the edge of what a scene saw, so that its border leaves no step.

A scene's estimates end at the edge of its swath and at its clouds, cirrus and shadows. Those are
edges of the scene, not of the ground, and another scene goes on behind them. Water and vegetation
end estimates in every scene alike and need no feathering.

Distances are counted in pixels of the scene's own grid, from its `quality_flags` alone: they are
whole squared numbers, so a weight is the same bits through whichever tile or block it was asked
for.
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import ground_size_m
from deepsalt.types import PixelGrid, QualityFlag

FEATHER_M = 500.0
"""Width of the ramp: wide against the blur of scattered light beside clouds and the scene's noise,
narrow against the overlap of neighbouring swaths (EnMAP: some 5 km at the equator)."""

MAX_RADIUS_PX = 32
"""Widest ramp, pixels, so that cubes with pixels of a few metres do not take minutes."""

_EDGE = np.uint16(QualityFlag.OUTSIDE | QualityFlag.CLOUD | QualityFlag.CIRRUS | QualityFlag.SHADOW)


def feather_radius_px(grid: PixelGrid) -> int:
    """Return how many pixels of a scene's grid the ramp is wide."""
    width, height = ground_size_m(grid)
    return int(np.clip(round(FEATHER_M / np.sqrt(width * height)), 1, MAX_RADIUS_PX))


def feather(quality_flags: NDArray[np.uint16], radius: int) -> NDArray[np.int16]:
    """Return squared distances to the nearest pixel that the scene did not see.

    Parameters
    ----------
    quality_flags
        `QualityFlag` bits (h + 2 radius, w + 2 radius): the pixels asked for and `radius` more on
        every side, OUTSIDE beyond the scene's grid.
    radius
        Distance from which on all are alike, pixels.

    Returns
    -------
    NDArray[np.int16]
        Squared distances between pixel centres (h, w), pixels, at most (radius + 1)².
    """
    hidden = (quality_flags & _EDGE) != 0
    height, width = (size - 2 * radius for size in quality_flags.shape)
    far = np.int16(radius + 1)
    nearest = np.full((height, width), far * far, np.int16)
    if not hidden.any():
        return nearest
    squared = _across(hidden, far)[:, radius : radius + width] ** 2
    moved = np.empty_like(nearest)
    for step in range(-radius, radius + 1):
        rows = squared[radius + step : radius + step + height]
        np.minimum(nearest, np.add(rows, np.int16(step * step), out=moved), out=nearest)
    return nearest


def _across(hidden: NDArray[np.bool_], far: np.int16) -> NDArray[np.int16]:
    """Return the distance to the nearest hidden pixel of the same row, at most `far`."""
    columns = np.arange(hidden.shape[1], dtype=np.int32)
    left = np.where(hidden, columns, -far)
    right = np.where(hidden, columns, columns[-1] + far)
    left = columns - np.maximum.accumulate(left, axis=1)
    right = np.minimum.accumulate(right[:, ::-1], axis=1)[:, ::-1] - columns
    return np.minimum(np.minimum(left, right), far).astype(np.int16)


def ramp(radius: int) -> NDArray[np.float64]:
    """Return the weight for each squared distance that `feather` gives, 0 to 1.

    It starts level at the edge and ends level at the radius, and is above 0 on every pixel: where
    only one scene sees the ground its estimate stands.
    """
    distance = np.sqrt(np.arange((radius + 1) ** 2 + 1))
    # The edge lies half a pixel before the centre of the first hidden pixel.
    share = np.clip((distance - 0.5) / (radius + 0.5), 0.0, 1.0)
    return np.asarray(share**2 * (3.0 - 2.0 * share))
