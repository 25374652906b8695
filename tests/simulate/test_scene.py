from datetime import datetime

import numpy as np
import pytest

from deepsalt.errors import UsageError
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.scene import Clouds, SimulatedScene, Weather
from deepsalt.spectral.bands import select_bands, sensor_bands

GRID = utm_grid(60.0, 41.5, 120, 100)
BANDS = select_bands(sensor_bands("enmap"), np.arange(224) % 40 == 20)


def scene(land, **weather):
    look = SimulatedScene(
        land, GRID, BANDS, start=datetime(2024, 6, 1), seed=1, weather=Weather(**weather)
    )
    (strip,) = look.strips(100)
    return strip


CLEAR = {"cloud": 0.0, "cirrus": 0.0, "haze": 0.0}


def test_a_clear_sky_flags_nothing(land):
    strip = scene(land, **CLEAR)
    flags = strip.cloud | strip.shadow | strip.haze | (strip.cirrus > 0) | strip.snow
    assert not flags.any()


def test_clouds_brighten_and_shadows_darken(land):
    clear, cloudy = scene(land, **CLEAR), scene(land, cloud=0.3, cirrus=0.0, haze=0.0)
    blue = cloudy.reflectance[0] - clear.reflectance[0]
    infrared = cloudy.reflectance[2] / np.maximum(clear.reflectance[2], 0.01)
    assert np.median(blue[cloudy.cloud & cloudy.inside]) > 0.1
    assert np.median(infrared[cloudy.shadow]) < 0.8


def test_shadows_lie_on_the_side_away_from_the_sun():
    weather = Weather(cloud=0.2, sun_elevation_deg=45.0, sun_azimuth_deg=90.0, cloud_height_m=900)
    sky = Clouds(np.random.default_rng(0), weather, GRID)
    x, y = np.meshgrid(np.arange(1500.0, 3000.0, 30.0), np.arange(0.0, 1500.0, 30.0))
    opacity = sky.opacity(x.ravel(), y.ravel())
    # The sun stands in the east: shadows fall 900 m to the west.
    assert np.allclose(sky.shadow(x.ravel() - 900.0, y.ravel()), opacity)


def test_noise_differs_between_looks_and_the_ground_does_not(land):
    looks = []
    for seed in (1, 2):
        look = SimulatedScene(
            land, GRID, BANDS, start=datetime(2024, 6, 1), seed=seed, weather=Weather(**CLEAR)
        )
        looks.append(next(look.strips(100)).reflectance)
    difference = looks[0] - looks[1]
    assert 0 < np.nanstd(difference) < 0.005


@pytest.mark.parametrize(
    "weather", [{"cloud": 1.5}, {"haze": -0.1}, {"sun_elevation_deg": 120.0}], ids=str
)
def test_weather_that_cannot_be_is_refused(weather):
    with pytest.raises(UsageError):
        Weather(**weather)


def test_a_tilt_that_leaves_no_swath_is_refused(land):
    grid = utm_grid(60.0, 41.5, 300, 20)
    look = SimulatedScene(
        land, grid, BANDS, start=datetime(2024, 6, 1), seed=1, weather=Weather(), tilt_deg=30.0
    )
    with pytest.raises(UsageError, match="tilted too far"):
        look.corners_px()
