"""Scores of probabilities and intervals, and their ranges over groups."""

import numpy as np
import pytest

from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.train.evaluation.salt import (
    average_precision,
    bootstrapped,
    chance_scores,
    coverage_scores,
)

RNG = np.random.default_rng(0)
EC = np.exp(RNG.normal(-1.0, 1.2, 600))
GROUPS = np.repeat(np.arange(120), 5).astype(str)


def answers(chance: np.ndarray, base: float = 0.2, alarm: float = 0.5) -> dict[str, np.ndarray]:
    found = {}
    for name in CHANCE_COLUMNS:
        found |= {name: chance, f"{name} base": np.full(chance.size, base)}
        found[f"{name} alarm"] = np.full(chance.size, alarm)
    return found


def test_certain_and_right_probabilities_have_all_skill() -> None:
    scores = chance_scores(EC, answers((EC > 1.0).astype(float)), GROUPS)
    assert scores["brier_skill_p_above_1"] == 1.0
    assert scores["average_precision_p_above_1"] == 1.0
    assert scores["recall_at_half_p_above_1"] == scores["precision_at_half_p_above_1"] == 1.0


def test_the_base_rate_itself_has_no_skill() -> None:
    scores = chance_scores(EC, answers(np.full(EC.size, 0.2)), GROUPS)
    assert scores["brier_skill_p_above_0.5"] == 0.0


def test_an_alarm_that_a_fold_did_not_reach_has_no_recall() -> None:
    known = answers(RNG.random(EC.size))
    known["p_above_1 alarm"][0] = np.nan
    scores = chance_scores(EC, known, GROUPS)
    assert "recall_at_half_p_above_1" not in scores
    assert "recall_at_half_p_above_2" in scores


def test_a_threshold_that_no_soil_exceeds_has_no_scores() -> None:
    scores = chance_scores(np.minimum(EC, 0.4), answers(RNG.random(EC.size)), GROUPS)
    assert scores == {}


def test_a_range_over_groups_is_wider_than_one_over_rows_where_groups_are_alike() -> None:
    hits = np.repeat(RNG.random(120) < 0.5, 5).astype(float)

    def share(weights: np.ndarray) -> float:
        return float(weights @ hits / weights.sum())

    rows = np.arange(600).astype(str)
    by_group, by_row = (bootstrapped("share", share, names) for names in (GROUPS, rows))
    width = [each["share_high"] - each["share_low"] for each in (by_group, by_row)]
    assert width[0] > 1.5 * width[1]


@pytest.mark.parametrize("reach", [1.9, 2.1])
def test_the_price_of_wide_intervals_is_the_share_of_soils_without_salt_they_reach(
    reach: float,
) -> None:
    upper = np.maximum(EC, reach)
    scores = coverage_scores(EC, np.zeros(EC.size), upper, GROUPS)
    assert scores["coverage_above_2_dsm"] == 1.0
    assert scores["share_without_salt_whose_interval_reaches_2_dsm"] == float(reach > 2)


def test_average_precision_of_a_guess_is_the_base_rate() -> None:
    above = EC > 1.0
    assert average_precision(above, np.full(EC.size, 0.5)) == pytest.approx(above.mean())
