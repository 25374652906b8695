from dataclasses import replace

import numpy as np
import pytest

from deepsalt.errors import UsageError
from deepsalt.simulate.config import SimulationConfig
from deepsalt.simulate.lines import mixing_lines
from deepsalt.spectral.bands import sensor_bands
from tests.shared import shared_data

BANDS = sensor_bands("enmap")
CENTERS = np.array(BANDS.centers_nm)
KINDS = ["salt", "gypsum", "cover"]


def lines(kind, count=12, steps=6, seed=0, **options):
    return mixing_lines(kind, count, steps, bands=BANDS, seed=seed, **options)


def near(nm):
    return int(np.argmin(np.abs(CENTERS - nm)))


@pytest.mark.parametrize("kind", KINDS)
def test_amounts_grow_from_nothing_along_every_line(kind):
    reflectance, amount = lines(kind)
    assert reflectance.shape == (12, 6, len(BANDS))
    assert amount.shape == (12, 6)
    assert (amount[:, 0] == 0).all()
    assert (np.diff(amount) > 0).all()
    assert np.isfinite(reflectance).all()


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_seeded(kind):
    assert np.array_equal(lines(kind)[0], lines(kind)[0])
    assert not np.array_equal(lines(kind)[0], lines(kind, seed=1)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_spectra_change_without_noise_along_a_line(kind):
    """Every step goes on in the direction of the one before, at 1250 nm where none absorbs much."""
    level = lines(kind)[0][:, :, near(1250)]
    steps = np.sign(np.diff(level))
    assert (steps == steps[:, :1]).all()


def depth(reflectance, low, center, high):
    shoulder = 0.5 * (reflectance[..., near(low)] + reflectance[..., near(high)])
    return 1 - reflectance[..., near(center)] / shoulder


def test_gypsum_lines_deepen_the_gypsum_band_and_salt_lines_do_not():
    gypsum, salt = (depth(lines(kind)[0], 1690, 1750, 1760) for kind in ("gypsum", "salt"))
    assert (gypsum[:, -1] > gypsum[:, 0]).all()
    assert np.median(gypsum[:, -1] - gypsum[:, 0]) > 2 * np.median(salt[:, -1] - salt[:, 0])


def test_cover_lines_raise_the_red_edge():
    reflectance = lines("cover")[0]
    red, infrared = reflectance[..., near(660)], reflectance[..., near(800)]
    ndvi = (infrared - red) / (infrared + red)
    assert (np.diff(ndvi) > 0).all()


def test_salts_differ_from_line_to_line():
    reflectance = lines("salt", count=30)[0]
    pure = depth(reflectance[:, -1], 1900, 1970, 2150)
    assert np.ptp(pure) > 0.1


def test_lines_take_specimens_from_a_folder():
    config = SimulationConfig(specimens=shared_data("usgs-splib07-av95"))
    assert not np.array_equal(lines("gypsum", config=config)[0], lines("gypsum")[0])


@pytest.mark.parametrize(
    ("kind", "count", "steps"), [("sand", 1, 2), ("salt", 0, 2), ("salt", 1, 1)]
)
def test_lines_that_cannot_be_are_refused(kind, count, steps):
    with pytest.raises(UsageError, match="mixing lines"):
        lines(kind, count, steps)


def test_plants_keep_to_the_limit_of_the_configuration():
    config = SimulationConfig()
    config = replace(config, mixing=replace(config.mixing, max_green=0.1))
    assert lines("cover", config=config)[1].max() <= 0.1
