"""Encoders: one set of weights for low-noise and noisy spectra."""

import numpy as np
import pytest

from deepsalt.model.adaptation import Adaptation
from deepsalt.spectral.transform import BROAD_FEATURES
from deepsalt.train.teacher.encoder import Encoder, fit_encoder, fit_low_noise
from deepsalt.train.teacher.teacher import (
    LOW_NOISE_BELOW,
    fit_encoders,
    low_noise_rows,
    noise_differences,
)
from tests.train.tables import QUICK, library_views

VIEWS = library_views()
NOISY, LOW_NOISE = fit_encoders(VIEWS, QUICK)


def features(view):
    return VIEWS.features[VIEWS.view == view]


def test_noise_tells_a_laboratory_from_a_satellite():
    lab, noisy = NOISY(features("laboratory"))[1], NOISY(features("enmap with noise"))[1]
    assert (lab < LOW_NOISE_BELOW).mean() > 0.95
    assert (noisy > LOW_NOISE_BELOW).mean() > 0.95


def test_the_noise_of_a_satellite_is_about_one():
    assert NOISY(features("enmap with noise"))[1].mean() == pytest.approx(1.0, rel=0.3)


def test_bands_without_noise_are_quieter_than_with_it():
    assert np.median(NOISY(features("enmap"))[1]) < 0.5 * np.median(
        NOISY(features("enmap with noise"))[1]
    )


def test_a_noisier_spectrum_is_drawn_to_the_mean():
    row = features("laboratory")[:1]
    tail = NOISY.rows[NOISY.scale.size :]
    kept = NOISY.rows[: NOISY.scale.size]
    # A change that only the tail sees.
    change = np.linalg.lstsq(
        np.vstack([kept, tail]), np.r_[np.zeros(len(kept)), np.ones(len(tail))], rcond=None
    )[0]
    spectral = slice(0, -BROAD_FEATURES)
    lengths = [
        np.linalg.norm(NOISY(row + size * change)[0][0, spectral]) for size in (0.0, 3.0, 30.0, 1e3)
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 0.5 * lengths[0]


def test_components_with_much_signal_are_shrunk_less():
    encoder = Encoder(np.eye(3), np.zeros(3), np.array([0.1, 10.0]), np.ones(2))
    inputs, noise = encoder(np.array([[1.0, 1.0, 2.0]]))
    assert noise[0] == 4.0
    np.testing.assert_allclose(inputs[0], [1 / 1.4, 1 / 41.0])


def test_levels_are_not_shrunk():
    assert (NOISY.shrinkage[-BROAD_FEATURES:] == 0.0).all()
    assert (NOISY.shrinkage[:-BROAD_FEATURES] > 0.0).all()
    assert (np.diff(NOISY.shrinkage[:-BROAD_FEATURES]) >= 0.0).all()


def test_components_of_low_noise_spectra_have_mean_0_and_variance_1():
    components = features("laboratory") @ LOW_NOISE.rows.T + LOW_NOISE.offset
    np.testing.assert_allclose(components.mean(axis=0), 0.0, atol=1e-8)
    np.testing.assert_allclose(components[:, :-BROAD_FEATURES].var(axis=0, ddof=1), 1.0, rtol=1e-6)


def test_equal_data_give_equal_weights():
    again = fit_encoders(VIEWS, QUICK)[0]
    assert np.array_equal(again.rows, NOISY.rows)
    assert np.array_equal(again.shrinkage, NOISY.shrinkage)


def test_an_adaptation_folds_into_the_encoder():
    size = VIEWS.features.shape[1]
    rng = np.random.default_rng(0)
    matrix = np.eye(size) + rng.normal(0, 0.01, (size, size))
    adaptation = Adaptation("some", matrix, rng.normal(0, 0.01, size))
    rows = VIEWS.features[:9]
    for got, wanted in zip(
        LOW_NOISE.after(adaptation)(rows), LOW_NOISE(adaptation(rows)), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-8)


@pytest.mark.parametrize("rows", [4, 12])
def test_few_spectra_give_few_components(rows):
    clean = VIEWS.features[low_noise_rows(VIEWS)][:rows]
    encoder = fit_encoder(clean, noise_differences(VIEWS), 40, 10)
    assert encoder.scale.size == rows - 1 + BROAD_FEATURES
    assert np.isfinite(encoder(VIEWS.features)[0]).all()
    assert fit_low_noise(clean, 40, 10).scale.size <= rows - 1 + BROAD_FEATURES


def test_without_a_tail_every_spectrum_is_without_noise():
    assert (LOW_NOISE(VIEWS.features)[1] == 0.0).all()
