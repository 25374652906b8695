"""The report: what was read, chosen and scored."""

from dataclasses import replace

import pytest

from deepsalt.errors import ModelError
from deepsalt.model.card import Score, TrainingData
from deepsalt.train.evaluation.report import REPORT_FILE, report, write_report
from tests.model.students import tiny_card
from tests.train.tables import laboratory_table, regions

PAIRS = regions(3, 20, first=100)
TABLE = replace(
    laboratory_table(PAIRS, PAIRS.ec),
    dropped={"suspect label": 4, "too many missing bands": 1},
    warnings=("library.csv, column ec: looks like mS/m",),
)
DATA = TrainingData(
    name="library.csv",
    kind="laboratory",
    rows=60,
    groups=3,
    sha256="0" * 64,
    licence="CC BY 4.0",
    attribution="",
)
SCORE = Score("student", "laboratory", "region", 60, {"r2_log1p": 0.251, "coverage": 0.9})


def card(**changes):
    training = {"chosen": {"networks_share": 0.25}}
    return replace(tiny_card(), data=(DATA,), training=training, **changes)


def test_tables_are_listed_with_what_was_left_out():
    text = report(card(), [TABLE])
    row = "| library.csv | laboratory | 60 | 3 | 4 suspect label, 1 too many missing bands |"
    assert row in text.splitlines()


def test_doubts_choices_limits_and_the_kind_of_conductivity_are_told():
    text = report(card(), [TABLE])
    for part in ("looks like mS/m", '"networks_share": 0.25', "- random weights", "water extract"):
        assert part in text


def test_scores_are_a_row_with_a_gap_where_nothing_is_known():
    text = report(card(scores=(SCORE,)), [TABLE])
    row = "| laboratory | region | student | 60 | 0.25 |  |  |  |  |  |  |"
    assert row in text.splitlines()


def test_intervals_are_a_row_with_ranges_over_groups():
    known = SCORE.metrics | {"coverage_low": 0.85, "coverage_high": 0.94}
    text = report(card(scores=(replace(SCORE, metrics=known),)), [TABLE])
    assert "| laboratory | region | 60 | 0.90 (0.85 to 0.94) |  |  |  |  |  |" in text.splitlines()


def test_a_precision_that_no_fold_reached_is_said():
    known = SCORE.metrics | {
        "observed_share_p_above_1": 0.02,
        "expected_share_p_above_1": 0.021,
        "brier_skill_p_above_1": 0.1,
        "average_precision_p_above_1": 0.3,
    }
    text = report(card(scores=(replace(SCORE, metrics=known),)), [TABLE])
    row = "| laboratory | region | 1 | 0.020 | 0.021 | 0.10 | 0.30 | not reached | not reached |"
    assert row in text.splitlines()


def test_thresholds_that_rest_on_few_groups_are_named():
    few = tuple(replace(each, groups=3, calibrated="no") for each in tiny_card().chances)
    text = report(card(scores=(SCORE,), chances=few), [TABLE])
    assert "above 4 dS/m 3 groups (fewer than 20: not calibrated)" in text


def test_what_sites_gained_over_the_model_before_is_a_sentence_with_its_range():
    lead = {"lead_r2_log1p": 0.12, "lead_r2_log1p_low": -0.03, "lead_r2_log1p_high": 0.25}
    training = {
        "chosen": {"picked": "sites alone", "compared": {"the model as it is": 0.8}},
        "base": {"name": "surface-3", "digest": "0" * 64},
    }
    scores = (replace(SCORE, metrics=SCORE.metrics | lead),)
    text = report(replace(card(scores=scores), training=training), [TABLE])
    assert "explains 0.12 more of the variance of log(1 + EC) than surface-3" in text
    assert "(90 % interval over blocks -0.03 to +0.25)" in text


@pytest.mark.parametrize(
    ("scores", "said"), [((SCORE,), False), ((replace(SCORE, split="group"),), True), ((), True)]
)
def test_no_score_for_unseen_regions_is_said(scores, said):
    assert ("No score for unseen regions" in report(card(scores=scores), [TABLE])) == said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / REPORT_FILE).mkdir()
    with pytest.raises(ModelError, match="cannot be written"):
        write_report(tmp_path, card(), [TABLE])


def test_what_more_sites_would_give_has_its_band():
    told = {"r2_log1p": [0.31, 0.12, 0.5], "gain": [0.2, -0.05, 0.45]}
    curve = {"sites": [12.0, 24.0], "r2_log1p": [0.1, 0.2], "gain": [-0.01, 0.09]}
    named = {"learning_curve": curve | {"foretold": {"60": told}}, "base": {"name": "shipped"}}
    text = report(replace(card(), training=card().training | named), [TABLE])
    assert "| 24 | scored | 0.20 | +0.09 |" in text.splitlines()
    assert "| 60 | expected | 0.31 (0.12 to 0.50) | +0.20 (-0.05 to +0.45) |" in text.splitlines()


def test_blocks_of_sites_are_said():
    training = card().training | {"blocks": "12 blocks: residuals are alike within 9 km"}
    text = report(replace(card(), training=training), [TABLE])
    assert "Sites that are held out together: 12 blocks: residuals are alike within 9 km." in text
