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


def test_folds_have_about_as_many_rows_although_groups_differ_in_size():
    names = np.repeat([f"country {i}" for i in range(51)], 8 + 2 * np.arange(51) ** 2 // 17)
    rows = [test.size for _, test in group_folds(names, 10, 0)]
    assert max(rows) - min(rows) < 0.05 * names.size / 10


def test_a_seed_decides_which_groups_of_equal_size_share_a_fold():
    names = np.array([f"g{i}" for i in range(12)])
    folds = [[test.tolist() for _, test in group_folds(names, 4, seed)] for seed in (7, 7, 8)]
    assert folds[0] == folds[1] != folds[2]


def test_folds_are_those_that_the_shipped_model_was_scored_with():
    names = np.array(list("aaabbbccddeefghi"))
    folds = [test.tolist() for _, test in group_folds(names, 3, 20250101)]
    assert folds == [[0, 1, 2, 6, 7, 15], [3, 4, 5, 12, 14], [8, 9, 10, 11, 13]]


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([[0.1, 0.3], [0.05, 0.45]], 0),
        ([[0.1, 0.1], [0.29, 0.31]], 1),
        ([[0.3, 0.3], [0.3, 0.3]], 0),
        ([[0.0, 1.0], [0.1, 1.12]], 1),
        ([[-1.0, -1.0], [0.1, 0.3], [0.05, 0.45]], 1),
    ],
    ids=["within", "beyond", "equal", "a lead in every fold", "not the first"],
)
def test_the_first_candidate_within_one_standard_error_is_chosen(scores, chosen):
    assert one_standard_error(np.array(scores)) == chosen


def test_a_small_steady_lead_counts_by_its_own_error_but_not_by_that_of_the_score():
    scores = np.array([[0.0, 1.0], [0.1, 1.12]])
    assert one_standard_error(scores) == 1
    assert one_standard_error(scores, paired=False) == 0


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
