"""Stage 2: from the products of a store to a published mosaic, tile by tile.

::

    with begin_build(store, sets) as build:
        for task in build.tasks:        # in any order, anywhere: picklable, alone on its shards
            compose_tile(task)
        version = build.publish()

Only tiles whose set of products changed have a task; the others are taken over from the published
version. A build that was interrupted leaves its finished tiles to the next one with the same sets.
"""

from deepsalt.mosaic.build import Build, begin_build
from deepsalt.mosaic.changes import readmit, rolled_back, withdraw
from deepsalt.mosaic.repair import RepairTask, begin_repair, repair_tile
from deepsalt.mosaic.sets import (
    PeriodSets,
    all_sets,
    readmitted_sets,
    united_sets,
    withdrawn_products,
)
from deepsalt.mosaic.tile import TileTask, compose_tile

__all__ = [
    "Build",
    "PeriodSets",
    "RepairTask",
    "TileTask",
    "all_sets",
    "begin_build",
    "begin_repair",
    "compose_tile",
    "readmit",
    "readmitted_sets",
    "repair_tile",
    "rolled_back",
    "united_sets",
    "withdraw",
    "withdrawn_products",
]
