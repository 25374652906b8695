"""Nodes and widths of held-out residuals."""

import numpy as np
import pytest

from deepsalt.train.uncertainty.spread import NODES, expected_log1p, residual_nodes

RNG = np.random.default_rng(0)


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
