"""Which surfaces are flagged, told for sites that the test did not see."""

from dataclasses import replace

from deepsalt.model.card import Score
from deepsalt.train.evaluation.report import report
from deepsalt.train.evaluation.surfaces import surface_shares
from deepsalt.train.student.base import Base
from deepsalt.train.student.fit import fit_model
from tests.model.students import tiny_card
from tests.train.tables import QUICK, library_views

VIEWS = library_views()
SHARES = surface_shares(Base(fit_model(VIEWS, QUICK).student, tiny_card(), ""), VIEWS, 16)


def test_every_kind_is_told_as_measured_through_a_satellite_and_in_the_field():
    views = {row["view"] for row in SHARES if row["kind"] == "built"}
    assert {row["kind"] for row in SHARES} == {"bare", "built", "burnt", "playa", "salt"}
    assert {"laboratory", "enmap with noise", "enmap in the field"} <= views


def test_shares_are_between_their_ends_and_name_their_sites():
    for row in SHARES:
        assert 0.0 <= row.get("flagged_low", 0.0) <= row["flagged"]
        assert row["flagged"] <= row.get("flagged_high", 1.0) <= 1.0
        assert row["spectra"] >= row["sites"] >= 1


def test_the_report_has_a_row_for_each_of_them_and_for_soils_left_out():
    score = Score("student", "laboratory", "group", 60, {"share_out_of_domain": 0.013})
    training = {"chosen": {}, "surfaces": SHARES}
    lines = report(replace(tiny_card(), training=training, scores=(score,)), []).splitlines()
    assert "## What is flagged as out of domain" in lines
    assert "| soil of the training's kind | laboratory | group |  | 60 | 0.013 |" in lines
    for kind in ("built", "salt", "burnt"):
        assert any(line.startswith(f"| {kind} | laboratory |") for line in lines)
