"""Coordinate reference systems: names, transforms, and what a pixel measures on the ground.

The only module that talks to PROJ; pyproj is imported late because it is slow to load.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import GridError
from deepsalt.types import PixelGrid

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

EQUAL_AREA_PARALLEL_DEG = 30.0
"""Latitude where EPSG:6933 keeps shapes (standard parallel of EASE-Grid 2.0)."""
WGS84_E2 = 0.00669437999014
"""Squared eccentricity of the WGS84 ellipsoid."""


def transform(
    source: str, target: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of one CRS in another, x before y (longitude first); infinite where undefined.

    Raises
    ------
    GridError
        One of the two is not a CRS.
    """
    if source == target:
        return x, y
    moved_x, moved_y = _transformer(source, target).transform(x, y)
    return np.asarray(moved_x), np.asarray(moved_y)


def to_lonlat(
    crs: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of a CRS as longitude and latitude, degrees WGS84."""
    return transform(crs, "EPSG:4326", x, y)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> "Transformer":
    from pyproj import Transformer

    return Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


@lru_cache(maxsize=64)
def parse_crs(crs: str) -> "CRS":
    """Return the CRS that a code or WKT names.

    Raises
    ------
    GridError
        PROJ does not know it.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise GridError(
            f"{crs!r} is not a coordinate reference system known to PROJ; give a code such as "
            f"EPSG:6933 or EPSG:32633"
        ) from error


def projected_crs(crs: str) -> str:
    """Return the canonical name of a CRS that a mosaic can have.

    Raises
    ------
    GridError
        Unknown CRS, or one that is not projected in metres.
    """
    parsed = parse_crs(crs)
    units = {axis.unit_name for axis in parsed.axis_info[:2]}
    if not parsed.is_projected or not units <= {"metre", "meter"}:
        raise GridError(
            f"a mosaic in {crs} would have pixels in {' and '.join(sorted(units))}; give a "
            "projected CRS in metres such as EPSG:6933 or a UTM zone"
        )
    authority = parsed.to_authority()
    return ":".join(authority) if authority else str(parsed.to_wkt())


def cell_shape_m(latitude: float, resolution_m: float = 30.0) -> tuple[float, float]:
    """Return width and height on the ground, m, of an EPSG:6933 cell at a latitude in degrees.

    Cells are equal in area, not in shape: 30 m cells are 24 x 37 m at 45 degrees. Scale factor of
    the cylindrical equal-area projection on the ellipsoid after Snyder, Map Projections: A Working
    Manual (USGS 1987), eq. 10-12 and 10-13.
    """

    def radius(degrees: float) -> float:
        sine = math.sin(math.radians(degrees))
        return math.cos(math.radians(degrees)) / math.sqrt(1 - WGS84_E2 * sine * sine)

    stretch = radius(EQUAL_AREA_PARALLEL_DEG) / radius(latitude)
    return resolution_m / stretch, resolution_m * stretch


def ground_size_m(grid: PixelGrid) -> tuple[float, float]:
    """Return width and height on the ground, m, of the pixel in the middle of a grid."""
    a, _, c, _, e, f = grid.transform
    x, y = c + a * grid.width / 2, f + e * grid.height / 2
    lon, lat = to_lonlat(grid.crs, np.array([x, x + a, x]), np.array([y, y, y + e]))
    geod = parse_crs("EPSG:4326").get_geod()
    if geod is None:
        raise GridError(f"{grid.crs} has no ellipsoid")
    _, _, size = geod.inv(lon[[0, 0]], lat[[0, 0]], lon[1:], lat[1:])
    return float(size[0]), float(size[1])


def footprint(grid: PixelGrid, *, points_per_edge: int = 8) -> tuple[tuple[float, float], ...]:
    """Return the outline of a grid as a closed ring of (longitude, latitude), degrees WGS84."""
    t = np.arange(points_per_edge) / points_per_edge
    o, i = np.zeros_like(t), np.ones_like(t)
    # Counter-clockwise from the north-west corner, as GeoJSON asks for exterior rings.
    column = np.r_[o, t, i, 1 - t] * grid.width
    row = np.r_[t, i, 1 - t, o] * grid.height
    a, _, c, _, e, f = grid.transform
    lon, lat = to_lonlat(grid.crs, c + a * column, f + e * row)
    ring = tuple((float(x), float(y)) for x, y in zip(lon, lat, strict=True))
    return (*ring, ring[0])


def cf_grid_mapping(crs: str) -> dict[str, Any]:
    """Return the CF `grid_mapping` attributes of a CRS, its WKT among them."""
    return dict(parse_crs(crs).to_cf())


def area_of_use(crs: str) -> tuple[float, float, float, float] | None:
    """Return where a CRS may be used as (west, south, east, north), CRS units; None if unstated.

    Raises
    ------
    GridError
        PROJ does not know the CRS.
    """
    area = parse_crs(crs).area_of_use
    if area is None:
        return None
    # Edges are bent: along each of them 201 points, a fraction of a kilometre within the edge.
    t = np.linspace(0.0, 1.0, 201)
    east = area.east + (360.0 if area.east <= area.west else 0.0)
    lon = np.r_[area.west + t * (east - area.west)]
    lat = area.south + t * (area.north - area.south)
    x, y = transform(
        "EPSG:4326",
        crs,
        np.r_[lon, lon, np.full_like(lat, area.west), np.full_like(lat, east)],
        np.r_[np.full_like(lon, area.south), np.full_like(lon, area.north), lat, lat],
    )
    found = np.isfinite(x) & np.isfinite(y)
    if not found.any():
        return None
    x, y = x[found], y[found]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())
