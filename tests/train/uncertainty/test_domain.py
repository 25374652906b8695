"""What counts as unlike the training spectra: never the salt that is looked for."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.simulate.optics import is_salt
from deepsalt.simulate.specimens import GRID_NM, gaussian, mineral_reflectance, specimens
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import front_end
from deepsalt.train.data.samples import features_of
from deepsalt.train.teacher.encoder import fit_low_noise
from deepsalt.train.teacher.teacher import fit_encoders
from deepsalt.train.uncertainty.domain import fit_domain, flatness, salt_crusts
from tests.train.tables import LAB, QUICK, laboratory_table, library_views, regions

VIEWS = library_views(count=8, sites=20)
ENCODER = fit_encoders(VIEWS, replace(QUICK, components=24))[0]
DOMAIN = fit_domain(ENCODER, VIEWS.features, np.ones(1), 24)
PAIRS = regions(4, 20, first=200)
SOILS = laboratory_table(PAIRS, PAIRS.ec).reflectance  # of other regions


def score(features, domain=DOMAIN, encoder=ENCODER):
    return domain.distance_of(encoder, features) / domain.max_t2


def of(reflectance):
    return features_of(reflectance, LAB)[0]


def salts(use):
    pure = [mineral for mineral in specimens(use) if is_salt(mineral.mineral)]
    spectra = np.array([mineral_reflectance(salt, GRID_NM) for salt in pure])
    return spectra @ response_matrix(GRID_NM, LAB).T


def like_a_coating(reflectance):
    """Soils behind absorptions that neither a soil nor a salt has there."""
    nm = np.array(LAB.centers_nm)
    dips = sum(gaussian(nm, center, 12.0) for center in (600.0, 1150.0, 1680.0))
    return reflectance * np.exp(-0.4 * dips)


@pytest.mark.parametrize("use", ["train", "demo"])
def test_pure_salts_are_not_flagged_those_that_training_never_saw_included(use):
    assert (score(of(salts(use))) > 1.0).mean() <= 0.1


def test_salt_crusts_are_not_flagged_wet_or_mixed_with_soil():
    assert (score(salt_crusts("train")) > 1.0).mean() <= 0.02


def test_few_equal_sites_do_not_push_salt_crusts_out():
    domain = fit_domain(ENCODER, VIEWS.features[:1].repeat(12, axis=0), np.ones(1), 24)
    assert (score(salt_crusts("train"), domain) > 1.0).mean() <= 0.1


def test_few_soils_of_other_regions_are_flagged():
    assert (score(of(SOILS)) > 1.0).mean() <= 0.02


def test_absorptions_that_no_soil_has_are_flagged():
    strange = score(of(like_a_coating(SOILS)))
    assert (strange > 1.0).mean() >= 0.9
    assert np.median(strange) > np.quantile(score(of(SOILS)), 0.99)


def test_noise_makes_a_spectrum_less_strange_where_it_could_be_the_reason():
    features = of(like_a_coating(SOILS))
    values = features @ ENCODER.rows.T + ENCODER.offset
    distance = [
        DOMAIN.distance(values, np.full(len(values), noise), flatness(features))
        for noise in (0.0, 1.0, 10.0)
    ]
    assert (distance[0] > distance[1]).all()
    assert (distance[1] > distance[2]).all()


def test_flaws_of_the_instrument_count_more_in_flat_spectra():
    values = of(SOILS) @ ENCODER.rows.T + ENCODER.offset
    none = np.zeros(len(values))
    flat, usual = (DOMAIN.distance(values, none, np.full(len(values), f)) for f in (1e3, 10.0))
    assert (flat < usual).all()


def test_flatness_is_the_square_of_mean_over_deviation():
    nm = np.array(LAB.centers_nm)
    spectra = 0.5 + np.array([[0.01], [0.1]]) * np.sin(nm / 200.0)
    weights = front_end(LAB).weights
    mean = spectra @ weights
    variance = (spectra - mean[:, None]) ** 2 @ weights
    np.testing.assert_allclose(flatness(of(spectra)), mean**2 / variance)


def test_an_adaptation_that_turns_the_components_hardly_changes_the_distance():
    low_noise = fit_low_noise(VIEWS.features[VIEWS.view == "laboratory"], 8)
    turned = np.eye(len(low_noise.rows))
    turned[:8, :8] = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    other = replace(low_noise, rows=turned @ low_noise.rows, offset=turned @ low_noise.offset)
    first, second = (
        score(of(SOILS), fit_domain(encoder, VIEWS.features, np.ones(1), 8), encoder)
        for encoder in (low_noise, other)
    )
    np.testing.assert_allclose(first, second, rtol=0.02)


def test_directions_have_unit_variance_among_the_training_at_most():
    clean = VIEWS.features[VIEWS.view == "laboratory"]
    scores = (clean @ ENCODER.rows.T + ENCODER.offset) @ DOMAIN.rows.T + DOMAIN.offset
    assert (scores.var(axis=0) <= 1.5).all()


def test_a_handful_of_spectra_gives_a_domain_with_them_inside():
    few = VIEWS.features[:12]
    domain = fit_domain(ENCODER, few, np.ones(1), 24)
    assert np.isfinite(domain.rows).all()
    assert (score(few, domain) <= 1.0).all()


def test_only_the_first_components_the_levels_and_the_tail_are_looked_at():
    domain = fit_domain(ENCODER, VIEWS.features, np.ones(1), 5)
    kept = ENCODER.scale.size
    assert domain.rows.shape == (5 + 2 + len(ENCODER.rows) - kept, len(ENCODER.rows))
    assert not domain.rows[:, 5 : kept - 2].any()


def test_the_limit_on_noise_follows_the_training_and_never_falls_below_a_satellites():
    size = len(VIEWS.features)
    limits = [
        fit_domain(ENCODER, VIEWS.features, np.full(size, v), 12).max_q
        for v in (0.1, 1.0, 50.0, 100.0)
    ]
    assert limits[0] == limits[1] > 1.0
    assert limits[3] == pytest.approx(2.0 * limits[2])
