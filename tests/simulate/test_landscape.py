from datetime import datetime

import numpy as np
import pytest

from deepsalt.errors import GridError
from deepsalt.simulate.geodesy import lonlat_of_pixels, utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.specimens import specimens
from deepsalt.types import PixelGrid


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    return 60.0 + rng.uniform(-0.3, 0.3, 20000), 41.5 + rng.uniform(-0.2, 0.2, 20000)


def test_salinity_is_skewed_patchy_and_spans_the_classes(land, places):
    ec = land.at(*places).salinity
    ec = ec[np.isfinite(ec)]
    assert ec.min() > 0.01
    assert 5 < ec.max() < 20  # of a 1:2 extract; five times that in a saturated paste
    assert np.quantile(ec, 0.5) < 0.6 < 4 < np.quantile(ec, 0.97)


def test_shares_of_cover_are_shares(land, places):
    ground = land.at(*places, datetime(2024, 6, 1))
    total = ground.green + ground.dry + ground.water
    assert min(ground.green.min(), ground.dry.min(), ground.water.min()) >= 0
    assert total.max() <= 1 + 1e-12
    assert ground.mass.min() >= 0
    assert ground.mass.sum(axis=1).max() < 1


def test_the_date_moves_moisture_and_crops_but_not_salinity(land, places):
    spring, autumn = (land.at(*places, datetime(2024, month, 1)) for month in (5, 10))
    assert np.array_equal(spring.salinity, autumn.salinity, equal_nan=True)
    assert not np.array_equal(spring.film_mm, autumn.film_mm)
    assert spring.green.mean() > autumn.green.mean()


def test_another_seed_is_another_land(places):
    one, two = (Landscape(seed, 60.0, 41.5).at(*places).salinity for seed in (1, 2))
    assert np.nanmax(np.abs(one - two)) > 1


def test_the_demo_land_has_no_specimen_of_training(land):
    trained = {mineral.specimen for mineral in specimens("train")}
    assert not trained & {mineral.specimen for mineral in land.minerals}


def test_grids_of_two_zones_see_the_same_ground(land):
    longitude, latitude = lonlat_of_pixels(utm_grid(60.0, 41.5, 40, 40, zone=40))
    east = utm_grid(60.0, 41.5, 400, 400, zone=41)
    truth = land.truth_on(east)
    lon41, lat41 = lonlat_of_pixels(east)
    direct = land.at(longitude.ravel(), latitude.ravel()).salinity
    nearest = []
    for lon, lat in zip(longitude.ravel()[::37], latitude.ravel()[::37], strict=True):
        distance = (lon41 - lon) ** 2 * 0.56 + (lat41 - lat) ** 2
        nearest.append(truth.ravel()[np.argmin(distance)])
    seen = direct[::37]
    good = np.isfinite(seen) & np.isfinite(nearest)
    # Pixel centres of the two grids are up to 21 m apart.
    assert np.corrcoef(np.log(seen[good]), np.log(np.array(nearest)[good]))[0, 1] > 0.98


def test_truth_on_a_mosaic_grid_is_truth_at_its_pixel_centres(land):
    grid = PixelGrid("EPSG:6933", (30.0, 0.0, 5789000.0, 0.0, -30.0, 4843000.0), 33, 47)
    longitude, latitude = lonlat_of_pixels(grid)
    expected = land.at(longitude.ravel(), latitude.ravel()).salinity.reshape(33, 47)
    assert np.allclose(land.truth_on(grid), expected, equal_nan=True)
    assert land.truth_on(grid).dtype == np.float32


@pytest.mark.parametrize(
    ("longitude", "latitude", "zone"), [(15.0, 52.0, 33), (179.99, -20.0, 60), (-70.0, -33.0, 19)]
)
def test_pixel_centres_are_exact_to_a_centimetre(longitude, latitude, zone):
    from pyproj import Transformer

    grid = utm_grid(longitude, latitude, 200, 130)
    assert int(grid.crs[-2:]) == zone
    a, _, c, _, e, f = grid.transform
    rows, columns = np.array([0, 64, 129, 77]), np.array([0, 101, 199, 5])
    to_lonlat = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    expected = to_lonlat.transform(c + a * (columns + 0.5), f + e * (rows + 0.5))
    found = lonlat_of_pixels(grid)
    assert np.abs((found[0][rows, columns] - expected[0] + 180) % 360 - 180).max() * 111e3 < 0.01
    assert np.abs(found[1][rows, columns] - expected[1]).max() * 111e3 < 0.01


def test_utm_grids_have_the_phase_of_enmap():
    _, _, west, _, _, north = utm_grid(12.3, 51.7, 100, 101).transform
    assert (west % 30, north % 30) == (15.0, 15.0)


@pytest.mark.parametrize(("longitude", "latitude", "zone"), [(0, 88, None), (0, 10, 61)])
def test_places_without_utm_are_refused(longitude, latitude, zone):
    with pytest.raises(GridError, match="UTM"):
        utm_grid(longitude, latitude, 10, 10, zone=zone)


def test_an_unknown_crs_is_refused():
    with pytest.raises(GridError, match="EPSG:99999"):
        lonlat_of_pixels(PixelGrid("EPSG:99999", (30.0, 0.0, 0.0, 0.0, -30.0, 0.0), 4, 4))
