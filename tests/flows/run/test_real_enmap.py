"""Real EnMAP pixels through the command, checked by code that does not know deepsalt.

Fourteen tiles of 32 x 32 pixels of one scene over Potsdam (2022-07-24): city, forest, water and
some fields. Expected numbers are computed here, straight from the GeoTIFFs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import Transformer

from deepsalt.reading import open_mosaic
from tests.flows.conftest import deepsalt
from tests.shared import shared_data

OUTSIDE, WATER, GREEN = 1, 64, 128


@dataclass(frozen=True)
class Pixels:
    """All pixels of all tiles, flat (n): centres in EPSG:32633, and reflectance (band, n)."""

    x: np.ndarray
    y: np.ndarray
    reflectance: np.ndarray
    wavelength: np.ndarray

    def at(self, nm: float) -> np.ndarray:
        return self.reflectance[np.abs(self.wavelength - nm).argmin()]

    @property
    def measured(self) -> np.ndarray:
        return np.isfinite(self.reflectance).any(axis=0)

    @property
    def ndvi(self) -> np.ndarray:
        red, infrared = self.at(660.0), self.at(800.0)
        with np.errstate(invalid="ignore"):  # some shaded pixels reflect 0 in both
            return (infrared - red) / (infrared + red)


@pytest.fixture(scope="module")
def tiles() -> list[Path]:
    return sorted(shared_data("enmap-potsdam", "tiles").glob("*.tif"))


@pytest.fixture(scope="module")
def pixels(tiles: list[Path]) -> Pixels:
    xs, ys, values, wavelength = [], [], [], np.empty(0)
    for path in tiles:
        with rasterio.open(path) as file:
            row, column = np.mgrid[0 : file.height, 0 : file.width]
            xs.append(file.transform.c + 30.0 * (column.ravel() + 0.5))
            ys.append(file.transform.f - 30.0 * (row.ravel() + 0.5))
            numbers = file.read().reshape(file.count, -1)
            values.append(np.where(numbers == file.nodata, np.nan, numbers * 1e-4))
            wavelength = np.array([float(file.tags(b)["wavelength"]) for b in file.indexes])
    return Pixels(np.concatenate(xs), np.concatenate(ys), np.concatenate(values, 1), wavelength)


@pytest.fixture(scope="module")
def stores(tiles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Mosaics on the tiles' own grid and on the default one."""
    folder = tmp_path_factory.mktemp("potsdam")
    ingest = deepsalt("ingest", *tiles, "--scale", "0.0001", "--to", folder / "catalogue")
    assert ingest.exit_code == 0, ingest.output
    found = {}
    for name, options in {"utm": ["--crs", "EPSG:32633"], "equal-area": []}.items():
        found[name] = folder / name
        args = ("--catalogue", folder / "catalogue", "--out", found[name], *options)
        assert deepsalt("run", *args).exit_code == 0
    return found


@pytest.fixture(scope="module")
def on_pixels(stores: dict[str, Path], pixels: Pixels) -> xr.Dataset:
    """The UTM mosaic at exactly the tiles' pixel centres; a shifted grid would find none."""
    mosaic = open_mosaic(stores["utm"]).isel(period=0)
    at = {"x": xr.DataArray(pixels.x, dims="n"), "y": xr.DataArray(pixels.y, dims="n")}
    return mosaic.drop_vars("spatial_ref").sel(at).compute()


def test_every_pixel_is_estimated_or_masked_with_a_reason(on_pixels: xr.Dataset) -> None:
    estimated = np.isfinite(on_pixels.salinity.values)
    assert estimated.any()
    assert (on_pixels.quality_flags.values[~estimated] != 0).all()
    assert np.isfinite(on_pixels.salinity_lower.values[estimated]).all()
    assert np.isfinite(on_pixels.salinity_upper.values[estimated]).all()


def test_pixels_without_data_are_outside_and_no_others(
    on_pixels: xr.Dataset, pixels: Pixels
) -> None:
    outside = (on_pixels.quality_flags.values & OUTSIDE) != 0
    np.testing.assert_array_equal(outside, ~pixels.measured)


def test_beyond_the_tiles_everything_is_outside(stores: dict[str, Path], pixels: Pixels) -> None:
    mosaic = open_mosaic(stores["utm"]).isel(period=0)
    inside = int(((mosaic.quality_flags & OUTSIDE) == 0).sum())
    assert inside == int(pixels.measured.sum())


def test_green_pixels_are_masked_as_green(on_pixels: xr.Dataset, pixels: Pixels) -> None:
    green = (on_pixels.quality_flags.values & GREEN) != 0
    # Plants are bright in the near infrared; NDVI of water is a ratio of next to nothing.
    plants = (pixels.ndvi > 0.4) & (pixels.at(800.0) > 0.1)
    assert plants.sum() > 3000
    assert green[plants].all()
    assert not green[pixels.ndvi < 0.2].any()


def test_open_water_is_not_estimated(on_pixels: xr.Dataset, pixels: Pixels) -> None:
    # Open water reflects next to nothing beyond 1 um, and less of it than of green light.
    dark = (pixels.at(1050.0) < 0.03) & (pixels.at(1650.0) < 0.02)
    water = dark & (pixels.at(560.0) > pixels.at(1650.0))
    assert water.sum() > 100
    assert not np.isfinite(on_pixels.salinity.values[water]).any()


def test_estimates_are_those_of_soils_that_nobody_salted(on_pixels: xr.Dataset) -> None:
    salinity = on_pixels.salinity.values[np.isfinite(on_pixels.salinity.values)]
    assert salinity.min() >= 0.0
    assert np.median(salinity) < 4.0
    assert salinity.max() < 100.0


def test_the_equal_area_mosaic_holds_the_nearest_pixel_of_each_cell(
    stores: dict[str, Path], on_pixels: xr.Dataset, pixels: Pixels
) -> None:
    mosaic = open_mosaic(stores["equal-area"]).isel(period=0)
    row, column = np.nonzero((mosaic.quality_flags.values & OUTSIDE) == 0)
    to_utm = Transformer.from_crs("EPSG:6933", "EPSG:32633", always_xy=True)
    x, y = to_utm.transform(mosaic.x.values[column], mosaic.y.values[row])
    places = zip(np.floor(pixels.x / 30 - 0.5), np.floor(pixels.y / 30 - 0.5), strict=True)
    index = {place: n for n, place in enumerate(places)}
    cells = zip(np.floor(x / 30 - 0.5), np.floor(y / 30 - 0.5), strict=True)
    nearest = np.array([index[cell] for cell in cells])
    for layer in ("salinity", "salinity_lower", "salinity_upper", "quality_flags"):
        found = mosaic[layer].values[row, column]
        np.testing.assert_allclose(found, on_pixels[layer].values[nearest], rtol=1e-5)
