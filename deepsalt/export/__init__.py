"""Plain Zarr: a version of the mosaic that any reader of Zarr v3 opens.

Takes a `Mosaic` and a target; writes a group into a folder or a bucket, at a cost that follows the
difference between the versions. Open `export.py` first, then `fill.py`, which handles crashes.

=============  =====================================================================
`export.py`    writes a version to a target; removes old ones from a series
`target.py`    which targets are allowed and refused
`layout.py`    which tiles and periods an export covers, and their keys
`group.py`     the group's documents and coordinates
`record.py`    a target's record of its content
`fill.py`      updates a group to a version
`tiles.py`     copies encoded tiles into a group
`shard.py`     takes encoded shards apart and checks them
`read.py`      opens an export
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
