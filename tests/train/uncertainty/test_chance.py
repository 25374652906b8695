"""Probabilities of salt: rising along the answer, calibrated, and honest about rare thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import THRESHOLDS_DS_M
from deepsalt.model.student import CHANCE_KNOTS
from deepsalt.train.uncertainty.chance import ISOTONIC_GROUPS, fit_chances
from deepsalt.train.uncertainty.intervals import MIN_GROUPS
from deepsalt.train.uncertainty.spread import residual_nodes

KNOTS = np.linspace(*CHANCE_KNOTS)


def held_out(seed: int, size: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return EC and unbiased answers with errors of this standard deviation."""
    rng = np.random.default_rng(seed)
    location = rng.normal(np.log(0.6), 1.0, size)
    return location, np.exp(location + noise * rng.normal(size=size)) - EC_SHIFT


def fitted(location: np.ndarray, ec: np.ndarray, groups: np.ndarray | None = None):
    ones = np.ones(ec.size)
    nodes = residual_nodes(np.log(ec + EC_SHIFT) - location, ones, ones)
    names = np.arange(ec.size).astype(str) if groups is None else groups
    return fit_chances(location, ones, nodes, ec, names)


@given(st.integers(0, 1000), st.integers(15, 200))
def test_a_probability_never_falls_as_the_answer_rises(seed: int, size: int) -> None:
    table, _ = fitted(*held_out(seed, size))
    assert (np.diff(table) >= 0).all()
    assert table[0] >= 0.0
    assert table[-1] <= 1.0


def test_probabilities_are_those_of_the_errors() -> None:
    table, _ = fitted(*held_out(0, 6000))
    location, ec = held_out(1, 6000)
    for threshold in THRESHOLDS_DS_M:
        chance = np.interp(location - np.log(threshold + EC_SHIFT), KNOTS, table)
        above = ec > threshold
        for low, high in ((0.02, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.95)):
            rows = (chance >= low) & (chance < high)
            assert above[rows].mean() == pytest.approx(chance[rows].mean(), abs=0.05)


def test_answers_that_are_too_low_are_moved_up() -> None:
    location, ec = held_out(0, 3000)
    shifted = np.log(ec + EC_SHIFT) - location
    ones, nodes = np.ones(3000), np.sort(shifted)[::200][:15]
    names = np.arange(3000).astype(str)
    right, _ = fit_chances(location, ones, nodes, ec, names)
    low, _ = fit_chances(location, ones, nodes - 0.7, ec, names)
    middle = KNOTS.size // 2
    assert low[middle] == pytest.approx(right[middle], abs=0.05)
    assert expit(-1.4) < low[middle]


@pytest.mark.parametrize("groups", [ISOTONIC_GROUPS - 1, ISOTONIC_GROUPS])
def test_a_free_curve_is_fitted_where_every_threshold_is_often_exceeded(groups: int) -> None:
    """Half of the answers that are high say nothing: no line of log-odds follows that."""
    rng = np.random.default_rng(0)
    location = np.r_[rng.uniform(-3.0, 0.0, 4000), rng.uniform(2.0, 6.0, groups * 2)]
    ec = np.where(location < 0.0, 0.2, 50.0)
    ec[4000::2] = 0.2
    table, known = fitted(location, ec)
    assert known[3].groups == groups
    high = table[np.searchsorted(KNOTS, 4.0)]
    free = abs(high - 0.5) < 0.02
    assert free == (groups >= ISOTONIC_GROUPS)


def test_a_large_profile_counts_once() -> None:
    location, ec = held_out(0, 400)
    groups = np.r_[np.arange(200), np.full(200, 999)].astype(str)
    ec[200:] = 50.0
    _, known = fitted(location, ec, groups)
    assert known[0].base_rate < 0.7
    assert known[3].groups == np.unique(groups[ec > 4.0]).size


@pytest.mark.parametrize(("count", "calibrated"), [(MIN_GROUPS - 1, "no"), (MIN_GROUPS, "yes")])
def test_a_threshold_that_few_profiles_exceed_is_not_calibrated(
    count: int, calibrated: str
) -> None:
    ec = np.r_[np.full(500, 0.1), np.full(count, 3.0)]
    _, known = fitted(np.log(ec + EC_SHIFT), ec)
    assert [each.calibrated for each in known] == [calibrated] * 3 + ["no"]
    assert [each.groups for each in known] == [count] * 3 + [0]


def test_an_alarm_is_right_half_the_time_or_not_given() -> None:
    location, ec = held_out(0, 3000)
    table, known = fitted(location, ec)
    for each in known[:3]:
        chance = np.interp(location - np.log(each.threshold + EC_SHIFT), KNOTS, table)
        assert each.alarm is not None
        assert (ec > each.threshold)[chance >= each.alarm].mean() >= 0.49
    _, blind = fitted(np.zeros(3000), ec)
    assert blind[3].alarm is None
