"""A recalibrated model's folder: its card, its honest scores, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepsalt.errors import UsageError
from deepsalt.model.card import TrainingData
from deepsalt.model.load import load_student, model_card, model_ref
from deepsalt.model.marks import Marks
from deepsalt.train.evaluation.report import CELLS, REPORT_FILE
from deepsalt.train.recalibrate import Recalibration, held_out, recalibrate
from tests.train.student.test_from_map import SHIPPED, campaign

SOURCE = TrainingData("samples.csv", CELLS, 120, 12, "0" * 64, "not stated", "")
PLACES = np.array([84.0]), np.array([40.9])
ABOUT = Recalibration("mine", "ECe", "0 to 5 cm", SOURCE, Marks.of(["pit A"], *PLACES), True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    recalibrate(SHIPPED, campaign(1.0, 0.8), ABOUT, out)
    return out


def test_the_folder_holds_a_model_with_the_card_of_its_samples(folder: Path) -> None:
    ref = model_ref(folder)
    card = model_card(ref)
    assert len(load_student(ref).nodes)
    assert (card.name, card.ec_method, card.depth) == ("mine", "ECe", "0 to 5 cm")
    assert card.data == (SOURCE, *SHIPPED.card.data)
    assert card.training["base"] == {"name": SHIPPED.card.name, "digest": SHIPPED.digest}
    assert card.marks == ABOUT.marks | SHIPPED.card.marks
    assert any("simulated" in limit for limit in card.limits)


def test_the_report_says_what_was_gained_over_the_map(folder: Path) -> None:
    text = (folder / REPORT_FILE).read_text()
    assert "| samples.csv | cells of a map | 120 | 12 | as validation says |" in text
    assert "SIMULATED cells of a map" in text
    assert f"than {SHIPPED.card.name} (90 % interval" in text


def test_what_is_said_of_a_block_does_not_hang_on_its_own_labels() -> None:
    cells = campaign(1.0, 0.8)
    hidden = cells.block == "block 3"
    said, other = (
        held_out(SHIPPED, replace(cells, ec=ec))
        for ec in (cells.ec, np.where(hidden, 100.0, cells.ec))
    )
    assert np.array_equal(said[0][:, hidden], other[0][:, hidden])
    assert all(np.array_equal(said[1][k][hidden], other[1][k][hidden]) for k in said[1])
    assert not np.array_equal(said[0][:, ~hidden], other[0][:, ~hidden])


@pytest.mark.slow
def test_held_out_intervals_of_a_new_model_hold_nine_in_ten(tmp_path: Path) -> None:
    shares = [
        recalibrate(SHIPPED, campaign(1.0, 0.8, seed=i), ABOUT, tmp_path).scores[0]
        for i in range(10)
    ]
    assert 0.87 <= np.mean([score.metrics["coverage"] for score in shares]) <= 0.97


@pytest.mark.parametrize(
    ("few", "said"),
    [
        (slice(0, 9), "too few to recalibrate on: 9, and blocks of them 9"),
        (slice(0, None, 2), "too few to recalibrate on: 60, and blocks of them 6"),
    ],
    ids=["cells", "blocks"],
)
def test_too_few_cells_or_blocks_are_refused(tmp_path: Path, few: slice, said: str) -> None:
    cells = campaign(1.0, 0.8)
    with pytest.raises(UsageError, match=said):
        recalibrate(SHIPPED, cells.take(np.arange(len(cells))[few]), ABOUT, tmp_path)


def test_labels_that_are_all_alike_are_refused(tmp_path: Path) -> None:
    cells = campaign(1.0, 0.8)
    with pytest.raises(UsageError, match="all samples have 2 dS/m"):
        recalibrate(SHIPPED, replace(cells, ec=np.full(len(cells), 2.0)), ABOUT, tmp_path)
