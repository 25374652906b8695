"""Laboratory knowledge beside satellite sites: it may help and cannot hurt."""

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from deepsalt.benchmark.data import Design, draw_sites, draw_tests, draw_training, simulate_world
from deepsalt.errors import FormatError
from deepsalt.train.adaptation import combine
from deepsalt.train.adaptation.combine import fit_combined, rising_line
from deepsalt.train.adaptation.fits import repeat_differences
from deepsalt.train.adaptation.sites import SITE_RIDGES, fit_sites
from deepsalt.train.config import ADAPTATIONS, WEIGHTS_OF_TEACHER, Settings
from deepsalt.train.data.samples import as_measured, stack
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.metrics import r2
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.types import Floats
from tests.train.tables import (
    QUICK,
    laboratory_table,
    regions,
    satellite_table,
)

SEEDS = range(14)
SETTINGS = replace(QUICK, inner_folds=3, weights=WEIGHTS_OF_TEACHER)


def sites_of(seed):
    return regions(16, 8, seed=seed)


def library_of(seed):
    return regions(5, 20, seed=seed, first=100, sensor="prisma")


@lru_cache(maxsize=16)
def unseen(seed):
    pairs = regions(10, 25, seed=seed, first=50)
    return pairs.ec, as_measured(satellite_table(pairs)).features


@lru_cache(maxsize=64)
def score(seed, library=None):
    """R2 of log1p in unseen regions, and the weight chosen; with a library or without."""
    tables = [satellite_table(sites_of(seed))]
    if library is not None:
        tables.append(LIBRARIES[library](library_of(seed)))
    fitted = fit_model(draw_views(tables, SETTINGS), SETTINGS)
    ec, features = unseen(seed)
    answers = estimates(fitted.student, features).salinity.astype(np.float64)
    return r2(np.log1p(ec), np.log1p(answers)), fitted.report["laboratory_weight"]


def _permuted(pairs):
    return laboratory_table(pairs, np.random.default_rng(5).permutation(pairs.ec))


def _tenfold(pairs):
    return laboratory_table(pairs, np.minimum(10.0 * pairs.ec, 499.0))


def _other_sensor(pairs):
    table = laboratory_table(pairs, pairs.ec)
    bands, seen = pairs.satellite_bands, pairs.satellite
    return replace(table, sensor="prisma", bands=bands, reflectance=seen)


LIBRARIES = {"permuted labels": _permuted, "EC x 10": _tenfold, "other sensor": _other_sensor}


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_wrong_laboratory_knowledge_costs_next_to_nothing(library):
    cost = [score(seed)[0] - score(seed, library)[0] for seed in SEEDS]
    assert np.mean(cost) <= 0.02


def same_weights(one, two):
    return all(
        torch.equal(getattr(one, field.name), getattr(two, field.name)) for field in fields(one)
    )


def both(count=4, sites=12, paired=False):
    """Sites with a library that belongs to their regions and to others."""
    pairs, library = regions(count, sites), regions(count, sites, first=100)
    own = laboratory_table(pairs, pairs.ec)
    tables = [satellite_table(pairs, paired=paired), own, laboratory_table(library, library.ec)]
    return draw_views(tables, QUICK)


def test_a_weight_of_zero_is_training_without_the_laboratory_to_the_bit():
    samples = both()
    only = replace(QUICK, weights=(0.0,))
    with_it, without = (
        fit_model(part, only) for part in (samples, samples.take(samples.satellite))
    )
    assert same_weights(with_it.student, without.student)


def test_a_chosen_weight_of_zero_is_the_same_to_the_bit(monkeypatch):
    samples = both()
    monkeypatch.setattr(combine, "one_standard_error", lambda *_, **__: 0)
    with_it, without = (
        fit_model(part, replace(QUICK, adaptations=("epo",)))
        for part in (samples, samples.take(samples.satellite))
    )
    assert len(with_it.report["held_out_mse_log_ec"]) > 5  # weights were tried
    assert with_it.report["laboratory_weight"] == 0.0
    assert same_weights(with_it.student, without.student)


@pytest.mark.slow
def test_knowledge_that_holds_is_used_and_helps():
    settings = Settings(networks=0, adaptations=("epo",))
    gains, chosen = [], []
    for seed in (0, 1, 2):
        world = simulate_world(Design(), seed)
        views = draw_training(draw_sites(world.pool, 120, seed), world.library, settings)
        new = draw_tests(world.unseen, settings)
        found = []
        for samples in (views.sites, stack([views.sites, views.laboratory])):
            fitted = fit_model(samples, settings)
            answers = estimates(fitted.student, new.features).salinity.astype(np.float64)
            found.append(r2(np.log1p(new.ec), np.log1p(answers)))
        chosen.append(fitted.report["laboratory_weight"])
        gains.append(found[1] - found[0])
    assert min(chosen) > 0.0
    assert np.mean(gains) > 0.05


