"""Plain Zarr for everybody else: a version of the mosaic that any reader of Zarr v3 opens.

In goes a `Mosaic` and a target, out comes a group in a folder or a bucket, by little more work than
the versions differ. Open `export.py` first, then `fill.py`, which holds what happens after a crash.

=============  =====================================================================
`export.py`    a version goes to a target; old ones are removed from a series
`target.py`    what a target may be, and what is refused
`layout.py`    which tiles and periods are covered, and under which keys
`group.py`     the group's documents and coordinates
`record.py`    what a target remembers of what it holds
`fill.py`      a group is brought from what it holds to a version
`tiles.py`     tiles are exported into a group, as they are encoded
`shard.py`     encoded shards taken apart and checked
`read.py`      an export is opened
=============  =====================================================================
"""

from deepsalt.export.export import Exported, export_mosaic
from deepsalt.export.read import open_export
from deepsalt.export.target import MOSAIC_ZARR, Target, check_target

__all__ = [
    "MOSAIC_ZARR",
    "Exported",
    "Target",
    "check_target",
    "export_mosaic",
    "open_export",
]
