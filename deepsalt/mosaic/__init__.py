"""Stage 2: from the products of a store to a published mosaic, tile by tile.

In go the tiles that scenes may have changed, out comes a version of the mosaic that readers see
whole. Only tiles whose set of products changed are composed. Open `build.py` first.

=============  =====================================================================
`wanted.py`    what each tile should be made of, from records alone
`tile.py`      a tile is composed, written and checked, on any worker
`build.py`     the tiles that differ are composed and published together
`scenes.py`    scenes that an operator takes out and in again
`repair.py`    what is damaged is made again
`picture.py`   the quicklook of a version
`prune.py`     old versions, and products that nobody names
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
