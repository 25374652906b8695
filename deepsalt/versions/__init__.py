"""The mosaic and its versions: an Icechunk repository in a folder, a bucket or memory.

In come tiles to compose and what they should be made of; out come versions, each a commit that is
published whole, and Datasets that read one of them. It knows grids and layers, and nothing of
catalogues, scenes or engines. Open `commit.py` first: it holds what happens when two builds race;
`arrays.py` says what is stored.
"""

from deepsalt.versions.arrays import Job, tile_digest, write_tile
from deepsalt.versions.change import held, publish, roll_back
from deepsalt.versions.commit import Build, Built, Done
from deepsalt.versions.read import open_mosaic, products_of
from deepsalt.versions.records import live_builds
from deepsalt.versions.repository import Mosaic, Version, create_mosaic, open_repository
from deepsalt.versions.retention import Pruned, drop, prune

__all__ = [
    "Build",
    "Built",
    "Done",
    "Job",
    "Mosaic",
    "Pruned",
    "Version",
    "create_mosaic",
    "drop",
    "held",
    "live_builds",
    "open_mosaic",
    "open_repository",
    "products_of",
    "prune",
    "publish",
    "roll_back",
    "tile_digest",
    "write_tile",
]
