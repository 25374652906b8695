"""A store and its records, in a folder or a bucket alike.

Takes a path or URI, returns a `Store`, whose `objects` other packages read and write by key. Open
`store.py` first: it shows the layout.

=================  =====================================================================
`store.py`         the value `Store`: location, grid, model
`periods.py`       spans of days that scenes are sorted into
`tombstones.py`    scenes that an operator withdrew
`quarantine.py`    scenes that can never work
`platforms.py`     what computed its products
`arrays.py`        Zarr arrays of layers, with coordinates
`documents.py`     JSON documents as bytes
=================  =====================================================================
"""

from deepsalt.store.periods import Period, check_periods
from deepsalt.store.platforms import keep_to_platform
from deepsalt.store.quarantine import (
    count_quarantined,
    quarantine,
    quarantined,
    quarantined_since,
    release,
)
from deepsalt.store.store import Store, Where
from deepsalt.store.tombstones import Tombstone, lift, record_withdrawal, tombstone, tombstones

__all__ = [
    "Period",
    "Store",
    "Tombstone",
    "Where",
    "check_periods",
    "count_quarantined",
    "keep_to_platform",
    "lift",
    "quarantine",
    "quarantined",
    "quarantined_since",
    "record_withdrawal",
    "release",
    "tombstone",
    "tombstones",
]
