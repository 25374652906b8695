"""What every version passes before readers see it, and what a check of pixels finds later.

In come a tile's layers and its `Limits`, out come findings: errors, which no version is published
with, and warnings. Every check yields findings instead of raising, so that one damaged object does
not hide the next. `deepsalt.check` looks at a whole store. Open `pixels.py` first: it says what
must hold.
"""

from deepsalt.validate.findings import (
    MAX_SALINITY_DS_M,
    Finding,
    Limits,
    Severity,
    by_severity,
)
from deepsalt.validate.limits import check_age, effective
from deepsalt.validate.pixels import check_pixels
from deepsalt.validate.tiles import ANEW, REPAIR, TileFindings, check_tiles

__all__ = [
    "ANEW",
    "MAX_SALINITY_DS_M",
    "REPAIR",
    "Finding",
    "Limits",
    "Severity",
    "TileFindings",
    "by_severity",
    "check_age",
    "check_pixels",
    "check_tiles",
    "effective",
]
