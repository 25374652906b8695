"""Checks of `deepsalt check`: a whole store, in a folder, a bucket or memory.

Takes a store, returns findings. Writes nothing, except entries of the index on request. A check
yields findings instead of raising, so that one damaged object does not hide the next. Open
`store.py` first.

| check | claim |
|---|---|
| records | the records of the store and the published version can be read |
| products | every product with a marker has all its objects, as they were written |
| index | every product is found from its acquisition and from each tile that it changes |
| contents | every tile is made of what the records say |
| layers | the mosaic has its layers, of their type and shape |
| georeferencing | the mosaic lies where the grid of the store says |
| checksums | every tile can be read, as it was written |
| missing | how much of a tile has no estimate, and that there is a reason |
| interval | every estimate lies in an interval, and no interval is without one |
| range | salinity lies between 0 and what the model can say |
| values | layers do not contradict each other |
| freshness | how old the newest scene is |
| stac | every link leads to what is there, and links lead to what counts |
| leftovers | no interrupted writes and builds lie about, no version waits |

================  ==================================================================
`store.py`        one check after the other
`products.py`     markers, objects, the index
`mosaic.py`       what tiles are made of, metadata, pixels
`catalogue.py`    links of the STAC catalogue
================  ==================================================================
"""

from deepsalt.check.store import check_store

__all__ = ["check_store"]
