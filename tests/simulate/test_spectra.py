import numpy as np
import pytest

from deepsalt.simulate.cover import cloud, dry_vegetation, green_vegetation, open_water
from deepsalt.simulate.optics import MixingConfig
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.simulate.spectra import draw_mixtures, draw_soils
from deepsalt.spectral.bands import sensor_bands


def draw(seed=0, n=300, sensor="enmap", use="train", **config):
    return draw_mixtures(
        np.random.default_rng(seed),
        n,
        bands=sensor_bands(sensor),
        use=use,
        config=MixingConfig(**config),
    )


def at(spectra, nm):
    return spectra[:, np.argmin(np.abs(GRID_NM - nm))]


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "lab"])
def test_mixtures_are_complete_in_every_band(sensor):
    mixtures = draw(sensor=sensor)
    assert mixtures.reflectance.shape == (300, len(sensor_bands(sensor)))
    assert np.isfinite(mixtures.reflectance).all()
    assert np.isfinite(mixtures.ec).all()
    assert {a.dtype for a in (mixtures.reflectance, mixtures.ec, *mixtures.cover)} == {
        np.dtype("float32")
    }


def test_the_same_seed_draws_the_same_mixtures():
    first, again, other = draw(1), draw(1), draw(2)
    assert np.array_equal(first.reflectance, again.reflectance)
    assert not np.array_equal(first.ec, other.ec)


def test_conductivities_span_all_classes():
    ec = draw(n=2000).ec
    # The classes' breaks are of saturated pastes; a 1:2 extract holds five times the water.
    shares = np.histogram(ec, np.array([0, 2, 4, 8, 16, 5000]) / 5.0)[0] / ec.size
    assert (shares > 0.05).all()
    assert ec.min() > 0


def test_salt_without_gypsum_decides_the_conductivity():
    mixtures = draw(n=2000)
    soluble = mixtures.cover.salt - mixtures.cover.gypsum
    salted = soluble > 0.005  # below, the background of the soil decides
    assert salted.mean() > 0.4
    assert np.corrcoef(np.log(soluble[salted]), np.log(mixtures.ec[salted]))[0, 1] > 0.9


def test_plants_keep_to_their_limits():
    cover = draw(n=1000, max_green=0.1, max_dry=0.0).cover
    assert 0.0 < cover.green.max() <= 0.1
    assert cover.dry.max() == 0.0


def test_noise_can_be_switched_off():
    clean, noisy = draw(n=50, noise=0.0).reflectance, draw(n=50).reflectance
    rough = [np.abs(np.diff(r[:, 10:60], n=2, axis=1)).mean() for r in (clean, noisy)]
    assert rough[0] < 0.6 * rough[1]


def test_soils_redden_and_lie_between_dark_and_bright():
    soils = draw_soils(np.random.default_rng(0), 500, "demo")
    assert 0.15 < at(soils, 1650).mean() < 0.6
    assert (at(soils, 650) > at(soils, 450)).all()


def test_green_plants_have_a_red_edge_and_straw_has_cellulose():
    rng = np.random.default_rng(0)
    green, dry = green_vegetation(rng, 20, GRID_NM), dry_vegetation(rng, 20, GRID_NM)
    red, infrared = at(green, 660), at(green, 800)
    assert ((infrared - red) / (infrared + red) > 0.6).all()
    shoulder = 0.5 * (at(dry, 2000) + at(dry, 2200))
    assert ((shoulder - at(dry, 2100)) / (shoulder + at(dry, 2100)) > 0.03).all()


def test_water_is_black_in_the_infrared_and_clouds_are_white():
    water = open_water(np.random.default_rng(0), 20, GRID_NM)
    assert (at(water, 1650) < 0.02).all()
    assert (cloud(GRID_NM)[GRID_NM < 1300] > 0.6).all()
