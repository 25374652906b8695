"""The mosaic and its versions: an Icechunk repository in a folder, a bucket or memory.

Takes tiles to compose and the products that they need; returns versions, each a commit published as
a whole, and Datasets that read one of them. It knows grids and layers, but not catalogues, scenes
or engines. Open `commit.py` first, which resolves races between builds; `arrays.py` says what is
stored.
"""

from deepsalt.versions.arrays import Job, read_salinity, tile_digest, write_tile
from deepsalt.versions.change import held, publish, roll_back, states
from deepsalt.versions.commit import HELD_FACT, Build, Built, Days, Done, PeriodTile
from deepsalt.versions.compare import Piece, changed_pieces, encoded
from deepsalt.versions.read import (
    Filled,
    filled_periods,
    layers_of,
    open_mosaic,
    products_at,
    products_of,
)
from deepsalt.versions.records import BuildRecord, building, live_builds, periods_of
from deepsalt.versions.repository import (
    Mosaic,
    Version,
    create_mosaic,
    find_repository,
    open_repository,
)
from deepsalt.versions.retention import MARGIN, Expiring, Pruned, drop, expiring, prune
from deepsalt.versions.stored import Stored, digests_at

__all__ = [
    "HELD_FACT",
    "MARGIN",
    "Build",
    "BuildRecord",
    "Built",
    "Days",
    "Done",
    "Expiring",
    "Filled",
    "Job",
    "Mosaic",
    "PeriodTile",
    "Piece",
    "Pruned",
    "Stored",
    "Version",
    "building",
    "changed_pieces",
    "create_mosaic",
    "digests_at",
    "drop",
    "encoded",
    "expiring",
    "filled_periods",
    "find_repository",
    "held",
    "layers_of",
    "live_builds",
    "open_mosaic",
    "open_repository",
    "periods_of",
    "products_at",
    "products_of",
    "prune",
    "publish",
    "read_salinity",
    "roll_back",
    "states",
    "tile_digest",
    "write_tile",
]
