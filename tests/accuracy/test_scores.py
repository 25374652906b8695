"""Scores: against plain definitions, and what is reported when."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss

from deepsalt.accuracy.blocks import blocks_of
from deepsalt.accuracy.match import Cells
from deepsalt.accuracy.scores import (
    BOOTSTRAP,
    class_scores,
    error_scores,
    interval_scores,
    probability_scores,
    rank_scores,
    recalibrated,
    recalibrated_scores,
    spearman,
)
from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.data.places import Blocks
from deepsalt.train.metrics import scale_scores
from tests.accuracy.fields import CHANCE_ATTRS, Field, at_random

QUICK = replace(BOOTSTRAP, draws=60)


@pytest.fixture(scope="module")
def cells() -> Cells:
    return Field.draw(1).cells(*at_random(np.random.default_rng(1), 90))


@pytest.fixture(scope="module")
def block(cells: Cells) -> Blocks:
    return blocks_of(cells.lon, cells.lat)


def test_spearman_is_that_of_scipy(cells: Cells) -> None:
    rounded = cells.ec.round(0), cells.estimate.round(0)  # with ties
    expected = spearmanr(*rounded).statistic
    assert np.isclose(spearman(*rounded)(np.ones(len(cells))), expected)


def test_weights_are_repeated_rows(cells: Cells) -> None:
    weights = np.random.default_rng(2).integers(0, 4, len(cells))
    repeated = spearmanr(np.repeat(cells.ec, weights), np.repeat(cells.estimate, weights))
    found = spearman(cells.ec, cells.estimate)(weights.astype(float))
    assert np.isclose(found, repeated.statistic)


def test_errors_are_those_of_training(cells: Cells, block: Blocks) -> None:
    found = error_scores(cells, block, QUICK)
    expected = scale_scores(np.log1p(cells.ec), np.log1p(cells.estimate), "log1p")
    expected |= scale_scores(cells.ec, cells.estimate, "dsm")
    for name in ("r2_log1p", "rmse_log1p", "bias_log1p", "rmse_dsm", "bias_dsm"):
        assert np.isclose(found[name], expected[name]), name
        if name.endswith("log1p"):
            assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_scores_of_probabilities_are_those_of_scikit_learn(cells: Cells, block: Blocks) -> None:
    found = probability_scores(cells, block, CHANCE_ATTRS, QUICK)
    above, chance = cells.ec > 1.0, cells.chances["p_above_1"]
    expected = average_precision_score(above, chance)
    assert np.isclose(found["average_precision_p_above_1"], expected)
    skill = 1 - brier_score_loss(above, chance) / brier_score_loss(above, np.full(len(cells), 0.3))
    assert np.isclose(found["brier_skill_p_above_1"], skill)


def test_without_a_base_rate_the_skill_is_over_the_share_of_the_cells(
    cells: Cells, block: Blocks
) -> None:
    attrs = {name: {"threshold": each["threshold"]} for name, each in CHANCE_ATTRS.items()}
    found = probability_scores(cells, block, attrs, QUICK)
    above, chance = cells.ec > 1.0, cells.chances["p_above_1"]
    skill = 1 - brier_score_loss(above, chance) / above.var()
    assert np.isclose(found["brier_skill_p_above_1"], skill)


def test_a_map_without_probabilities_has_no_scores_of_them(cells: Cells, block: Blocks) -> None:
    assert probability_scores(replace(cells, chances={}), block, {}, QUICK) == {}


def test_ranks_and_recalibrated_scores_do_not_change_with_a_factor_between_methods(
    cells: Cells, block: Blocks
) -> None:
    other = replace(cells, ec=(cells.ec + EC_SHIFT) * 4.0 - EC_SHIFT)
    for score in (rank_scores, recalibrated_scores):
        one, two = (score(each, block, QUICK) for each in (cells, other))
        assert all(np.isclose(one[name], two[name]) for name in one), score.__name__


def test_a_line_recalibrates_a_map_that_is_wrong_by_a_power(block: Blocks, cells: Cells) -> None:
    wrong = replace(cells, estimate=3.0 * (cells.ec + EC_SHIFT) ** 0.5 - EC_SHIFT)
    tuned = recalibrated(wrong, block)
    assert tuned is not None
    assert np.allclose(tuned, np.log(cells.ec + EC_SHIFT))


def test_the_line_of_a_cell_does_not_see_its_block(cells: Cells, block: Blocks) -> None:
    first = recalibrated(cells, block)
    own = block.name == block.name[0]
    changed = recalibrated(replace(cells, ec=np.where(own, cells.ec * 50.0, cells.ec)), block)
    assert first is not None
    assert changed is not None
    assert np.allclose(first[own], changed[own])
    assert not np.allclose(first[~own], changed[~own])


def test_label_errors_are_taken_out_and_widen_intervals(block: Blocks, cells: Cells) -> None:
    unsure = replace(cells, stated_sd=np.full(len(cells), 0.4))
    found = error_scores(unsure, block, QUICK) | interval_scores(unsure, block, QUICK)
    own = ((0.4 * cells.ec / (1 + cells.ec)) ** 2).mean()
    mean_square = found["rmse_log1p"] ** 2
    assert np.isclose(found["rmse_log1p_without_label_error"] ** 2, mean_square - own)
    assert found["r2_log1p_without_label_error"] > found["r2_log1p"]
    assert found["coverage_with_label_error"] >= found["coverage"]


def test_taking_label_errors_out_finds_the_error_of_the_map() -> None:
    field = Field.draw(3)
    rng = np.random.default_rng(3)
    true = field.cells(*at_random(rng, 20_000))
    noisy = replace(
        true,
        ec=true.ec * np.exp(0.3 * rng.normal(size=len(true))),
        conversion_sd=np.full(len(true), 0.3),
    )
    one = Blocks(np.full(len(true), "block"), 1, "")
    expected = error_scores(true, one)["rmse_log1p"]
    found = error_scores(noisy, one)
    assert found["rmse_log1p"] > 1.05 * expected
    assert abs(found["rmse_log1p_without_label_error"] / expected - 1) < 0.02


def test_the_interval_of_the_bias_allows_for_a_conversion_that_is_wrong_for_all(
    block: Blocks, cells: Cells
) -> None:
    plain = error_scores(cells, block, QUICK)
    converted = replace(cells, conversion_sd=np.full(len(cells), 0.3))
    found = error_scores(converted, block, QUICK)
    shared = 1.645 * 0.3 * (cells.ec / (1 + cells.ec)).mean()
    reach = found["bias_log1p_high"] - found["bias_log1p"]
    assert np.isclose(reach, np.hypot(plain["bias_log1p_high"] - plain["bias_log1p"], shared))


def test_classes_hold_all_cells_and_empty_ones_are_left_out(cells: Cells, block: Blocks) -> None:
    low = replace(cells, ec=np.minimum(cells.ec, 4.0))
    found = class_scores(low, block, QUICK)
    assert sum(each.cells for each in found) == len(cells)
    assert [each.name for each in found] == ["up to 0.5", "0.5 to 1", "1 to 2", "2 to 4"]
    inside = (low.ec >= low.lower) & (low.ec <= low.upper)
    assert np.isclose(found[0].scores["coverage"], inside[low.ec <= 0.5].mean())


def test_a_share_of_all_has_an_interval_below_it(cells: Cells, block: Blocks) -> None:
    wide = replace(cells, lower=np.zeros(len(cells)), upper=np.full(len(cells), 1e6))
    found = interval_scores(wide, block, QUICK)
    assert found["coverage"] == found["coverage_high"] == 1.0
    assert np.isclose(found["coverage_low"], 0.05 ** (1 / block.count))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_blocks_give_scores_without_intervals(cells: Cells, count: int) -> None:
    name = np.array([f"block {i % count}" for i in range(len(cells))])
    few = Blocks(name, count, "")
    found = {
        **rank_scores(cells, few),
        **error_scores(cells, few),
        **interval_scores(cells, few),
        **probability_scores(cells, few, CHANCE_ATTRS),
    }
    assert {"spearman", "r2_log1p", "coverage", "brier_skill_p_above_1"} <= set(found)
    assert not [each for each in found if each.endswith(("_low", "_high"))]
    assert recalibrated_scores(cells, few) == {}


def test_one_cell_has_errors_and_no_ranks(cells: Cells) -> None:
    field = Field.draw(1)
    one = field.cells(np.array([5]), np.array([7]))
    block = blocks_of(one.lon, one.lat)
    assert rank_scores(one, block) == {}
    found = error_scores(one, block)
    assert np.isclose(found["bias_dsm"], one.estimate[0] - one.ec[0])
    assert "r2_log1p" not in found
