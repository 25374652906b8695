"""The fit: what it learns from, what it ships, and what it cannot learn from."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.errors import FormatError
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.evaluation.evaluate import splits
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from tests.train.tables import QUICK, laboratory_table, library_views, regions, satellite_table


def test_a_fit_does_not_look_at_rows_left_out():
    samples = library_views()
    out = samples.group == samples.group[0]
    spoilt = replace(samples, ec=np.where(out, 400.0, samples.ec))
    one, two = (
        estimates(fit_model(part.take(~out), QUICK).student, samples.features)
        for part in (samples, spoilt)
    )
    assert np.array_equal(one.salinity, two.salinity)
    assert np.array_equal(one.upper, two.upper)


def test_intervals_hold_about_what_they_claim_on_new_soils():
    pairs = regions(6, 40, first=100)
    samples = draw_views([laboratory_table(pairs, pairs.ec)], QUICK)
    samples = replace(samples, group=samples.site)
    chosen = np.random.default_rng(0).permutation(np.unique(samples.site))[:120]
    known = np.isin(samples.site, chosen)
    fitted = fit_model(samples.take(known), QUICK).student
    told = estimates(fitted, samples.features[~known])
    ec = samples.ec[~known]
    inside = (ec >= told.lower - 1e-6) & (ec <= told.upper + 1e-6)
    assert 0.82 <= inside.mean() <= 0.97


def test_distillation_changes_a_student_whose_teacher_is_better():
    pairs = regions(6, 30, seed=2)
    samples = draw_views([laboratory_table(pairs, pairs.ec)], QUICK)
    on, off = (
        fit_model(samples, replace(QUICK, inducing_points=8, distil=d)) for d in (True, False)
    )
    answers = [estimates(fitted.student, samples.features).salinity for fitted in (on, off)]
    assert not np.array_equal(*answers)


def test_unlabelled_spectra_change_a_student_that_is_distilled(monkeypatch):
    samples = library_views()
    regions_of = np.unique(samples.region)
    hidden = np.isin(samples.region, regions_of[:1])
    samples = replace(samples, ec=np.where(hidden, np.nan, samples.ec))
    monkeypatch.setattr(
        "deepsalt.train.student.fit.teacher_weights", lambda answers, *_: answers * 0 + 1.0
    )
    with_them, without = (
        fit_model(part, QUICK).student.heads for part in (samples, samples.take(~hidden))
    )
    assert not np.array_equal(with_them, without)


def test_a_winner_that_the_student_cannot_follow_is_shipped_itself(monkeypatch):
    samples = library_views()
    monkeypatch.setattr("deepsalt.train.student.fit.MAX_LOSS_R2", -10.0)
    fitted = fit_model(samples, replace(QUICK, inducing_points=8))
    assert fitted.report["inducing_points"] == np.unique(samples.site).size
    assert fitted.report["shipped"].startswith("winner")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_labels_of_too_few_samples_are_refused(count):
    samples = library_views()
    known = np.isin(samples.site, np.unique(samples.site)[:count])
    with pytest.raises(FormatError, match=f"{count} samples have a label, too few"):
        fit_model(replace(samples, ec=np.where(known, samples.ec, np.nan)), QUICK)


def test_labels_that_are_all_alike_are_refused():
    samples = library_views()
    with pytest.raises(FormatError, match=r"all labels are 0\.5 dS/m"):
        fit_model(replace(samples, ec=np.full(len(samples), 0.5)), QUICK)


def test_a_handful_of_sites_beside_a_library_serves_without_its_labels():
    pairs, library = regions(3, 1), regions(4, 20, first=100)
    tables = [laboratory_table(library, library.ec), satellite_table(pairs)]
    samples = draw_views(tables, QUICK)
    spoilt = replace(samples, ec=np.where(samples.satellite, 400.0, samples.ec))
    one, two = (fit_model(part, QUICK) for part in (samples, spoilt))
    assert "3 sites with a label are too few" in one.report["sites"]
    assert np.array_equal(one.student.heads, two.student.heads)
    for split in splits(samples, QUICK):
        assert not any(samples.satellite[test].any() for _, test in split.folds)


@pytest.mark.parametrize("networks", [0, 1])
def test_groups_of_very_unlike_size_train(networks):
    samples = library_views()
    first = samples.site == samples.site[0]
    alone = np.where(first, "one", "many")
    samples = replace(samples, group=alone, region=alone)
    fitted = fit_model(samples, replace(QUICK, networks=networks, epochs=2))
    assert np.isfinite(estimates(fitted.student, samples.features).upper).all()


def test_sites_of_very_unlike_regions_train():
    pairs = regions(4, 12)
    region = np.where(np.arange(48) == 0, "one", "many")
    samples = draw_views([replace(satellite_table(pairs), region=region)], QUICK)
    fitted = fit_model(samples, QUICK)
    assert np.isfinite(estimates(fitted.student, samples.features).upper).all()
