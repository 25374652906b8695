"""What a store is and what it remembers, in a folder or a bucket alike.

In goes a path or URI, out comes a `Store`, whose `objects` everybody else names keys of. Open
`store.py` first: it says what lies where.

=================  =====================================================================
`store.py`         the value `Store`: where, which grid, which model
`periods.py`       spans of days that scenes are sorted into
`tombstones.py`    scenes that an operator took out
`quarantine.py`    scenes that can never work
`platforms.py`     what computed its products
`arrays.py`        Zarr arrays of layers, with coordinates
`documents.py`     JSON documents as bytes
=================  =====================================================================
"""

from deepsalt.store.periods import Period, check_periods
from deepsalt.store.platforms import keep_to_platform
from deepsalt.store.quarantine import quarantine, quarantined, release
from deepsalt.store.store import Store, Where
from deepsalt.store.tombstones import Tombstone, lift, record_withdrawal, tombstone, tombstones

__all__ = [
    "Period",
    "Store",
    "Tombstone",
    "Where",
    "check_periods",
    "keep_to_platform",
    "lift",
    "quarantine",
    "quarantined",
    "record_withdrawal",
    "release",
    "tombstone",
    "tombstones",
]
