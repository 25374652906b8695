"""Scores that only the benchmark tells."""

import numpy as np
import pytest

from deepsalt.benchmark.metrics import (
    bootstrap_r2,
    class_scores,
    constant_interval,
    line_scores,
    saline_recall,
    within_groups,
)
from deepsalt.train.metrics import winkler

RNG = np.random.default_rng(0)
SEEN = RNG.normal(size=200)
SAID = 0.5 * SEEN + 0.1 * RNG.normal(size=200)
GROUPS = np.repeat([f"g{i}" for i in range(20)], 10)


def test_a_method_has_no_lead_over_itself():
    lead = bootstrap_r2(SEEN, SAID, GROUPS, rival=SAID, draws=50)
    assert (lead.value, lead.low, lead.high) == (0.0, 0.0, 0.0)


def test_the_bootstrap_brackets_the_score():
    found = bootstrap_r2(SEEN, SAID, GROUPS, draws=200)
    assert found.low < found.value < found.high


def test_fewer_groups_give_a_wider_bootstrap_interval():
    one = np.repeat([f"g{i}" for i in range(4)], 50)
    shifted = SAID + 0.5 * np.repeat([0, 1, -1, 0], 50)
    wide, narrow = (bootstrap_r2(SEEN, shifted, g, draws=400) for g in (one, np.arange(200)))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_slope_and_spread_of_halved_predictions_are_a_half():
    found = line_scores(SEEN, 0.5 * SEEN, "log1p")
    assert found["slope_log1p"] == pytest.approx(0.5)
    assert found["spread_log1p"] == pytest.approx(0.5)


def test_group_means_alone_score_nothing_within_groups():
    means = np.repeat(SEEN.reshape(20, 10).mean(axis=1), 10)
    assert within_groups(SEEN, means, GROUPS) == pytest.approx(0.0)


def test_recall_counts_saline_soils_only():
    assert saline_recall(np.array([0.1, 3.0, 5.0]), np.array([9.0, 2.5, 1.0])) == 0.5
    assert np.isnan(saline_recall(np.array([0.1]), np.array([0.1])))


def test_classes_hold_every_soil_once():
    observed = np.array([0.0, 0.5, 1.9, 3.0, 9.0])
    found = class_scores(observed, observed)
    assert sum(entry["n"] for entry in found.values()) == 5
    assert all(entry["rmse_log1p"] == 0.0 for entry in found.values())


def test_the_interval_score_charges_misses_twentyfold():
    ones = np.ones(1)
    assert winkler(ones, 0 * ones, 2 * ones) == 2.0
    assert winkler(ones, 2 * ones, 4 * ones) == pytest.approx(2.0 + 20.0)


def test_a_constant_interval_holds_nine_tenths():
    low, high = constant_interval(SEEN)
    assert 0.88 <= ((low <= SEEN) & (high >= SEEN)).mean() <= 0.95
