"""Grids: coordinate reference systems, exact maps between grids, the mosaic's tiles.

Takes grids of scenes and areas, returns tiles and, for each pixel of one grid, the nearest pixel of
another. Open `tiles.py` first, then `locate.py` (maps from grid to grid) and `crs.py`; `georef.py`
writes an array's georeferencing.
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
from deepsalt.grid.sphere import chained, on_sphere
from deepsalt.grid.tiles import Extent, MosaicGrid, PixelWindow, Tile

__all__ = [
    "Cell",
    "Extent",
    "Frame",
    "Location",
    "MosaicGrid",
    "Moved",
    "PixelWindow",
    "Tile",
    "area_of_use",
    "cell_shape_m",
    "cf_grid_mapping",
    "chained",
    "footprint",
    "ground_size_m",
    "locate",
    "on_sphere",
    "parse_crs",
    "projected_crs",
    "to_lonlat",
    "transform",
]
