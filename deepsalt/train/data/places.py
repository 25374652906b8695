"""Blocks of nearby places, for tables of field sites that name no groups.

Neighbours have like soils and share pixels, so a score on held-out rows would only say how well a
model copies a neighbour. Coordinates name blocks and never reach a model.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import on_sphere
from deepsalt.train.data.tables import Table
from deepsalt.types import Floats

BLOCKS = 10
"""Blocks of coordinates; fewer sites than that are a block each."""

ONE_BLOCK_M = 1000.0
"""Sites that all lie within so many metres are one block: neighbours share soil and crust."""

_SEED = 0


def with_blocks(tables: Sequence[Table]) -> list[Table]:
    """Name the groups and regions of tables that have only coordinates: blocks, over all of them.

    Sites are never split, also those that several tables share.
    """
    placed = [(table.position, table.group) for table in tables if table.position is not None]
    if not placed:
        return list(tables)
    lon, lat = np.concatenate([position for position, _ in placed]).T
    names = blocks(lon, lat, np.concatenate([group for _, group in placed]))
    ends = np.cumsum([len(group) for _, group in placed])
    parts = iter(np.split(names, ends[:-1]))
    return [table if table.position is None else _grouped(table, next(parts)) for table in tables]


def _grouped(table: Table, names: NDArray[np.str_]) -> Table:
    return replace(table, group=names, region=names)


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
    points = on_sphere(lon, lat)
    counts = np.bincount(index)
    means = np.stack([np.bincount(index, axis) / counts for axis in points.T], axis=1)
    distinct = np.unique(means, axis=0).shape[0]
    reach_m = float(np.ptp(means, axis=0).max())
    count = 1 if reach_m < ONE_BLOCK_M else min(BLOCKS, distinct)
    found = KMeans(count, n_init=10, random_state=_SEED).fit(means)
    return np.char.add("block ", found.labels_[index].astype(str))
