"""Built surfaces are told from soils and salts, also at sites that the fit never saw."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.simulate.surfaces import BARE, BUILT, BURNT, PLAYA, SALT
from deepsalt.train.teacher.teacher import fit_encoders
from deepsalt.train.uncertainty.contrast import FORMS, fit_contrast, known_spectra
from tests.train.tables import QUICK, library_views

VIEWS = library_views(count=8, sites=20)
ENCODER = fit_encoders(VIEWS, replace(QUICK, components=24))[0]
KNOWN = known_spectra()
INPUTS = ENCODER(KNOWN.features)[0]
CONTRAST = fit_contrast(ENCODER, VIEWS.features)


def flagged(contrast, kind, view="laboratory"):
    return (contrast(INPUTS[(KNOWN.kind == kind) & (KNOWN.view == view)]) > 1.0).mean()


@pytest.mark.parametrize("view", ["laboratory", "enmap with noise"])
def test_most_built_surfaces_that_it_learned_from_are_found(view):
    assert flagged(CONTRAST, BUILT, view) >= 0.8


@pytest.mark.parametrize("kind", [BARE, SALT, PLAYA])
def test_hardly_any_bare_ground_salt_or_playa_is_taken_for_built(kind):
    assert flagged(CONTRAST, kind) <= 0.05


def test_the_training_s_own_soils_are_not_taken_for_built():
    assert (CONTRAST(ENCODER(VIEWS.features)[0]) > 1.0).mean() <= 0.02


def test_soils_that_look_like_built_surfaces_raise_the_limit():
    built = KNOWN.features[(KNOWN.kind == BUILT) & (KNOWN.view == "laboratory")]
    grey = np.concatenate([VIEWS.features, built])
    contrast = fit_contrast(ENCODER, grey)
    assert (contrast(ENCODER(grey)[0]) > 1.0).mean() <= 0.03


def test_a_contrast_does_not_learn_from_a_site_that_is_left_out():
    site = KNOWN.site[KNOWN.kind == BUILT][0]
    other = fit_contrast(ENCODER, VIEWS.features, frozenset([(BUILT, str(site))]))
    assert np.abs(other.rows - CONTRAST.rows).max() > 1e-6


def test_leaving_out_a_site_that_is_not_known_changes_nothing_of_a_contrast():
    same = fit_contrast(ENCODER, VIEWS.features, frozenset([(BUILT, "nowhere")]))
    np.testing.assert_array_equal(same.rows, CONTRAST.rows)


def test_burnt_ground_is_no_example_of_anything():
    burnt = frozenset((BURNT, str(site)) for site in KNOWN.site[KNOWN.kind == BURNT])
    np.testing.assert_array_equal(fit_contrast(ENCODER, VIEWS.features, burnt).rows, CONTRAST.rows)


def test_a_contrast_has_a_fixed_number_of_squares_on_the_students_inputs():
    assert CONTRAST.rows.shape == (FORMS, ENCODER.scale.size)
    assert CONTRAST.offset.shape == CONTRAST.weights.shape == (FORMS,)


def test_a_handful_of_equal_spectra_gives_a_finite_contrast():
    contrast = fit_contrast(ENCODER, VIEWS.features[:1].repeat(12, axis=0))
    assert np.isfinite(contrast.rows).all()
    assert np.isfinite(contrast.weights).all()
