"""Splits by group, and the choice between candidates on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError
from deepsalt.train.data.splits import group_folds, one_standard_error


@given(st.lists(st.integers(0, 12), min_size=20, max_size=60), st.integers(2, 6))
@settings(max_examples=20)
def test_no_group_lies_on_both_sides(groups, count):
    names = np.array([f"g{g}" for g in groups])
    if np.unique(names).size < 2:
        with pytest.raises(FormatError, match="one group"):
            group_folds(names, count, 0)
        return
    folds = group_folds(names, count, 0)
    for train, test in folds:
        assert test.size
        assert not set(names[train]) & set(names[test])
    tested = np.sort(np.concatenate([test for _, test in folds]))
    assert np.array_equal(tested, np.arange(len(groups)))


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([[0.1, 0.3], [0.05, 0.45]], 0),
        ([[0.1, 0.1], [0.29, 0.31]], 1),
        ([[0.3, 0.3], [0.3, 0.3]], 0),
        ([[0.0, 1.0], [0.1, 1.12]], 1),
        ([[-1.0, -1.0], [0.1, 0.3], [0.05, 0.45]], 1),
    ],
    ids=["within", "beyond", "equal", "a lead in every fold", "not the simplest"],
)
def test_the_simplest_candidate_within_one_standard_error_is_chosen(scores, chosen):
    assert one_standard_error(np.array(scores)) == chosen


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 8))
@settings(max_examples=50)
def test_the_rule_never_chooses_beyond_the_best(seed, candidates, folds):
    scores = np.random.default_rng(seed).normal(size=(candidates, folds))
    assert one_standard_error(scores) <= scores.mean(axis=1).argmax()


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (np.ones((3, 1)), "two folds"),
        (np.ones((0, 4)), "at least one candidate"),
        (np.where(np.arange(3)[:, None] == 2, np.nan, np.ones((3, 4))), "candidate 2 has no score"),
    ],
    ids=["one fold", "no candidate", "missing"],
)
def test_scores_that_cannot_be_compared_are_refused(scores, match):
    with pytest.raises(FormatError, match=match):
        one_standard_error(scores)
