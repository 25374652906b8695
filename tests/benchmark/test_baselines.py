"""Closed-form rows of the benchmark."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.benchmark import baselines
from deepsalt.benchmark.baselines import (
    BASELINES,
    FAMILIES,
    first_derivatives,
    indices,
    inner_folds,
    smeared,
)
from deepsalt.benchmark.indices import salinity_indices
from deepsalt.spectral.transform import SEGMENTS_NM, common_nm
from deepsalt.train.metrics import r2
from tests.train.soils import LAB, soil_samples, soil_table


@pytest.fixture(scope="module")
def fitted():
    training = soil_samples()
    return {name: fit(training) for name, fit in BASELINES.items()}


OTHERS = soil_samples(seed=1)


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_leaves_the_training_range(fitted, name):
    training = np.log1p(soil_samples().ec)
    strange = replace(OTHERS, features=8.0 * OTHERS.features, snv=8.0 * OTHERS.snv)
    said = fitted[name](strange)
    assert training.min() - 1e-9 <= said.min() <= said.max() <= training.max() + 1e-9


@pytest.mark.parametrize(
    "name", ["PLS-20, clipped", "PLS tuned, clipped", "extra-trees", "kernel ridge", "local"]
)
def test_spectral_baselines_find_a_dip_in_other_soils(fitted, name):
    assert r2(np.log1p(OTHERS.ec), fitted[name](OTHERS)) > 0.3


@pytest.mark.parametrize("name", BASELINES)
def test_a_spectrum_is_answered_whatever_else_is_asked(fitted, name):
    few = np.arange(5)
    assert fitted[name](OTHERS.take(few)) == pytest.approx(fitted[name](OTHERS)[few])


def test_four_families_choose_among_equally_many_candidates():
    pairs = (
        (baselines.KERNEL_COMPONENTS, baselines.KERNEL_RIDGES),
        (baselines.TREE_LEAVES, baselines.TREE_FEATURES),
        (baselines.NETWORK_COMPONENTS, baselines.NETWORK_DROPOUTS),
    )
    counts = {len(one) * len(other) for one, other in pairs}
    assert counts == {len(baselines.COMPONENTS)}


@pytest.fixture
def one_candidate(monkeypatch):
    for grid in ("TREE_LEAVES", "TREE_FEATURES", "NETWORK_COMPONENTS", "NETWORK_DROPOUTS"):
        monkeypatch.setattr(baselines, grid, getattr(baselines, grid)[1:2])
    monkeypatch.setattr(baselines, "MEMBERS", 2)


@pytest.mark.parametrize("name", ["trees", "networks"])
@pytest.mark.usefixtures("one_candidate")
def test_tuned_families_find_a_dip_in_other_soils(name):
    training = soil_samples()
    assert r2(np.log1p(OTHERS.ec), FAMILIES[name](training)(OTHERS)) > 0.2


@pytest.mark.parametrize("name", ["trees", "networks"])
@pytest.mark.usefixtures("one_candidate")
def test_tuned_families_repeat_themselves(name):
    few = soil_samples().take(np.arange(0, 120, 3))
    one, other = (FAMILIES[name](few)(OTHERS) for _ in "ab")
    assert np.array_equal(one, other)


def test_albedo_sees_brightness_only(fitted):
    features = np.zeros_like(OTHERS.features)
    features[:, -2:] = OTHERS.features[:, -2:]
    blind = replace(OTHERS, features=features, snv=0 * OTHERS.snv)
    assert np.array_equal(fitted["albedo"](blind), fitted["albedo"](OTHERS))


def test_derivatives_do_not_cross_windows():
    nm = common_nm()
    step = np.where(nm >= SEGMENTS_NM[1][0], 5.0, 0.0).astype(np.float32)
    lifted = replace(OTHERS, snv=OTHERS.snv + step)
    assert np.allclose(first_derivatives(lifted), first_derivatives(OTHERS), atol=1e-5)


def test_indices_are_those_of_the_reflectance():
    table = soil_table(seed=1)
    direct = salinity_indices(table.reflectance, LAB)
    restored = indices(OTHERS)
    known = np.isfinite(direct).all(axis=0)
    spread = direct[:, known].std(axis=0)
    assert restored.shape[1] >= known.sum()
    for column in direct[:, known].T[spread > 1e-3]:
        assert max(abs(np.corrcoef(column, other)[0, 1]) for other in restored.T) > 0.98


def test_tuning_never_splits_a_group():
    training = soil_samples()
    for train, test in inner_folds(training):
        assert not set(training.group[train]) & set(training.group[test])


def test_smearing_by_no_residual_changes_nothing():
    location = np.log(np.array([0.5, 2.0]) + 0.03)
    assert smeared(location, np.zeros(3)) == pytest.approx(np.log1p([0.5, 2.0]))
