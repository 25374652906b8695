"""Ridge with physical penalties."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from deepsalt.errors import FormatError
from deepsalt.train.constraints import (
    GYPSUM_CEILING,
    Penalty,
    gypsum_cap,
    monotone,
    smooth,
    solve_ridge,
    widening,
)

SIZE = 8
STEPS = 6
AGAINST = np.array([-1.0, -1.0, -1.0, -1.0, 0.5, 0.5, 0.5, 0.5])
BEND = np.array([6.0, -6.0, 6.0, -6.0, 6.0, -6.0, 6.0, 6.0])


def samples(seed: int = 0, rows: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy samples whose answer goes against every claim about `lines`."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(rows, SIZE))
    return phi, phi @ AGAINST + rng.normal(size=rows), rng.uniform(0.2, 2.0, rows)


def lines(seed: int, count: int = 20) -> np.ndarray:
    """Curved lines that leave scattered soils roughly in one direction."""
    rng = np.random.default_rng(seed)
    away = np.linspace(1.0, 2.0, SIZE) + 0.2 * rng.normal(size=(count, 1, SIZE))
    share = np.linspace(0.0, 1.0, STEPS)[:, None]
    curve = BEND * share**2
    return rng.normal(size=(count, 1, SIZE)) + share * away + curve


BUILDERS = {
    "monotone": lambda phi, weight: monotone(phi, weight=weight),
    "widening": lambda phi, weight: widening(phi, weight=weight),
    "gypsum_cap": lambda phi, weight: gypsum_cap(phi, ceiling=0.1, weight=weight),
    # A bend of one step is a small part of the whole line's change.
    "smooth": lambda phi, weight: smooth(phi, weight=100.0 * weight),
}
each_penalty = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())


@given(st.integers(0, 1000), st.floats(0.01, 100.0))
@settings(deadline=None, max_examples=30)
def test_without_penalties_it_is_sklearns_ridge(seed, ridge):
    phi, target, weights = samples(seed)
    both = np.column_stack([target, target**2])
    known = Ridge(alpha=ridge, fit_intercept=False).fit(phi, both, sample_weight=weights)
    np.testing.assert_allclose(solve_ridge(phi, both, weights, ridge), known.coef_.T, rtol=1e-8)


def test_a_matrix_ridge_can_leave_the_intercept_alone():
    phi, target, weights = samples()
    with_ones = np.column_stack([phi, np.ones(target.size)])
    matrix = np.diag([3.0] * SIZE + [0.0])
    known = Ridge(alpha=3.0).fit(phi, target, sample_weight=weights)
    found = solve_ridge(with_ones, target, weights, matrix)
    np.testing.assert_allclose(found, [*known.coef_, known.intercept_], rtol=1e-8)


@each_penalty
def test_a_weight_of_zero_is_the_plain_ridge_to_the_bit(build):
    phi, target, weights = samples()
    off = solve_ridge(phi, target, weights, 1.0, [build(lines(1), 0.0)])
    assert np.array_equal(off, solve_ridge(phi, target, weights, 1.0))


@each_penalty
def test_each_penalty_lowers_its_violation_on_lines_it_did_not_see(build):
    phi, target, weights = samples()
    plain = solve_ridge(phi, target, weights, 1.0)
    told = solve_ridge(phi, target, weights, 1.0, [build(lines(1), 100.0)])
    held_out = build(lines(2), 1.0)
    assert held_out.violation(told) < 0.5 * held_out.violation(plain)


@each_penalty
def test_each_penalty_changes_predictions_beside_the_others(build):
    phi, target, weights = samples()
    everything = [other(lines(1), 10.0) for other in BUILDERS.values()]
    name = build(lines(1), 10.0).name
    kinds = {penalty.name: penalty for penalty in everything}
    if name in {"monotone", "widening"}:  # the same claim, for two heads
        del kinds[{"monotone": "widening", "widening": "monotone"}[name]]
    full = solve_ridge(phi, target, weights, 1.0, list(kinds.values()))
    del kinds[name]
    without = solve_ridge(phi, target, weights, 1.0, list(kinds.values()))
    assert np.abs(phi @ (full - without)).max() > 0.01


@given(st.integers(0, 10_000), st.floats(0.0, 4.0), st.floats(0.0, 4.0))
@settings(deadline=None, max_examples=30)
def test_it_reaches_the_minimum_that_a_general_minimiser_finds(seed, rising, capped):
    phi, target, weights = samples(seed)
    penalties = [
        monotone(lines(seed + 1), weight=10.0**rising),
        gypsum_cap(lines(seed + 2), ceiling=0.1, weight=10.0**capped),
    ]

    def objective(c):
        terms = sum(penalty.weight * penalty.violation(c) for penalty in penalties)
        return weights @ (phi @ c - target) ** 2 + c @ c + terms

    found = solve_ridge(phi, target, weights, 1.0, penalties)
    known = minimize(objective, found, method="BFGS", options={"gtol": 1e-6}).fun
    assert objective(found) <= known * (1 + 1e-6)


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_more_weight_never_means_more_violation(seed):
    phi, target, weights = samples(seed)
    unit = monotone(lines(seed + 1))
    found = [
        unit.violation(
            solve_ridge(phi, target, weights, 1.0, [monotone(lines(seed + 1), weight=w)])
        )
        for w in (0.0, 1.0, 10.0, 100.0)
    ]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(found))


def test_several_targets_are_constrained_one_by_one():
    phi, target, weights = samples()
    penalties = [monotone(lines(1), weight=30.0)]
    both = solve_ridge(phi, np.column_stack([target, -target]), weights, 1.0, penalties)
    for column, alone in zip(both.T, (target, -target), strict=True):
        np.testing.assert_allclose(column, solve_ridge(phi, alone, weights, 1.0, penalties))


def test_a_claim_that_holds_already_costs_nothing():
    phi, _, weights = samples()
    target = phi @ np.linspace(1.0, 2.0, SIZE)
    found = solve_ridge(phi, target, weights, 1.0, [monotone(lines(1), weight=1e4)])
    np.testing.assert_allclose(found, solve_ridge(phi, target, weights, 1.0))


def test_amounts_set_the_order_of_steps():
    phi, amount = lines(1), np.tile(np.arange(float(STEPS)), (20, 1))
    backwards = monotone(phi[:, ::-1], amount[:, ::-1])
    np.testing.assert_array_equal(backwards.rows, monotone(phi).rows)


def test_equal_amounts_are_not_compared():
    amount = np.tile([0.0, 0.0, 1.0, 1.0, 1.0, 2.0], (20, 1))
    assert monotone(lines(1), amount).rows.shape == (40, SIZE)
    assert smooth(lines(1), amount).rows.shape == (0, SIZE)


def test_a_straight_answer_on_uneven_steps_is_smooth():
    amount = np.array([[0.0, 0.1, 0.4, 1.0]])
    straight = amount[..., None] * np.ones(SIZE)
    assert smooth(straight, amount).violation(np.ones(SIZE)) == pytest.approx(0.0, abs=1e-24)
    assert smooth(straight).violation(np.ones(SIZE)) > 0.01


def test_gypsum_may_reach_what_its_saturated_water_has():
    assert math.exp(GYPSUM_CEILING) - 0.03 == pytest.approx(3.0)
    ends = np.array([[[GYPSUM_CEILING - 0.1], [GYPSUM_CEILING + 0.1]]])
    assert gypsum_cap(ends).violation(np.ones(1)) == pytest.approx(0.1**2 / 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"target": np.zeros(3)}, "one of each per sample"),
        ({"target": np.full(40, np.nan)}, "targets of a ridge fit"),
        ({"weights": np.full(40, -1.0)}, "negative"),
        ({"ridge": np.eye(3)}, "ridge"),
        ({"phi": np.zeros((40, SIZE)), "ridge": 0.0}, "singular"),
        (
            {"penalties": [Penalty("p", np.eye(3), np.zeros(3), 1.0, one_sided=True)]},
            "penalty 'p' has rows",
        ),
        ({"penalties": [monotone(np.full((1, 2, SIZE), np.nan))]}, "missing values"),
        ({"penalties": [monotone(np.ones((1, 2, SIZE)), weight=-1.0)]}, "weight of -1"),
    ],
    ids=["count", "nan", "negative", "ridge", "singular", "rows", "nan rows", "weight"],
)
def test_what_cannot_be_solved_is_refused(change, match):
    phi, target, weights = samples()
    given_ = {"phi": phi, "target": target, "weights": weights, "ridge": 1.0} | change
    with pytest.raises(FormatError, match=match):
        solve_ridge(**given_)


@pytest.mark.parametrize(
    ("phi_lines", "amount"),
    [(np.ones((2, 3)), None), (np.ones((2, 3, 4)), np.ones((3, 2)))],
    ids=["flat lines", "amounts of another shape"],
)
def test_lines_of_the_wrong_shape_are_refused(phi_lines, amount):
    with pytest.raises(FormatError, match="mixing lines"):
        monotone(phi_lines, amount)
