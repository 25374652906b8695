"""Anchors that learn from the teacher."""

import numpy as np
import pytest

from deepsalt.errors import UsageError
from deepsalt.train.anchors import learned_anchors
from deepsalt.train.machine import Machine, fit_machine

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(600, 4))
ANSWERS = np.sin(2.0 * INPUTS[:, 0]) + INPUTS[:, 1] ** 2
ONES = np.ones(600)
NAMES = np.char.add("soil ", np.arange(600).astype(str))
START = fit_machine(INPUTS[:12], INPUTS, ANSWERS[:, None], ONES, 0.01)


def loss(machine: Machine) -> float:
    return float(((machine(INPUTS)[:, 0] - ANSWERS) ** 2).mean())


def learn(steps: int, seed: int = 0, answers: np.ndarray = ANSWERS) -> np.ndarray:
    return learned_anchors(START, INPUTS, answers, ONES, ids=NAMES, steps=steps, seed=seed)


def test_learned_anchors_copy_the_teacher_better_than_drawn_ones():
    moved = fit_machine(learn(300), INPUTS, ANSWERS[:, None], ONES, 0.01)
    assert loss(moved) < 0.7 * loss(START)


def test_without_steps_the_anchors_stay_where_they_were_drawn():
    assert np.array_equal(learn(0), START.anchors)


def test_one_seed_gives_the_same_anchors_and_another_seed_others():
    assert np.array_equal(learn(20), learn(20))
    assert not np.array_equal(learn(20), learn(20, seed=1))


def test_answers_that_are_not_finite_stop_with_the_step_and_rows():
    with pytest.raises(UsageError, match=r"diverged at step 0: .*soil \d+, soil \d+"):
        learn(5, answers=np.full(600, np.inf))
