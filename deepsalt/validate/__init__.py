"""Checks that every version passes before publication, and checks of pixels later.

Takes a tile's layers and its `Limits`; returns findings: errors, which prevent publication, and
warnings. Every check yields findings instead of raising, so that one damaged object does not hide
the next. `deepsalt.check` looks at a whole store. Open `pixels.py` first: it says what must hold.
"""

from deepsalt.validate.findings import Finding, Severity, by_severity
from deepsalt.validate.limits import MAX_SALINITY_DS_M, Limits, check_age, effective
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
