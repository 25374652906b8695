"""Fits of adaptations on generated features: factors of soil, one of salt, and noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from deepsalt.errors import FormatError
from deepsalt.train.adaptation.alignment import align_features
from deepsalt.train.adaptation.fits import (
    direct_standardisation,
    epo,
    repeat_differences,
)
from deepsalt.train.adaptation.subspace import spreads

SIZE = 60
_FACTORS = np.random.default_rng(1).normal(size=(8, SIZE)) * np.linspace(1.5, 0.3, 8)[:, None]
_SALT = 0.6 * np.random.default_rng(2).normal(size=SIZE)


def soils(
    seed: int, rows: int, *, mean: float = 0.0, sd: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (rows, SIZE) and their log conductivity (rows,)."""
    rng = np.random.default_rng(seed)
    salt = rng.normal(mean, sd, rows)
    noise = rng.normal(scale=0.3, size=(rows, SIZE))
    return rng.normal(size=(rows, 8)) @ _FACTORS + np.outer(salt, _SALT) + noise, salt


def smeared(features: np.ndarray) -> np.ndarray:
    """What a sensor with broad bands sees: each feature takes most from its neighbours."""
    share = 0.4 * np.eye(SIZE) + 0.3 * (np.eye(SIZE, k=1) + np.eye(SIZE, k=-1))
    return features @ share.T


def error(model: Ridge, features: np.ndarray, salt: np.ndarray) -> float:
    return float(np.sqrt(np.mean((model.predict(features) - salt) ** 2)))


LAB, LAB_SALT = soils(0, 600)
MODEL = Ridge(alpha=1.0).fit(LAB, LAB_SALT)
PAIRED = soils(5, 80)[0]


# Every adaptation does something


@pytest.mark.parametrize(
    "fit",
    [
        lambda: epo(smeared(PAIRED) - PAIRED, 5),
        lambda: direct_standardisation(smeared(PAIRED), PAIRED),
        lambda: align_features(LAB, smeared(soils(6, 120)[0])),
    ],
    ids=["epo", "ds", "align"],
)
def test_switching_an_adaptation_off_changes_predictions(fit):
    held_out = smeared(soils(7, 50)[0])
    with_it, without = MODEL.predict(fit()(held_out)), MODEL.predict(held_out)
    assert np.abs(with_it - without).max() > 0.05


def test_the_same_seed_gives_the_same_bits():
    first, second = (align_features(LAB, smeared(PAIRED), seed=3) for _ in "ab")
    assert np.array_equal(first.matrix, second.matrix)
    assert np.array_equal(first.shift, second.shift)


BROKEN = np.where(np.arange(40)[:, None] == 7, np.nan, soils(3, 40)[0])


@pytest.mark.parametrize(
    "fit",
    [
        lambda: epo(BROKEN, 1),
        lambda: repeat_differences(BROKEN, ["a"] * 40),
        lambda: direct_standardisation(BROKEN, LAB[:40]),
        lambda: direct_standardisation(LAB[:40], BROKEN),
        lambda: align_features(LAB, BROKEN),
        lambda: align_features(BROKEN, LAB),
    ],
    ids=["epo", "repeats", "ds", "ds lab", "align", "align lab"],
)
def test_missing_values_are_refused_with_their_row(fit):
    with pytest.raises(FormatError, match="row 7"):
        fit()


@pytest.mark.parametrize(
    ("fit", "match"),
    [
        (lambda: epo(PAIRED, 61), "rank 61"),
        (lambda: epo(PAIRED, -1), "rank -1"),
        (lambda: repeat_differences(PAIRED, ["a"]), "one name per spectrum"),
        (lambda: direct_standardisation(PAIRED, PAIRED[:5]), "one row of each"),
        (lambda: direct_standardisation(PAIRED, PAIRED, ridge=0.0), "above 0"),
        (lambda: direct_standardisation(PAIRED[0], PAIRED[0]), "two-dimensional"),
        (lambda: align_features(LAB, PAIRED[:29]), "needs 30"),
        (lambda: align_features(LAB, PAIRED[:, :50]), "differ"),
        (lambda: align_features(LAB, PAIRED, groups=np.array(["a"])), "one group per"),
    ],
)
def test_what_cannot_be_fitted_is_refused(fit, match):
    with pytest.raises(FormatError, match=match):
        fit()


# EPO