@pytest.mark.parametrize(("slope", "wanted"), [(2.0, 2.0), (0.0, 0.0), (-1.0, 0.0)])
def test_the_teachers_line_rises_or_is_level(slope, wanted):
    known = np.random.default_rng(0).normal(0.0, 1.0, 50)
    weights = np.linspace(0.5, 1.0, 50)
    level, found = rising_line(known, 3.0 + slope * known, weights)
    assert found == pytest.approx(wanted, abs=1e-12)
    assert level == pytest.approx(np.average(3.0 + (slope - wanted) * known, weights=weights))


def test_a_combination_that_no_student_can_follow_leaves_the_sites_alone(monkeypatch):
    samples = both()
    monkeypatch.setattr(combine, "one_standard_error", lambda scores, **_: len(scores) - 1)
    monkeypatch.setattr(combine.Choice, "gains", lambda *_: False)
    with_it, without = (
        fit_model(part, replace(QUICK, weights=(0.0, 0.3)))
        for part in (samples, samples.take(samples.satellite))
    )
    assert "not_carried" in with_it.report
    assert same_weights(with_it.student, without.student)


def test_the_report_tells_what_copying_costs(monkeypatch):
    monkeypatch.setattr(combine, "one_standard_error", lambda scores, **_: len(scores) - 1)
    report = fit_model(both(), replace(QUICK, weights=(0.0, 0.3))).report
    assert report["laboratory_weight"] == 0.3
    assert set(report["held_out_r2_log1p"]) >= {"combination", "student"}
    assert report["inducing_points"] <= QUICK.inducing_points or report["shipped"] != "student"


def test_where_few_inducing_points_lose_all_spectra_are_inducing_points(monkeypatch):
    monkeypatch.setattr(combine, "one_standard_error", lambda scores, **_: len(scores) - 1)
    scores = iter((0.3, -20.0, 0.3))
    monkeypatch.setattr("deepsalt.train.student.satellite.smeared_r2", lambda *_: next(scores))
    samples = both()
    report = fit_model(samples, replace(QUICK, weights=(0.0, 0.3))).report
    assert report["shipped"] == "winner, all spectra as inducing points"
    assert report["inducing_points"] > QUICK.inducing_points


def test_many_sites_are_copied_into_the_students_few_inducing_points():
    samples = as_measured(satellite_table(regions(8, 12)))
    assert len(samples) > QUICK.inducing_points
    report = fit_model(samples, QUICK).report
    assert report["shipped"] == "student"
    assert report["inducing_points"] == QUICK.inducing_points


def forced(monkeypatch, samples, *, settings=QUICK, names=(), unlabelled=None, weight=1.0):
    """Fit with the last weight and these adaptations, whatever held-out groups say."""
    monkeypatch.setattr(combine, "one_standard_error", lambda scores, **_: len(scores) - 1)
    monkeypatch.setattr("deepsalt.train.adaptation.sites.SITE_COMPONENTS", 6)
    monkeypatch.setattr("deepsalt.train.adaptation.sites.SITE_RIDGES", (1.0,))
    monkeypatch.setattr(combine, "RANKS", (2,))
    settings = replace(settings, weights=(0.0, weight), adaptations=names)
    sat = samples.satellite
    return fit_combined(samples.take(sat), samples.take(~sat), settings, unlabelled)


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_switching_an_adaptation_off_changes_held_out_answers(monkeypatch, name):
    samples = both(8, 20, paired=True)
    off, on = (forced(monkeypatch, samples, names=names)[1] for names in ((), (name,)))
    assert len(on.adaptation) == 1
    assert off.adaptation == ()
    assert (on.held_out != off.held_out).mean() > 0.5  # in most folds
    assert np.array_equal(on.sites_held_out, off.sites_held_out)


def test_an_adaptation_that_changes_nothing_is_not_taken():
    samples = both()  # without pairs, direct standardisation is the identity
    sat = samples.satellite
    settings = replace(QUICK, adaptations=("ds",))
    choice = fit_combined(samples.take(sat), samples.take(~sat), settings)[1]
    assert sum(name.startswith("ds") for name in choice.scores) == 2
    assert choice.adaptation == ()


def test_held_out_answers_do_not_know_the_labels_of_their_region(monkeypatch):
    samples = both(paired=True)
    out = samples.region == samples.region[samples.satellite][0]
    spoilt = replace(samples, ec=np.where(out, 400.0, samples.ec))
    names = ("epo", "ds")
    one, two = (forced(monkeypatch, part, names=names)[1] for part in (samples, spoilt))
    hidden = out[samples.satellite]
    assert np.array_equal(one.held_out[hidden], two.held_out[hidden])
    assert not np.array_equal(one.held_out[~hidden], two.held_out[~hidden])


