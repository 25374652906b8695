"""Blocks of nearby places, for tables of field sites that name no groups.

Neighbours have like soils and share pixels, so a score on held-out rows would only say how well a
model copies a neighbour. Coordinates name blocks and never reach a model.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.types import Floats

BLOCKS = 10
"""Blocks of coordinates; fewer sites than that are a block each."""

ONE_BLOCK_M = 1000.0
"""Sites that all lie within so many metres are one block: neighbours share soil and crust."""

BLOCK = "spatial block"
"""Column of the blocks' names."""

_NAMES = ("lon", "lat")
_SITE = "site"
_SEED = 0
_EARTH_M = 6_371_008.8  # mean radius


def with_blocks(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Add a column `BLOCK` to a table with coordinates, degrees; others are returned as they are.

    Sites are never split: all rows of one `site` lie in one block.

    Raises
    ------
    FormatError
        A coordinate is missing or is no number of degrees.
    """
    if not set(_NAMES) <= set(frame.columns):
        return frame
    lon, lat = (np.asarray(pd.to_numeric(frame[name], errors="coerce")) for name in _NAMES)
    wrong = ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if wrong.any():
        raise FormatError(
            f"{origin} has no longitude and latitude in degrees in {wrong.sum()} rows, such as row "
            f"{int(np.flatnonzero(wrong)[0]) + 1}; fill lon and lat, or name groups by --group"
        )
    site = frame[_SITE].astype(str) if _SITE in frame.columns else None
    names = np.char.add(lon.astype(str), lat.astype(str)) if site is None else site.to_numpy(str)
    return frame.assign(**{BLOCK: blocks(lon, lat, names)})


def blocks(lon: Floats, lat: Floats, site: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the block of each row: sites near each other share one (s,).

    k-means on the sphere, from the sites' mean positions.

    Parameters
    ----------
    lon, lat
        Degrees WGS84 (s,).
    site
        Name of the site (s,).
    """
    from sklearn.cluster import KMeans

    _, index = np.unique(site, return_inverse=True)
    theta, phi = np.radians(lat), np.radians(lon)
    points = np.stack(
        [np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), np.sin(theta)], axis=1
    )
    counts = np.bincount(index)
    means = np.stack([np.bincount(index, axis) / counts for axis in points.T], axis=1)
    distinct = np.unique(means, axis=0).shape[0]
    reach = float(np.ptp(means, axis=0).max()) * _EARTH_M
    count = 1 if reach < ONE_BLOCK_M else min(BLOCKS, distinct)
    found = KMeans(count, n_init=10, random_state=_SEED).fit(means)
    return np.char.add("block ", found.labels_[index].astype(str))
