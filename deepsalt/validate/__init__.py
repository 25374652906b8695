"""What `deepsalt check` looks at, and what every version passes before readers see it.

Every check yields findings instead of raising, so that one damaged file does not hide the next.

| check | claim |
|---|---|
| records | the store, its published version and its tile manifests can be read |
| products | every scene product is complete and as it was written |
| shards | every shard is there or declared empty, every tile that scenes touch was made |
| checksums | every shard is as it was written |
| missing | how much of a tile has no estimate, and that there is a reason |
| interval | every estimate lies in an interval, and no interval is without one |
| range | salinity lies between 0 and what the model can say |
| values | layers do not contradict each other |
| freshness | how old the newest scene is |
| georeferencing | CRS, transform and coordinates are those of the store's grid |
| stac | every Item is there, linked, and leads to what is there |
| leftovers | no interrupted writes lie about |
"""

from deepsalt.validate.findings import MAX_SALINITY_DS_M, Finding, Limits, Listener, Nobody
from deepsalt.validate.limits import check_age, effective
from deepsalt.validate.pixels import check_pixels

__all__ = [
    "MAX_SALINITY_DS_M",
    "Finding",
    "Limits",
    "Listener",
    "Nobody",
    "check_age",
    "check_pixels",
    "effective",
]
