"""Which cells are drawn together: those nearer to each other than a spread-out campaign's.

Scores of a campaign scatter from campaign to campaign. Samples in clusters scatter together, so a
cluster is what the bootstrap draws. Samples that lie no closer than by chance are evidence of their
own, whatever the errors of the map are alike: a random sample needs no model of the ground
(de Gruijter and ter Braak 1990; Wadoux et al. 2021). Blocks of fixed size would make the intervals
of a spread-out campaign too wide, and those of a clustered one too narrow.
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import chained, on_sphere
from deepsalt.train.data.places import ONE_BLOCK_M, Blocks
from deepsalt.types import Floats

FEWEST = 5
"""Blocks below which no interval is given: their spread is hardly known."""

_REACH = 0.7  # of the spacing of evenly spread samples; chosen on simulated campaigns
_SIGNIFICANT = -1.645  # one-sided, 5 %


def blocks_of(lon: Floats, lat: Floats) -> Blocks:
    """Return the blocks of places.

    Places are clustered if the mean distance to the nearest other one is less than chance leaves
    (Clark and Evans 1954, one-sided test at 5 %); then places that are chained by steps below
    `_REACH` times the spacing of evenly spread ones share a block.

    Parameters
    ----------
    lon, lat
        Degrees WGS84, distinct (c,).
    """
    from shapely import MultiPoint, STRtree, points

    size = lon.size
    if not size:
        return Blocks(np.zeros(0, np.str_), 0, "no cells")
    sphere = on_sphere(lon, lat)
    if float(np.ptp(sphere, axis=0).max()) < ONE_BLOCK_M:
        said = f"all cells lie within {ONE_BLOCK_M / 1000:g} km: one block"
        return Blocks(np.full(size, "block 0"), 1, said)
    flat = _on_plane(sphere)
    hull = MultiPoint(flat).convex_hull
    # A line has no area; a square with half the way around it as its diagonal stands for it.
    area_m2 = max(float(hull.area), (float(hull.length) / 2.0) ** 2 / size)
    dots = points(flat)
    _, nearest_m = STRtree(dots).query_nearest(
        dots, exclusive=True, return_distance=True, all_matches=False
    )
    by_chance_m = 0.5 * np.sqrt(area_m2 / size)
    deviation_m = 0.26136 * np.sqrt(area_m2) / size
    if (float(nearest_m.mean()) - by_chance_m) / deviation_m > _SIGNIFICANT:
        said = f"{size} cells spread out, each a block of its own"
        return Blocks(_named(np.arange(size)), size, said)
    reach_m = _REACH * float(np.sqrt(area_m2 / size))
    _, label = np.unique(chained(sphere, reach_m), return_inverse=True)
    count = int(label.max()) + 1
    said = f"cells in clusters: {count} blocks of cells chained by steps below {reach_m:.0f} m"
    return Blocks(_named(label), count, said)


def _on_plane(sphere: Floats) -> Floats:
    """Return points around the Earth's centre on the plane that touches it at their middle."""
    middle = sphere.mean(axis=0)
    up = middle / np.linalg.norm(middle)
    pole = np.array([0.0, 0.0, 1.0]) if abs(up[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    east = np.cross(pole, up)
    east /= np.linalg.norm(east)
    return np.stack([sphere @ east, sphere @ np.cross(up, east)], axis=1)


def _named(label: NDArray[np.intp]) -> NDArray[np.str_]:
    return np.char.add("block ", label.astype(str))
