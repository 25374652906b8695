"""Where the pixels of a simulated scene lie."""

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from deepsalt.errors import GridError
from deepsalt.types import PixelGrid

GSD_M = 30.0
"""Grid spacing of EnMAP L2A and PRISMA L2D, m."""

_LATTICE_PX = 16  # bilinear between exact positions this far apart is right to a centimetre


def utm_grid(
    longitude: float, latitude: float, width: int, height: int, *, zone: int | None = None
) -> PixelGrid:
    """Return a 30 m UTM grid around a place, with EnMAP's phase: origins at 30 k + 15 m.

    Parameters
    ----------
    longitude, latitude
        Centre, degrees WGS84.
    width, height
        Columns and rows, pixels.
    zone
        UTM zone 1 to 60; the place's own when None. A neighbouring zone is fine.

    Raises
    ------
    GridError
        A place or zone that does not exist.
    """
    if not (-180.0 <= longitude <= 180.0 and -80.0 <= latitude <= 84.0):
        raise GridError(f"UTM does not reach longitude {longitude}, latitude {latitude}")
    zone = zone or min(int((longitude + 180.0) // 6.0) + 1, 60)
    if not 1 <= zone <= 60:
        raise GridError(f"UTM zone {zone} does not exist; give a zone from 1 to 60")
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    east, north = transform("EPSG:4326", crs, [longitude], [latitude])
    west = round((east[0] - width * GSD_M / 2) / GSD_M) * GSD_M + GSD_M / 2
    top = round((north[0] + height * GSD_M / 2) / GSD_M) * GSD_M + GSD_M / 2
    return PixelGrid(crs, (GSD_M, 0.0, west, 0.0, -GSD_M, top), height, width)


def lonlat_of_pixels(grid: PixelGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of all pixel centres, degrees, each (height, width).

    Longitudes are continuous over the antimeridian, so they may leave -180 to 180.

    Raises
    ------
    GridError
        A CRS that is not known.
    """
    rows, columns = _lattice(grid.height), _lattice(grid.width)
    across, down = np.meshgrid(columns, rows)
    longitude, latitude = to_lonlat(grid, across.ravel(), down.ravel())
    spread_rows = _weights(rows, grid.height)
    spread_columns = _weights(columns, grid.width)
    return (
        spread_rows @ longitude.reshape(across.shape) @ spread_columns.T,
        spread_rows @ latitude.reshape(across.shape) @ spread_columns.T,
    )


def to_lonlat(
    grid: PixelGrid, column: NDArray[np.float64], row: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude (n,) of positions in a grid, pixels from its corner (n,)."""
    a, _, c, _, e, f = grid.transform
    try:
        crs = CRS.from_user_input(grid.crs)
        found = transform(crs, "EPSG:4326", (c + a * column).tolist(), (f + e * row).tolist())
    except CRSError as error:
        raise GridError(f"the CRS {grid.crs!r} is unknown: {error}") from error
    longitude, latitude = np.array(found[0]), np.array(found[1])
    return longitude[0] + (longitude - longitude[0] + 180.0) % 360.0 - 180.0, latitude


def _lattice(size: int) -> NDArray[np.float64]:
    """Return positions of pixel centres, the first, the last and some between."""
    count = max(2, -(-size // _LATTICE_PX) + 1)
    return np.linspace(0.5, max(size - 0.5, 1.5), count)


def _weights(lattice: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the matrix that interpolates from a lattice to all pixel centres."""
    centers = np.arange(size) + 0.5
    unit = np.eye(lattice.size)
    return np.stack([np.interp(centers, lattice, column) for column in unit], axis=1)
