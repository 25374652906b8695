"""Stage 2: from the products of a store to a published mosaic, tile by tile.

Takes the tiles that scenes may have changed, publishes a version of the mosaic as a whole. Only
tiles whose set of products changed are composed. Open `build.py` first.

=============  =====================================================================
`wanted.py`    which products each tile needs, from records alone
`tile.py`      composes, writes and checks a tile, on any worker
`drift.py`     how far tiles are from what they were, and whether that is plausible
`build.py`     composes tiles that differ and publishes them together
`scenes.py`    scenes that an operator withdraws or readmits
`repair.py`    rebuilds what is damaged
`picture.py`   the quicklook of a version
`prune.py`     removes old versions and unused products
=============  =====================================================================
"""

from deepsalt.mosaic.build import (
    Builder,
    MosaicReport,
    all_period_tiles,
    build_mosaic,
    period_tiles_of,
)
from deepsalt.mosaic.picture import QUICKLOOK, draw_version
from deepsalt.mosaic.prune import Pruning, prune, to_prune
from deepsalt.mosaic.repair import Repaired, repair_mosaic
from deepsalt.mosaic.scenes import (
    Changed,
    readmit,
    refuse_withdrawn,
    withdraw,
    withdrawn_names,
)
from deepsalt.mosaic.wanted import Wanted

__all__ = [
    "QUICKLOOK",
    "Builder",
    "Changed",
    "MosaicReport",
    "Pruning",
    "Repaired",
    "Wanted",
    "all_period_tiles",
    "build_mosaic",
    "draw_version",
    "period_tiles_of",
    "prune",
    "readmit",
    "refuse_withdrawn",
    "repair_mosaic",
    "to_prune",
    "withdraw",
    "withdrawn_names",
]
