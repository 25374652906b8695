"""Intervals by class of EC: what they hold, when classes merge, and what opens."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.student import STEEPNESS, hull
from deepsalt.train.uncertainty.intervals import MIN_GROUPS, OPEN, EcClass, fit_classes


def soils(seed: int, size: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return EC of which a tenth is above 1 dS/m, and answers that hide most of it."""
    rng = np.random.default_rng(seed)
    log_ec = rng.normal(np.log(0.25), spread, size)
    return np.exp(log_ec), 0.3 * log_ec - 1.2 + 0.2 * rng.normal(size=size)


def ends_of(
    classes: tuple[EcClass, ...], answer: np.ndarray, width: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of answers as the student gives it, on log(EC + 0.03)."""
    location = torch.from_numpy(answer)
    rows = torch.tensor([each.row() for each in classes], dtype=torch.float64)
    low, high = hull(location, torch.full_like(location, width), rows)
    return low.numpy(), high.numpy()


def names(size: int, of: int = 1) -> np.ndarray:
    return np.array([f"profile {number // of}" for number in range(size)])


@given(st.integers(0, 10_000))
def test_rare_saline_soils_are_held_as_well(seed: int) -> None:
    ec, answer = soils(seed, 1500)
    residual = np.log(ec + EC_SHIFT) - answer
    classes = fit_classes(residual, np.ones(1500), ec, names(1500))
    fresh, said = soils(seed + 1, 4000)
    low, high = ends_of(classes, said)
    inside = (np.log(fresh + EC_SHIFT) >= low) & (np.log(fresh + EC_SHIFT) <= high)
    # Of the calibration's hundred or so saline soils and the test's, four standard errors.
    assert inside[fresh > 1.0].mean() > INTERVAL_COVERAGE - 0.14
    assert inside.mean() > INTERVAL_COVERAGE - 0.04


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_ends_do_not_jump_where_a_class_is_just_excluded(seed: int, width: float) -> None:
    ec, answer = soils(seed, 300)
    classes = fit_classes(np.log(ec + EC_SHIFT) - answer, np.ones(300), ec, names(300))
    step = 1e-3
    for ends in ends_of(classes, np.arange(-6.0, 6.0, step), width):
        assert np.abs(np.diff(ends[np.isfinite(ends)])).max() < 1.01 * (1.0 + STEEPNESS) * step


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_the_interval_holds_every_ec_that_its_class_does_not_exclude(
    seed: int, width: float
) -> None:
    ec, answer = soils(seed, 300)
    classes = fit_classes(np.log(ec + EC_SHIFT) - answer, np.ones(300), ec, names(300))
    low, high = ends_of(classes, answer, width)
    for each in classes:
        first = np.maximum(each.lowest, answer - each.below * width)
        last = np.minimum(each.highest, answer + each.above * width)
        held = first <= last
        assert (low[held] <= first[held]).all()
        assert (high[held] >= last[held]).all()


def test_one_interval_for_all_soils_would_miss_the_saline_ones() -> None:
    ec, answer = soils(0, 4000)
    residual = np.log(ec + EC_SHIFT) - answer
    low, high = np.quantile(residual, [0.05, 0.95])
    inside = (residual >= low) & (residual <= high)
    assert inside[ec > 1.0].mean() < 0.75


@pytest.mark.parametrize(
    ("saline", "medium", "borders"),
    [
        (MIN_GROUPS, MIN_GROUPS, [0.5, 1.0]),
        (MIN_GROUPS - 1, MIN_GROUPS, [0.5]),
        (MIN_GROUPS, MIN_GROUPS - 1, [1.0]),
        (3, 3, []),
        (3, MIN_GROUPS, [0.5]),
    ],
)
def test_a_class_with_few_groups_shares_the_interval_of_its_neighbour(
    saline: int, medium: int, borders: list[float]
) -> None:
    ec = np.r_[np.full(100, 0.2), np.full(medium, 0.8), np.full(saline, 5.0)]
    classes = fit_classes(np.zeros(ec.size), np.ones(ec.size), ec, names(ec.size))
    found = [np.exp(each.highest) - EC_SHIFT for each in classes[:-1]]
    assert found == pytest.approx(borders)


def test_groups_weigh_one_however_many_rows_they_have() -> None:
    ec = np.full(400, 0.2)
    residual = np.r_[np.full(200, 9.0), np.linspace(-1, 1, 200)]
    groups = np.r_[np.full(200, "one large profile"), names(200)]
    (only,) = fit_classes(residual, np.ones(400), ec, groups)
    assert only.above < 1.0


def test_an_end_that_too_few_groups_speak_for_is_open() -> None:
    ec = np.full(10, 0.2)
    (only,) = fit_classes(np.linspace(-1, 1, 10), np.ones(10), ec, names(10))
    assert (only.below, only.above) == (OPEN, OPEN)


def test_rare_classes_are_only_missed_on_their_far_side() -> None:
    ec, answer = soils(3, 2000)
    common, medium, saline = fit_classes(
        np.log(ec + EC_SHIFT) - answer, np.ones(2000), ec, names(2000)
    )
    assert (medium.below, saline.below) == (OPEN, OPEN)
    assert max(common.below, common.above, medium.above, saline.above) < OPEN


def test_where_saline_soils_are_the_common_ones_the_others_are_missed_below() -> None:
    ec, answer = soils(3, 2000)
    salty = 30.0 * ec
    low, medium, saline = fit_classes(
        np.log(salty + EC_SHIFT) - answer - 3.4, np.ones(2000), salty, names(2000)
    )
    assert (low.above, medium.above) == (OPEN, OPEN)
    assert max(low.below, medium.below, saline.below, saline.above) < OPEN
