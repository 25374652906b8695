from dataclasses import replace

import numpy as np
import pytest

from deepsalt.simulate.atmosphere import AtmosphereConfig, draw_sky, look_through
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix

NONE = AtmosphereConfig(
    vapour_error=0.0,
    oxygen_error=0.0,
    aerosol_slope=0.0,
    path_reflectance=0.0,
    gain=0.0,
    smooth=0.0,
    smile_nm=0.0,
    drift_nm=0.0,
)
BANDS = sensor_bands("prisma")
CENTERS = np.array(BANDS.centers_nm)
FLAT = np.full((5, GRID_NM.size), 0.3)
ACROSS = np.linspace(-1, 1, 5)


def seen(config, ground=FLAT, seed=0, grid=GRID_NM):
    sky = draw_sky(np.random.default_rng(seed), grid, config, "prisma")
    return look_through(sky, ground, ACROSS, grid_nm=grid, bands=BANDS)


def near(nm):
    return int(np.argmin(np.abs(CENTERS - nm)))


def deviation(config):
    """Mean relative deviation from the truth per band, over scenes."""
    return np.mean([np.abs(seen(config, seed=s) / 0.3 - 1).mean(axis=0) for s in range(20)], axis=0)


def test_a_perfect_correction_leaves_a_flat_ground_flat():
    assert seen(NONE) == pytest.approx(np.full((5, len(BANDS)), 0.3))


def test_an_error_in_vapour_shows_at_vapour_bands_only():
    off = deviation(replace(NONE, vapour_error=0.1))
    assert min(off[near(nm)] for nm in (940, 1130)) > 10 * max(
        off[near(nm)] for nm in (550, 1040, 1650, 2200)
    )


def test_an_error_in_oxygen_shows_at_760_nm():
    off = deviation(replace(NONE, oxygen_error=0.1))
    assert off[near(761)] > 10 * off[near(800)]


def test_aerosol_shows_in_the_blue():
    off = deviation(replace(NONE, aerosol_slope=0.03, path_reflectance=0.01))
    assert off[near(450)] > 3 * off[near(2200)]


def test_smile_moves_the_edges_of_the_swath_and_not_its_middle():
    spectrum = 0.3 + 0.1 * np.tanh((GRID_NM - 700.0) / 20.0)
    off = seen(replace(NONE, smile_nm=3.0), np.tile(spectrum, (5, 1)))
    still = seen(NONE, np.tile(spectrum, (5, 1)))
    change = np.abs(off - still)[:, near(700)]
    assert change[2] == pytest.approx(0.0, abs=1e-12)
    assert min(change[0], change[4]) > max(change[1], change[3]) > 1e-4


def test_smile_leaves_spikes_at_the_edges_of_gases_though_the_ground_is_flat():
    off = deviation(replace(NONE, smile_nm=3.0))
    assert off[near(752) : near(772)].max() > 20 * off[near(1650)]


def test_the_gain_of_a_scene_is_common_to_all_its_pixels():
    one, other = (seen(replace(NONE, gain=0.05), seed=s) for s in (1, 2))
    assert np.ptp(one) == pytest.approx(0.0, abs=1e-12)
    assert not np.allclose(one, other)


def test_a_band_that_the_grid_does_not_cover_stays_empty():
    grid = GRID_NM[(GRID_NM < 1350) | (GRID_NM > 1460)]
    holed = seen(AtmosphereConfig(), FLAT[:, : grid.size], grid=grid)
    empty = np.isnan(holed).all(axis=0)
    assert empty[near(1400)]
    assert not empty[near(1300)]
    inside = (CENTERS > 1360) & (CENTERS < 1450)
    assert empty[inside].all()


def test_a_shift_between_whole_nanometres_is_what_the_response_says():
    spectrum = 0.3 + 0.1 * np.sin(GRID_NM / 60.0)
    sky = draw_sky(np.random.default_rng(0), GRID_NM, NONE, "prisma")
    shifted = replace(sky, drift_nm=0.4, believed=np.ones_like(GRID_NM), true=np.ones_like(GRID_NM))
    moved = replace(BANDS, centers_nm=tuple(CENTERS + 0.4))
    found = look_through(shifted, spectrum[None], np.zeros(1), grid_nm=GRID_NM, bands=BANDS)
    assert found[0] == pytest.approx(response_matrix(GRID_NM, moved) @ spectrum, abs=1e-4)


@pytest.mark.parametrize(("sensor", "least"), [("prisma", 1.0), ("enmap", 0.0)])
def test_smile_and_drift_are_the_sensors_unless_given(sensor, least):
    assert AtmosphereConfig().smile(sensor)[0] > least
    assert AtmosphereConfig(smile_nm=0.7, drift_nm=0.1).smile(sensor) == (0.7, 0.1)
