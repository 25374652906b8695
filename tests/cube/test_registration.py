"""Pixels lie where the product says, to a hundredth of a pixel, in both corner conventions.

Each scene's numbers encode how far, in metres, a pixel's centre lies from that of the first; the
coordinates of the cube must say the same, counted from the corner that the product states.
"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from deepsalt.cube.load import open_scene
from deepsalt.scenes.base import read_acquisition
from tests.made.enmap import ENMAP_ORIGIN, write_enmap, write_tiff
from tests.made.generic import CENTERS, band_tags
from tests.made.prisma import NAME, UL_CENTRE, write_prisma

SHAPE = (70, 90)
HUNDREDTH_M = 0.3  # of a 30 m pixel
CORNERS = {
    # a corner of the outer edge of the raster
    "enmap": (ENMAP_ORIGIN[0] + 15, ENMAP_ORIGIN[1] - 15),
    "generic": (ENMAP_ORIGIN[0] + 15, ENMAP_ORIGIN[1] - 15),
    # the centre of the upper left pixel
    "prisma": UL_CENTRE,
}


def encoded() -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the metres east and south of the upper left centre that each pixel's centre is."""
    east, south = np.meshgrid(30 * np.arange(SHAPE[1]), 30 * np.arange(SHAPE[0]))
    return east.astype(np.int16) + 1, south.astype(np.int16) + 1


def build(sensor: str, folder: Path) -> xr.Dataset:
    east, south = encoded()
    if sensor == "enmap":
        numbers = np.full((224, *SHAPE), 1000, np.int16)
        numbers[0], numbers[-1] = east, south
        return open_scene(read_acquisition(write_enmap(folder, numbers=numbers)))
    if sensor == "generic":
        numbers = np.full((len(CENTERS), *SHAPE), 1000, np.int16)
        numbers[0], numbers[-1] = east, south
        path = write_tiff(folder / "a.tif", numbers, nodata=-1, band_tags=band_tags())
        return open_scene(read_acquisition(path, scale=1e-4))
    cube = np.full((SHAPE[0], 66, SHAPE[1]), 1000, np.uint16)
    cube[:, 64] = east  # the shortest wavelength acquired
    swir = np.repeat(south.astype(np.uint16)[:, None], 173, axis=1)  # the longest are not usable
    path = write_prisma(folder / NAME, shape=SHAPE, cubes={"VNIR": cube, "SWIR": swir})
    return open_scene(read_acquisition(path))


@pytest.mark.parametrize("sensor", CORNERS)
def test_each_pixel_lies_where_its_value_says(tmp_path: Path, sensor: str) -> None:
    cube = build(sensor, tmp_path)
    x0, y0 = CORNERS[sensor]
    used = cube.dn.isel(band=np.flatnonzero(cube.usable))
    east, south = used.isel(band=0).values, used.isel(band=-1).values
    x, y = np.meshgrid(cube.x.values, cube.y.values)
    assert np.abs(x - (x0 + east.astype(float) - 1)).max() < HUNDREDTH_M
    assert np.abs(y - (y0 - south.astype(float) + 1)).max() < HUNDREDTH_M


@pytest.mark.parametrize("sensor", CORNERS)
def test_the_geotransform_names_the_outer_corner(tmp_path: Path, sensor: str) -> None:
    cube = build(sensor, tmp_path)
    gdal = [float(v) for v in cube.spatial_ref.attrs["GeoTransform"].split()]
    centre = (gdal[0] + gdal[1] / 2, gdal[3] + gdal[5] / 2)
    np.testing.assert_allclose(centre, CORNERS[sensor], atol=HUNDREDTH_M)
    np.testing.assert_allclose((cube.x[0], cube.y[0]), CORNERS[sensor], atol=HUNDREDTH_M)


def test_a_scene_in_a_crs_without_code_opens(tmp_path: Path) -> None:
    laea = "+proj=laea +lat_0=52 +lon_0=10 +x_0=0 +y_0=0 +ellps=GRS80 +units=m"
    numbers = np.full((len(CENTERS), 20, 24), 1000, np.int16)
    path = write_tiff(tmp_path / "a.tif", numbers, nodata=-1, band_tags=band_tags(), crs=laea)
    cube = open_scene(read_acquisition(path, scale=1e-4))
    assert cube.attrs["crs"].startswith("PROJCS")
    used = cube.usable.values
    np.testing.assert_array_equal(cube.dn.values[used], numbers[used])
