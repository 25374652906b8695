"""Where mosaics, products and their records live: a folder, written so that readers see it whole.

Everything above names tiles, regions and versions, never files. `deepsalt.push` carries what is
published to other places.
"""

from pathlib import Path

import xarray as xr

from deepsalt.store.arrays import count_pixels, create_mosaic, open_group, write_region
from deepsalt.store.journal import Publication, history
from deepsalt.store.periods import Period, check_periods
from deepsalt.store.records import Store
from deepsalt.store.retention import Prunable, find_prunable, prune
from deepsalt.store.tombstones import Tombstone, tombstone, tombstones
from deepsalt.store.versions import Version, complete_versions, current_version, read_version

__all__ = [
    "Period",
    "Prunable",
    "Publication",
    "Store",
    "Tombstone",
    "Version",
    "check_periods",
    "complete_versions",
    "count_pixels",
    "create_mosaic",
    "current_version",
    "find_prunable",
    "history",
    "open_mosaic",
    "prune",
    "read_version",
    "tombstone",
    "tombstones",
    "write_region",
]


def open_mosaic(path: str | Path | Store) -> xr.Dataset:
    """Open the published mosaic of a store, lazily.

    The link is followed once: a version published while the Dataset is in use does not mix in.

    Parameters
    ----------
    path
        A store, its folder, or a mosaic in it.

    Returns
    -------
    xr.Dataset
        Layers (period, y, x) as in `deepsalt.layers.MOSAIC_LAYERS`; `last_observed` in days
        from 1970-01-01 as float64, NaN where no scene contributed.

    Raises
    ------
    StoreError
        There is no mosaic.
    """
    root = path.path if isinstance(path, Store) else Path(path)
    group = root if (root / "zarr.json").is_file() else root / "mosaic.zarr"
    return open_group(group.resolve())