def test_held_out_answers_do_not_know_the_labels_of_their_partners(monkeypatch):
    samples = both(paired=True)
    # Laboratory samples whose table does not say which region they are of.
    samples = replace(samples, region=np.where(samples.satellite, samples.region, "library"))
    region = samples.region[samples.satellite][0]
    partners = samples.partner[samples.satellite & (samples.region == region)]
    spoilt = replace(samples, ec=np.where(np.isin(samples.site, partners), 400.0, samples.ec))
    one, two = (forced(monkeypatch, part)[1] for part in (samples, spoilt))
    hidden = samples.region[samples.satellite] == region
    assert np.array_equal(one.held_out[hidden], two.held_out[hidden])
    assert not np.array_equal(one.held_out[~hidden], two.held_out[~hidden])


def test_repeats_of_sites_are_seen_as_such():
    pairs = regions(4, 12, looks=2)
    samples = as_measured(satellite_table(pairs, paired=True))
    differences = repeat_differences(samples.features, samples.site)
    assert len(differences) == len(samples) == 96
    assert np.abs(differences).max() > 0.0


def test_unlabelled_repeats_teach_what_is_nuisance(monkeypatch):
    samples = both()
    repeats = as_measured(satellite_table(regions(2, 12, seed=3, first=30, looks=2), paired=True))
    repeats = replace(repeats, ec=repeats.ec * np.nan)
    without, with_them = (
        forced(monkeypatch, samples, names=("epo",), unlabelled=more)[0] for more in (None, repeats)
    )
    assert not np.array_equal(without.adaptation.matrix, with_them.adaptation.matrix)


def test_looks_at_one_site_count_as_one():
    samples = as_measured(satellite_table(regions(4, 12, looks=2), paired=True))
    fitter = combine.AdaptationFitter(samples, None, QUICK)
    np.testing.assert_allclose(fitter.weights, 0.5)


@pytest.mark.parametrize("rows", [1, 9, 29])
def test_a_library_too_small_to_teach_leaves_the_sites_alone(rows):
    library = regions(4, 12, first=100)
    few = laboratory_table(library, library.ec).take(np.arange(rows))
    tables = [satellite_table(regions(4, 12)), few]
    settings = replace(QUICK, adaptations=("epo", "ds", "align"))
    report = fit_model(draw_views(tables, settings), settings).report
    assert report["laboratory_weight"] == 0.0


def test_a_library_of_one_of_the_sites_regions_trains():
    pairs = regions(4, 12)
    library = regions(4, 12, first=100)
    table = replace(laboratory_table(library, library.ec), region=np.full(48, pairs.region[0]))
    fitted = fit_model(draw_views([satellite_table(pairs), table], QUICK), QUICK)
    assert "laboratory_weight" in fitted.report


def test_a_teacher_without_a_laboratory_is_refused():
    samples = as_measured(satellite_table(regions(4, 12)))
    fitter = combine.AdaptationFitter(samples, None, QUICK)
    with pytest.raises(FormatError, match="no laboratory spectra"):
        fitter.teacher(np.arange(40), (), np.arange(40, 48))


def test_a_teacher_is_fitted_once_for_what_follows_it_and_anew_for_other_hidden_regions():
    samples = both(8, 20, paired=True)
    sat = samples.satellite
    fitter = combine.AdaptationFitter(samples.take(sat), samples.take(~sat), QUICK)
    region = fitter.satellite.region
    names = np.unique(region)
    folds = [(np.flatnonzero(region != n), np.flatnonzero(region == n)) for n in names[:2]]
    (train, test), (other_train, other_test) = folds
    plain = fitter.teacher(train, (), test).teacher
    assert fitter.teacher(train, ("ds",), test).teacher is plain
    assert fitter.teacher(train, ("epo2",), test).teacher is not plain
    assert fitter.teacher(other_train, (), other_test).teacher is not plain


def test_the_machine_on_sites_answers_with_the_mean_of_machines_of_all_ridges(monkeypatch):
    samples = as_measured(satellite_table(regions(4, 12)))

    def answers() -> Floats:
        fitted = fit_sites(samples.features, samples.target, np.ones(48), tail=4)
        return fitted(samples.features)

    together = answers()
    each = []
    for ridge in SITE_RIDGES:
        monkeypatch.setattr("deepsalt.train.adaptation.sites.SITE_RIDGES", (ridge,))
        each.append(answers())
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-9)
    assert np.ptp(each, axis=0).max() > 0.1
