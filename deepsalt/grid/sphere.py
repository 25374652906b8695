"""Places on a sphere, for distances that need no projection."""

import numpy as np

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
