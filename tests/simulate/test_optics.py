import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import UsageError
from deepsalt.simulate.optics import (
    MixingConfig,
    cross_sections,
    ec_from_salt,
    hapke_gamma,
    hapke_reflectance,
    mix_hapke,
    snr,
    water_absorption,
    wet,
)

COSINES = st.floats(0.2, 1.0)


@settings(max_examples=50)
@given(level=st.floats(0.001, 0.999), mu0=COSINES, mu=COSINES)
def test_the_hapke_inversion_is_exact(level, mu0, mu):
    assert hapke_reflectance(hapke_gamma(np.array(level), mu0, mu), mu0, mu) == pytest.approx(level)


@settings(max_examples=30)
@given(share=st.floats(0, 1), dark=st.floats(0.02, 0.4), bright=st.floats(0.5, 0.95))
def test_an_intimate_mixture_is_darker_than_an_areal_one(share, dark, bright):
    mixed = mix_hapke(np.array([[dark], [bright]]), np.array([[1 - share, share]]))[0, 0]
    assert dark - 1e-9 <= mixed <= (1 - share) * dark + share * bright + 1e-9


def test_common_and_own_spectra_mix_alike():
    spectra = np.random.default_rng(0).uniform(0.1, 0.9, (3, 5))
    shares = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    own = np.broadcast_to(spectra, (2, 3, 5))
    assert np.allclose(mix_hapke(spectra, shares), mix_hapke(own, shares))


def test_finer_grains_take_a_larger_share():
    shares = cross_sections(np.array([[0.5, 0.5]]), [2.0, 2.0], [100.0, 25.0])
    assert shares == pytest.approx(np.array([[0.2, 0.8]]))


@pytest.mark.parametrize(
    ("mineral", "crust", "expected_ds_m"),
    [
        # 5.12 g/kg in the soil = 12.8 g/L in the water = 16 dS/m at 800 mg/L
        ("halite", 0.0512, 16.0),
        # 1 g/kg = 2.5 g/L at 640 mg/L
        ("halite", 0.01, 2500 / 640),
        ("gypsum", 0.6, 2.4),
        ("bassanite", 0.6, 2.4),
        ("calcite", 0.6, 0.0),
        ("mirabilite", 0.0512 / 0.441, 16.0),
    ],
)
def test_conductivity_follows_the_mass_balance(mineral, crust, expected_ds_m):
    paste = MixingConfig(extract_water_l_kg=0.4)
    assert ec_from_salt([[crust]], [mineral], paste)[0] == pytest.approx(expected_ds_m)


def test_a_wider_extract_dilutes_the_same_salt():
    paste, extract = (MixingConfig(extract_water_l_kg=water) for water in (0.4, 2.0))
    assert ec_from_salt([[0.01]], ["halite"], extract) == pytest.approx(
        ec_from_salt([[0.01]], ["halite"], paste) / 5.0
    )


@settings(max_examples=50)
@given(salt=st.floats(0, 0.5), more=st.floats(1e-5, 0.1))
def test_more_salt_is_more_conductivity(salt, more):
    ec = ec_from_salt([[salt], [salt + more]], ["halite"])
    assert ec[1] > ec[0]


def test_conductivities_of_salts_and_gypsum_add_up():
    names = ["halite", "gypsum"]
    both = ec_from_salt([[0.05, 0.3], [0.05, 0.0], [0.0, 0.3]], names)
    assert both[0] == pytest.approx(both[1] + both[2])


def test_enrichment_divides_the_salt_of_the_crust():
    weak = ec_from_salt([[0.02]], ["halite"], MixingConfig(enrichment=100.0))
    assert weak == pytest.approx(ec_from_salt([[0.002]], ["halite"]))


def test_constants_without_a_meaning_are_refused():
    with pytest.raises(UsageError, match="enrichment"):
        MixingConfig(enrichment=0.5)


def test_a_water_film_darkens_and_absorbs_at_1940_nm():
    absorption = water_absorption(np.array([800.0, 1940.0]))
    dry = np.full((1, 2), 0.4)
    moist = wet(dry, np.array([[0.2]]), absorption)[0]
    assert moist[1] < 0.5 * moist[0] < 0.5 * 0.4
    assert wet(dry, np.array([[0.0]]), absorption) == pytest.approx(dry)


@pytest.mark.parametrize(("nm", "expected"), [(496, 425), (660, 490), (1650, 345), (2200, 195)])
def test_the_noise_is_that_of_the_sensor(nm, expected):
    assert snr([nm])[0] == expected
