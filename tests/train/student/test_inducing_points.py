"""Inducing points that learn from the teacher."""

import numpy as np
import pytest

from deepsalt.errors import RunError
from deepsalt.train.student.inducing_points import learned_inducing_points
from deepsalt.train.teacher.machine import fit_machine

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(600, 4))
ANSWERS = np.sin(2.0 * INPUTS[:, 0]) + INPUTS[:, 1] ** 2
ONES = np.ones(600)
NAMES = np.char.add("soil ", np.arange(600).astype(str))
DRAWN = INPUTS[:12]


def loss(inducing_points: np.ndarray) -> float:
    copy = fit_machine(inducing_points, INPUTS, ANSWERS[:, None], ONES, 1e-3)
    return float(((copy(INPUTS)[:, 0] - ANSWERS) ** 2).mean())


def learn(steps: int, seed: int = 0, answers: np.ndarray = ANSWERS) -> np.ndarray:
    return learned_inducing_points(DRAWN, INPUTS, answers, ONES, ids=NAMES, steps=steps, seed=seed)


def test_learned_inducing_points_copy_the_teacher_better_than_drawn_ones():
    assert loss(learn(60)) < 0.3 * loss(DRAWN)


def test_without_steps_the_inducing_points_stay_where_they_were_drawn():
    assert np.array_equal(learn(0), DRAWN)


def test_one_seed_gives_the_same_inducing_points():
    assert np.array_equal(learn(5), learn(5))


def test_of_many_rows_the_seed_draws_those_that_are_learned_on(monkeypatch):
    monkeypatch.setattr("deepsalt.train.student.inducing_points.ROWS", 300)
    assert np.array_equal(learn(5), learn(5))
    assert not np.array_equal(learn(5), learn(5, seed=1))


def test_answers_that_are_not_finite_stop_with_the_step_and_rows():
    answers = ANSWERS.copy()
    answers[[3, 17]] = np.inf
    with pytest.raises(RunError, match=r"diverged at step 0: .* rows with soil \d+"):
        learn(5, answers=answers)
