"""Kernel machines: ridge regression at inducing points."""

import numpy as np
import pytest

from deepsalt.train.teacher.machine import choose_inducing_points, fit_machine, kernel

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(60, 3))
TARGET = np.sin(INPUTS[:, :1]) + INPUTS[:, 1:2]
ONES = np.ones(60)


def test_the_kernel_is_one_at_distance_zero_and_falls():
    values = kernel(np.array([[0.0], [1.0], [3.0]]), np.array([[0.0]]))[:, 0]
    np.testing.assert_allclose(values, [1.0, 1 / np.sqrt(2.0), 1 / np.sqrt(10.0)])


def test_equal_rows_far_from_zero_do_not_round_to_a_negative_distance():
    rows = np.full((2, 5), 1e6) + 1e-3
    assert (kernel(rows, rows) == 1.0).all()


def test_all_samples_as_inducing_points_is_kernel_ridge_regression():
    ridge = 0.3
    machine = fit_machine(INPUTS, INPUTS, TARGET, ONES, ridge)
    gram = kernel(INPUTS, INPUTS)
    centred = TARGET - TARGET.mean()
    wanted = TARGET.mean() + gram @ np.linalg.solve(gram + ridge * np.eye(60), centred)
    np.testing.assert_allclose(machine(INPUTS), wanted, atol=1e-4)


def test_a_strong_ridge_answers_the_weighted_mean():
    weights = np.linspace(0.1, 2.0, 60)
    machine = fit_machine(INPUTS[:9], INPUTS, TARGET, weights, 1e9)
    np.testing.assert_allclose(
        machine(INPUTS), np.average(TARGET[:, 0], weights=weights), atol=1e-5
    )


def test_a_weight_of_two_is_a_row_given_twice():
    weights = ONES.copy()
    weights[7] = 2.0
    one = fit_machine(INPUTS[:9], INPUTS, TARGET, weights, 0.1)
    twice = np.r_[np.arange(60), 7]
    two = fit_machine(INPUTS[:9], INPUTS[twice], TARGET[twice], np.ones(61), 0.1)
    np.testing.assert_allclose(one(INPUTS), two(INPUTS), atol=1e-8)


def test_far_from_all_inducing_points_the_answer_is_the_mean():
    machine = fit_machine(INPUTS, INPUTS, TARGET, ONES, 0.1)
    assert machine(np.full((1, 3), 1e7))[0, 0] == pytest.approx(TARGET.mean(), abs=1e-3)


def test_few_inputs_are_all_inducing_points():
    assert choose_inducing_points(INPUTS, TARGET[:, 0], 60, 0) is INPUTS


def test_inducing_points_are_inputs_drawn_once_by_the_seed():
    first, again, other = (choose_inducing_points(INPUTS, TARGET[:, 0], 20, s) for s in (0, 0, 1))
    assert len(np.unique(first, axis=0)) == 20
    assert (first[:, None] == INPUTS[None]).all(axis=2).any(axis=1).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_saline_samples_are_inducing_points_more_often():
    target = np.where(np.arange(1000) < 100, 4.0, 0.0)
    inputs = target[:, None] + np.arange(1000)[:, None] * 1e-6
    share = (choose_inducing_points(inputs, target, 200, 0)[:, 0] > 2.0).mean()
    assert share > 0.3
