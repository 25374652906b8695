"""Nodes, widths and conformal factors of held-out residuals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.train.uncertainty.spread import (
    FEW_ABOVE,
    MISSES,
    NODES,
    conformal_factor,
    expected_log1p,
    interval_factors,
    residual_nodes,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("outside", [0.1, 0.05, 0.03])
def test_conformal_factors_leave_the_share_asked_for(outside):
    misses = np.random.default_rng(0).exponential(size=4000)
    factor = conformal_factor(misses, np.ones(4000), outside)
    assert (misses <= factor).mean() == pytest.approx(1.0 - outside, abs=0.002)


@given(st.integers(0, 10_000), st.integers(20, 60))
def test_conformal_factors_hold_for_a_new_sample(seed, size):
    draws = np.random.default_rng(seed).normal(size=(200, size + 1))
    factors = np.array([conformal_factor(row[:-1], np.ones(size), 0.1) for row in draws])
    assert (draws[:, -1] <= np.maximum(factors, 0.0)).mean() > 0.9 - 4 * np.sqrt(0.09 / 200)


def test_samples_of_no_weight_do_not_count():
    misses = np.r_[np.linspace(0, 1, 100), np.full(50, 99.0)]
    weights = np.r_[np.ones(100), np.zeros(50)]
    assert conformal_factor(misses, weights, 0.1) < 1.0


def test_too_few_samples_give_the_largest_miss():
    assert conformal_factor(np.array([1.0, 3.0, 2.0]), np.ones(3), 0.01) == 3.0


def test_a_factor_is_never_negative():
    assert conformal_factor(np.full(40, -1.0), np.ones(40), 0.1) == 0.0


@pytest.mark.parametrize("share", [FEW_ABOVE, MISSES / 2.0])
def test_skewed_residuals_get_a_longer_end_above(share):
    residual = RNG.exponential(size=4000) - 1.0
    below, above = interval_factors(residual, np.ones(4000), np.ones(4000), share)
    assert above > below
    inside = (residual >= -below) & (residual <= above)
    assert inside.mean() == pytest.approx(INTERVAL_COVERAGE, abs=0.01)
    assert (residual > above).mean() == pytest.approx(share, abs=0.005)


def test_nodes_keep_the_mean_and_order_of_the_residuals():
    residual, width = RNG.normal(0.3, 2.0, 960), np.full(960, 2.0)
    nodes = residual_nodes(residual, width, np.ones(960))
    assert nodes.shape == (NODES,)
    assert (np.diff(nodes) > 0).all()
    assert nodes.mean() == pytest.approx((residual / width).mean(), abs=1e-9)


def test_fewer_residuals_than_nodes_leave_no_gap():
    nodes = residual_nodes(np.array([-1.0, 0.0, 2.0]), np.ones(3), np.ones(3))
    assert np.isfinite(nodes).all()
    assert (np.diff(nodes) >= 0).all()


def test_the_expectation_of_log1p_is_smeared_upwards():
    rng, ones = np.random.default_rng(1), np.ones(24_000)
    nodes = residual_nodes(rng.uniform(-1.7, 1.7, 24_000), ones, ones)
    location = np.array([np.log(0.53)])
    narrow, wide = (expected_log1p(location, np.array([w]), nodes, 30.0)[0] for w in (1e-6, 1.0))
    assert narrow == pytest.approx(np.log1p(0.5), abs=1e-4)
    draws = np.exp(location + rng.uniform(-1.7, 1.7, 200_000)) - 0.03
    assert wide == pytest.approx(np.log1p(np.clip(draws, 0, 30)).mean(), rel=0.01)
    assert wide > 1.1 * narrow


def test_the_expectation_stays_within_what_was_seen():
    answer = expected_log1p(np.array([-50.0, 50.0]), np.ones(2), np.linspace(-2, 2, 9), 30.0)
    np.testing.assert_allclose(answer, [0.0, np.log1p(30.0)], atol=1e-12)
