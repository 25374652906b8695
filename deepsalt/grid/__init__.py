"""Grids: coordinate reference systems, exact maps between grids, the mosaic's tiles.

In come grids of scenes and areas, out come tiles and, for each pixel of one grid, the pixel of
another that lies nearest. Open first `tiles.py`, then `locate.py` (maps from grid to grid) and
`crs.py`; `georef.py` writes where an array lies so that readers find it.
"""

from deepsalt.grid.crs import (
    area_of_use,
    cell_shape_m,
    cf_grid_mapping,
    footprint,
    ground_size_m,
    parse_crs,
    projected_crs,
    to_lonlat,
    transform,
)
from deepsalt.grid.frame import Cell, Frame
from deepsalt.grid.locate import Location, Moved, locate
from deepsalt.grid.tiles import Extent, MosaicGrid, Region, Tile

__all__ = [
    "Cell",
    "Extent",
    "Frame",
    "Location",
    "MosaicGrid",
    "Moved",
    "Region",
    "Tile",
    "area_of_use",
    "cell_shape_m",
    "cf_grid_mapping",
    "footprint",
    "ground_size_m",
    "locate",
    "parse_crs",
    "projected_crs",
    "to_lonlat",
    "transform",
]