def nuisance(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return differences along two directions (rows, SIZE), and these directions (2, SIZE)."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(SIZE, 2)))[0].T
    return rng.normal(size=(rows, 2)) * [5.0, 3.0] @ directions, directions


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_epo_removes_nuisance_and_keeps_what_is_orthogonal_to_it(seed):
    differences, directions = nuisance(seed, 30)
    removed = epo(differences, 2)
    np.testing.assert_allclose(removed(differences), 0.0, atol=1e-9)
    kept = PAIRED - PAIRED @ directions.T @ directions
    np.testing.assert_allclose(removed(kept), kept, atol=1e-9)


@given(st.integers(0, 1000), st.integers(0, 10))
@settings(max_examples=20)
def test_epo_done_twice_is_epo_done_once(seed, rank):
    once = epo(soils(seed, 20)[0], rank, spreads(LAB))
    np.testing.assert_allclose(once.then(once).matrix, once.matrix, atol=1e-9)


def test_epo_of_rank_zero_changes_no_bit():
    assert np.array_equal(epo(PAIRED, 0)(LAB), LAB)


def test_epo_with_spreads_does_not_depend_on_the_units_of_features():
    units = np.geomspace(0.01, 100.0, SIZE)
    differences = smeared(PAIRED) - PAIRED
    plain = epo(differences, 3, spreads(LAB))(LAB)
    np.testing.assert_allclose(
        epo(differences * units, 3, spreads(LAB) * units)(LAB * units), plain * units, atol=1e-8
    )


def test_repeats_of_a_site_leave_only_what_differs_between_scenes():
    sites = np.repeat(PAIRED[:5], 3, axis=0)
    offsets = np.tile([[-1.0], [0.0], [1.0]], (5, 1)) * np.ones(SIZE)
    names = np.repeat(list("abcde"), 3)
    alone = np.vstack([sites + offsets, PAIRED[10:11]])
    found = repeat_differences(alone, [*names, "once"])
    np.testing.assert_allclose(found, offsets, atol=1e-12)


# Direct standardisation


def test_direct_standardisation_brings_pairs_closer_that_it_did_not_see():
    held_out = soils(8, 200)[0]
    found = direct_standardisation(smeared(PAIRED), PAIRED)
    before = np.square(smeared(held_out) - held_out).mean()
    assert np.square(found(smeared(held_out)) - held_out).mean() < 0.5 * before


def test_direct_standardisation_lets_the_laboratory_model_answer_better():
    held_out, salt = soils(8, 200)
    found = direct_standardisation(smeared(PAIRED), PAIRED)
    adapted = error(MODEL, found(smeared(held_out)), salt)
    assert adapted < 0.7 * error(MODEL, smeared(held_out), salt)


def test_without_pairs_direct_standardisation_is_the_identity():
    found = direct_standardisation(np.empty((0, SIZE)), np.empty((0, SIZE)))
    assert np.array_equal(found(LAB), LAB)


def test_equal_pairs_teach_nothing():
    found = direct_standardisation(PAIRED, PAIRED)
    np.testing.assert_allclose(found(LAB), LAB, atol=1e-12)


def test_a_strong_ridge_is_the_identity():
    found = direct_standardisation(smeared(PAIRED), PAIRED, ridge=1e9)
    np.testing.assert_allclose(found(LAB), LAB, atol=1e-4)


# Alignment without pairs


def coral(satellite: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return features after the covariances were made equal (Sun et al. 2016)."""

    def root(of: np.ndarray, power: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(np.cov(of.T) + 0.01 * np.eye(SIZE))
        return (vectors * values**power) @ vectors.T

    whitened = (features - satellite.mean(axis=0)) @ root(satellite, -0.5)
    return whitened @ root(LAB, 0.5) + LAB.mean(axis=0)


@pytest.mark.parametrize("saltier", [False, True], ids=["same salt", "saltier satellite sites"])
def test_alignment_lets_the_laboratory_model_answer_better_on_distorted_features(saltier):
    salt = {"mean": 1.0, "sd": 2.0} if saltier else {}
    unlabelled, (held_out, known) = soils(6, 120, **salt)[0], soils(8, 500, **salt)
    found = align_features(LAB, smeared(unlabelled))
    adapted = error(MODEL, found(smeared(held_out)), known)
    assert adapted < 0.95 * error(MODEL, smeared(held_out), known)


@pytest.mark.parametrize("seed", range(10, 15))
def test_alignment_without_a_shift_costs_next_to_nothing(seed):
    """Tolerance: 0.03, where log conductivity varies by 1 and the model errs by 0.07."""
    held_out, known = soils(8, 500)
    adapted = error(MODEL, align_features(LAB, soils(seed, 120)[0])(held_out), known)
    assert adapted < error(MODEL, held_out, known) + 0.03


@pytest.mark.parametrize("seed", range(10, 15))
def test_alignment_leaves_saltier_sites_salty_where_equal_covariances_do_not(seed):
    """Tolerance: 0.15, where log conductivity varies by 2; CORAL errs by more than 1."""
    unlabelled = soils(seed, 120, mean=1.0, sd=2.0)[0]
    held_out, known = soils(8, 500, mean=1.0, sd=2.0)
    plain = error(MODEL, held_out, known)
    assert error(MODEL, align_features(LAB, unlabelled)(held_out), known) < plain + 0.15
    assert error(MODEL, coral(unlabelled, held_out), known) > plain + 1.0


def test_what_the_draws_of_whole_groups_explain_is_not_learned():
    rng = np.random.default_rng(4)
    profiles = np.repeat(np.arange(60), 10)
    laboratory = soils(0, 60)[0][profiles] + rng.normal(scale=0.1, size=(600, SIZE))
    few = laboratory[:120]
    assert align_features(laboratory, few).name == "align"
    assert align_features(laboratory, few, groups=profiles.astype(str)).name == "identity"
