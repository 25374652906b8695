"""The card says what a model was trained on, also what the model was that it began with."""

from pathlib import Path

import pytest

from deepsalt.model.load import model_ref
from deepsalt.train.config import TrainConfig
from deepsalt.train.data.tables import TableSpec
from deepsalt.train.data.training_set import training_set
from deepsalt.train.evaluation.card import card_of
from deepsalt.train.student.base import AS_IT_IS, BY_A_LINE, HALF, SITES_ALONE, Base
from deepsalt.train.student.distil import Fitted
from tests.train.tables import QUICK, site_frame, write

SHIPPED = Base.of(model_ref())


@pytest.mark.parametrize(
    ("picked", "both"), [(HALF, True), (AS_IT_IS, True), (BY_A_LINE, True), (SITES_ALONE, False)]
)
def test_a_moved_model_has_the_marks_of_its_samples_and_of_the_base(
    tmp_path: Path, picked: str, both: bool
) -> None:
    frame = site_frame()
    spec = TableSpec(write(tmp_path, frame, "sites.csv"), "satellite", "enmap", group="site")
    config = TrainConfig((spec,), tmp_path / "out", settings=QUICK)
    fitted = Fitted(SHIPPED.student, {"picked": picked}, SHIPPED.card.chances)
    marks = card_of(config, training_set(config), fitted, SHIPPED).marks
    assert marks.has_id(frame["sample_id"]).all()
    assert (set(SHIPPED.card.marks.ids.split()) <= set(marks.ids.split())) is both
    assert (set(SHIPPED.card.marks.places.split()) <= set(marks.places.split())) is both
