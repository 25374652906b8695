"""What counts as unlike the training spectra: never the salt that is looked for."""

import numpy as np
import pytest

from deepsalt.simulate.optics import is_salt
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance, specimens
from deepsalt.spectral.srf import response_matrix
from deepsalt.train.domain import fit_domain
from deepsalt.train.samples import features_of
from tests.train.tables import LAB, library_views

VIEWS = library_views(count=8, sites=20)
CLEAN = VIEWS.features[VIEWS.view == "laboratory"]
DOMAIN = fit_domain(CLEAN, np.full(len(CLEAN), 0.5), 14)


def distance(features):
    scores = features @ DOMAIN.rows.T + DOMAIN.offset
    return (scores**2).sum(axis=1) - ((scores @ DOMAIN.directions.T) ** 2).sum(axis=1)


def flagged(reflectance):
    return (distance(features_of(reflectance, LAB)[0]) > DOMAIN.max_t2).mean()


def salts(use):
    pure = [mineral for mineral in specimens(use) if is_salt(mineral.mineral)]
    spectra = np.array([mineral_reflectance(salt, GRID_NM) for salt in pure])
    return spectra @ response_matrix(GRID_NM, LAB).T


@pytest.mark.parametrize("use", ["train", "demo"])
def test_pure_salts_are_not_flagged_those_of_the_demo_included(use):
    assert flagged(salts(use)) <= 0.1


def test_what_lies_along_salts_is_no_reason_to_doubt_and_what_lies_across_is():
    # Ten standard deviations from the soils, in directions of the standardised components.
    across = np.linalg.svd(DOMAIN.directions)[2][len(DOMAIN.directions) :]
    back = np.linalg.pinv(DOMAIN.rows)
    centre = -back @ DOMAIN.offset
    along, beside = (
        distance(centre + 10.0 * part @ back.T) for part in (DOMAIN.directions, across)
    )
    np.testing.assert_allclose(along, 0.0, atol=1e-6)
    assert (beside > DOMAIN.max_t2).all()


def test_few_of_the_training_spectra_are_flagged():
    assert 0.0 < (distance(CLEAN) > DOMAIN.max_t2).mean() <= 0.02


def test_salt_directions_are_orthonormal():
    gram = DOMAIN.directions @ DOMAIN.directions.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-10)


def test_removing_salt_directions_never_adds_distance():
    whole = ((CLEAN @ DOMAIN.rows.T + DOMAIN.offset) ** 2).sum(axis=1)
    assert (distance(CLEAN) <= whole + 1e-9).all()
    assert (distance(CLEAN) >= -1e-9).all()


def test_the_limit_on_noise_follows_the_training_and_never_falls_below_a_satellites():
    limits = [fit_domain(CLEAN, np.full(len(CLEAN), v), 12).max_q for v in (0.1, 1.0, 4.0)]
    assert limits[0] == limits[1] > 1.0
    assert limits[2] == pytest.approx(4.0 * limits[1])
