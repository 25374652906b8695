"""Places on a sphere, for distances that need no projection."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from deepsalt.types import Floats

EARTH_M = 6_371_008.8
"""Mean radius of the Earth, metres (IUGG)."""


def on_sphere(lon: Floats, lat: Floats) -> Floats:
    """Return places as points around the Earth's centre, metres (n, 3).

    Parameters
    ----------
    lon, lat
        Degrees WGS84 (n,). Straight lines between points are as long as the ground between them
        to 1e-7 within 10 km.
    """
    x, y = np.radians(lon), np.radians(lat)
    return EARTH_M * np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)


def chained(points: Floats, reach_m: float) -> NDArray[np.intp]:
    """Return for each point the first of those that it is chained to by steps below a reach (n,).

    Parameters
    ----------
    points
        Of `on_sphere` (n, 3).
    reach_m
        Metres.
    """
    cells = defaultdict[tuple[int, ...], list[int]](list)
    first = list(range(len(points)))

    def first_of(point: int) -> int:
        while first[point] != point:
            first[point] = first[first[point]]
            point = first[point]
        return point

    for point, cell in enumerate(np.floor(points / max(reach_m, 1.0)).astype(np.int64)):
        for step in np.ndindex(3, 3, 3):
            for other in cells.get(tuple((cell + step - 1).tolist()), ()):
                if np.linalg.norm(points[point] - points[other]) < reach_m:
                    one, two = first_of(point), first_of(other)
                    first[max(one, two)] = min(one, two)
        cells[tuple(cell.tolist())].append(point)
    return np.array([first_of(point) for point in range(len(points))], np.intp)
