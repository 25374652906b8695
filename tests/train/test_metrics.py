"""Scores."""

import numpy as np
import pytest

from deepsalt.train.metrics import (
    concordance,
    interval_scores,
    r2,
    scale_scores,
    scores,
    without_influential,
)

OBSERVED = np.array([0.05, 0.1, 0.2, 0.4, 3.0])


def test_a_perfect_prediction_scores_one():
    found = scores(OBSERVED, OBSERVED, np.array(list("abcde")))
    for name in ("r2_log1p", "r2_dsm", "ccc_log1p", "r2_log_ec_plus_0.03"):
        assert found[name] == pytest.approx(1.0)
    assert found["rmse_dsm"] == found["bias_dsm"] == 0.0


def test_a_prediction_of_the_mean_scores_zero():
    assert r2(OBSERVED, np.full(5, OBSERVED.mean())) == pytest.approx(0.0)
    assert concordance(OBSERVED, np.full(5, OBSERVED.mean())) == pytest.approx(0.0)


def test_a_shift_costs_concordance_but_not_correlation():
    assert concordance(OBSERVED, OBSERVED + 1.0) < 0.8
    assert scale_scores(OBSERVED, OBSERVED + 1.0, "dsm")["bias_dsm"] == pytest.approx(1.0)


def test_scores_without_variance_are_not_numbers():
    assert np.isnan(r2(np.ones(3), np.ones(3)))


def test_one_group_cannot_make_the_score_alone():
    rng = np.random.default_rng(0)
    observed = np.concatenate([rng.normal(0, 0.1, 50), [10, 11, 12, 13, 14]])
    predicted = np.concatenate([np.zeros(50), [10, 11, 12, 13, 14]])
    groups = np.array([f"g{i}" for i in range(55)])
    assert r2(observed, predicted) > 0.9
    assert without_influential(observed, predicted, groups) < 0.1


def test_intervals_are_counted_for_saline_soils_by_themselves():
    found = interval_scores(OBSERVED, np.zeros(5), np.full(5, 0.5))
    assert (found["coverage"], found["coverage_above_1_dsm"]) == (0.8, 0.0)
