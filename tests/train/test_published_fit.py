"""The published method as one that `train` fits, without looking at rows left out."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from deepsalt.model.load import load_student, model_ref
from deepsalt.train import published_fit
from deepsalt.train.config import TrainConfig
from deepsalt.train.fit import draw_views
from deepsalt.train.loop import train
from deepsalt.train.published import Published, PublishedConfig
from deepsalt.train.published_fit import fit_published_model, fit_published_samples
from deepsalt.train.report import REPORT_FILE
from deepsalt.train.tables import TableSpec
from tests.train.tables import (
    QUICK,
    lab_frame,
    laboratory_table,
    library_views,
    regions,
    satellite_table,
    write,
)

SHORT = partial(
    PublishedConfig,
    encoder_steps=12,
    teacher_steps=6,
    student_steps=6,
    hidden=16,
    feedforward=32,
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Budgets of a blink; the method stays the same."""
    monkeypatch.setattr(published_fit, "PublishedConfig", SHORT)


def paired():
    pairs = regions(3, 12)
    lab = laboratory_table(pairs, pairs.ec)
    return draw_views([lab, satellite_table(pairs, paired=True)], QUICK)


def test_it_trains_by_its_name_and_the_report_tells_the_copys_agreement(tmp_path):
    spec = TableSpec(write(tmp_path, lab_frame()), "laboratory")
    run = TrainConfig(
        (spec,), tmp_path / "out", method="deepsalt-2025", settings=QUICK, evaluate=False
    )
    card = train(run)
    agreement = card.training["chosen"]["r2_of_the_copy_with_the_transformer"]
    assert agreement > 0.5
    assert card.training["method"] == "deepsalt-2025"
    assert "r2_of_the_copy_with_the_transformer" in (tmp_path / "out" / REPORT_FILE).read_text()
    assert load_student(model_ref(tmp_path / "out")).quiet_anchors.shape[0] == 0


def given(monkeypatch, samples):
    """Return what the method is fitted on: laboratory and satellite rows, and pairs."""
    asked = {}

    def remember(lab, lab_target, sat, sat_target, pairs, *, config):
        asked.update(lab=lab, lab_target=lab_target, sat=sat, sat_target=sat_target, pairs=pairs)
        raise StopIteration

    monkeypatch.setattr(published_fit, "fit_published", remember)
    with pytest.raises(StopIteration):
        fit_published_samples(samples, SHORT())
    return asked


def test_noisy_views_stand_for_satellite_spectra_where_there_are_none(monkeypatch):
    views = library_views()
    asked = given(monkeypatch, views)
    assert np.array_equal(asked["lab"], views.snv[views.view == "laboratory"])
    assert np.array_equal(asked["sat"], views.snv[views.view == "enmap with noise"])
    assert np.array_equal(asked["pairs"], np.tile(np.arange(80)[:, None], 2))


def test_pairs_are_those_that_the_tables_trust(monkeypatch):
    samples = paired()
    samples = replace(samples, partner=np.where(np.arange(len(samples)) % 2, samples.partner, ""))
    asked = given(monkeypatch, samples)
    site = samples.site[samples.view == "laboratory"]
    partner = samples.partner[samples.satellite]
    assert 0 < len(asked["pairs"]) < samples.satellite.sum()
    assert all(partner[i] == site[j] for i, j in asked["pairs"])


def test_held_out_answers_for_its_interval_see_neither_group_nor_partner(monkeypatch):
    samples = paired()
    # Laboratory samples whose table knows of other groups.
    samples = replace(samples, group=np.where(samples.satellite, samples.group, "library"))
    seen = []

    def remember(part, config):
        seen.append(part)
        return fit(part, config)

    fit = fit_published_samples
    monkeypatch.setattr(published_fit, "fit_published_samples", remember)
    fit_published_model(samples, QUICK)
    *folds, last = seen
    assert len(last) == len(samples)
    assert len(folds) == 2
    for part in folds:
        out = samples.satellite & ~np.isin(samples.site, part.site)
        assert out.any()
        assert not set(samples.group[out]) & set(part.group)
        assert not set(samples.partner[out]) & set(part.site)


def test_predictions_are_those_of_the_copy(monkeypatch):
    monkeypatch.setattr(Published, "predict", lambda self, snv: np.full(len(snv), 1.5))
    fitted = fit_published_model(paired(), QUICK)
    assert float(fitted.student.heads_bias[0, 0]) == pytest.approx(1.5)
