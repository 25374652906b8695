"""Blocks of nearby places, for tables of field sites that name no groups.

Neighbours have like soils and share pixels, so a score on held-out rows would only say how well a
model copies a neighbour. Coordinates name blocks and never reach a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.grid import chained, on_sphere
from deepsalt.train.data.samples import features_of
from deepsalt.train.data.tables import Table
from deepsalt.train.data.variogram import practical_range_m
from deepsalt.types import Floats

BLOCKS = 10
"""Blocks of coordinates; fewer sites than that are a block each."""

MIN_BLOCKS = 8
"""Blocks that remain, however far residuals are alike."""

VARIOGRAM_SITES = 100
"""Sites from which a variogram sets the size of blocks."""

ONE_BLOCK_M = 1000.0
"""Sites that all lie within so many metres are one block: neighbours share soil and crust."""

_WINDOW_M = 100.0  # windows of sites nearer than this may overlap
_SEED = 0


Residual = Callable[[Floats, Floats], Floats]
"""What a simple model of features (s, d) leaves of log(EC + 0.03) (s,), NaN where unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Blocks of places (n).

    Parameters
    ----------
    name
        Of the block (n,).
    count
        Number of blocks.
    sentence
        How they came about.
    """

    name: NDArray[np.str_]
    count: int
    sentence: str


def with_blocks(
    tables: Sequence[Table], residual: Residual | None = None
) -> tuple[list[Table], str]:
    """Name the groups and regions of tables that have only coordinates: blocks, over all of them.

    Sites are never split, also those that several tables share.

    Parameters
    ----------
    tables
        As read.
    residual
        A simple model, whose residuals say how large blocks have to be. Default: none; then blocks
        are clusters of coordinates.

    Returns
    -------
    tuple[list[Table], str]
        The tables, and how their blocks came about; "" without coordinates.
    """
    placed = [(table.position, table.group) for table in tables if table.position is not None]
    if not placed:
        return list(tables), ""
    lon, lat = np.concatenate([position for position, _ in placed]).T
    left = None if residual is None else _left(tables, residual)
    found = blocks(lon, lat, np.concatenate([group for _, group in placed]), left)
    ends = np.cumsum([len(group) for _, group in placed])
    parts = iter(np.split(found.name, ends[:-1]))
    grouped = [
        table if table.position is None else _grouped(table, next(parts)) for table in tables
    ]
    return grouped, found.sentence


def _left(tables: Sequence[Table], residual: Residual) -> Floats | None:
    """Return the residuals of all tables that have coordinates (s,); None without labels."""
    placed = [table for table in tables if table.position is not None]
    target = np.concatenate([np.log(table.ec + EC_SHIFT) for table in placed])
    if not np.isfinite(target).any():
        return None
    seen = [features_of(table.reflectance, table.bands)[0] for table in placed]
    return residual(np.concatenate(seen), target)


def _grouped(table: Table, names: NDArray[np.str_]) -> Table:
    return replace(table, group=names, region=names)


def blocks(
    lon: Floats, lat: Floats, site: NDArray[np.str_], residual: Floats | None = None
) -> Blocks:
    """Return the block of each row: sites near each other share one.

    k-means on the sphere, from the mean positions of sites. Sites whose windows may overlap count
    as one. Of `VARIOGRAM_SITES` labelled sites and more there are as many blocks as cover them
    with circles as wide as residuals are alike, but at least `MIN_BLOCKS`; else `BLOCKS`.

    Parameters
    ----------
    lon, lat
        Degrees WGS84 (s,).
    site
        Name of the site (s,).
    residual
        What a simple model leaves of the labels, NaN where there is no label (s,).
    """
    from sklearn.cluster import KMeans

    _, index = np.unique(site, return_inverse=True)
    points = on_sphere(lon, lat)
    _, of_site = np.unique(chained(_means(points, index), _WINDOW_M), return_inverse=True)
    place = of_site[index]
    means = _means(points, place)
    if float(np.ptp(means, axis=0).max()) < ONE_BLOCK_M:
        near = f"lie within {ONE_BLOCK_M / 1000:g} km"
        chain = f"are chained by steps below {_WINDOW_M:g} m, so windows may overlap"
        said = f"all sites {near if len(means) > 1 else chain}: one block"
        return Blocks(np.full(lon.size, "block 0"), 1, said)
    wanted, said = BLOCKS, "clusters of coordinates"
    if residual is not None:
        wanted, said = _wanted(points, place, residual)
    count = min(wanted, len(means))
    found = KMeans(count, n_init=10, random_state=_SEED).fit(means)
    name = np.char.add("block ", found.labels_[place].astype(str))
    return Blocks(name, count, f"{count} blocks: {said}")


def _means(points: Floats, index: NDArray[np.intp]) -> Floats:
    """Return the mean point of each name (n, 3) of points (s, 3)."""
    counts = np.bincount(index)
    return np.stack([np.bincount(index, axis) / counts for axis in points.T], axis=1)


def _wanted(points: Floats, place: NDArray[np.intp], residual: Floats) -> tuple[int, str]:
    """Return how many blocks there should be, and why."""
    rows = np.isfinite(residual)
    _, known = np.unique(place[rows], return_inverse=True)
    counts = np.bincount(known)
    if counts.size < VARIOGRAM_SITES:
        said = f"clusters of coordinates, as {counts.size} labelled sites are too few for a"
        return BLOCKS, f"{said} variogram ({VARIOGRAM_SITES})"
    means = _means(points[rows], known)
    reach_m = practical_range_m(means, np.bincount(known, residual[rows]) / counts)
    if reach_m is None:
        return BLOCKS, "clusters of coordinates, as a variogram of residuals shows no range"
    count = _covering(_means(points, place), reach_m / 2.0)
    told = f"residuals are alike within {reach_m / 1000:.3g} km (practical range of the variogram)"
    if count < MIN_BLOCKS:
        return MIN_BLOCKS, f"{told}; blocks of that size would be {count}"
    return count, f"{told}, about the size of a block"


def _covering(points: Floats, radius_m: float) -> int:
    """Return how many balls around points cover all of them, farthest first (Gonzalez 1985)."""
    apart_m = np.linalg.norm(points - points[0], axis=1)
    count = 1
    while apart_m.max() > radius_m:
        centre = points[apart_m.argmax()]
        apart_m = np.minimum(apart_m, np.linalg.norm(points - centre, axis=1))
        count += 1
    return count
