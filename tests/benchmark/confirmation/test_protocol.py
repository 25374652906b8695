"""The protocol: deterministic, resumable, without leaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepsalt.benchmark import rows
from deepsalt.benchmark.confirmation import protocol as module
from deepsalt.benchmark.confirmation.protocol import PAGE, TABLES, Protocol, run_protocol
from deepsalt.benchmark.data import Design, draw_sites, draw_training, simulate_world
from deepsalt.benchmark.published.method import PublishedConfig
from deepsalt.benchmark.rows import Budget, confirmation_rows
from deepsalt.errors import UsageError
from deepsalt.model.load import model_ref
from deepsalt.progress import Silent
from deepsalt.train.config import Settings
from deepsalt.train.student.base import Base

TINY = Design(regions=2, sites=9, library=1, sizes=(6, 9), seeds=2)
SETTINGS = Settings().quick()


class Counted(Silent):
    """Remembers how many cells were announced and done."""

    def __init__(self):
        self.total = self.done = 0

    def start(self, stage, total, *, size_bytes=0):
        self.total = total

    def advance(self, stage, units=1, *, size_bytes=0):
        self.done += units


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the protocol on tiny worlds, with a fit in every row's place."""

    def start(fit, out="out", **changes):
        known = [replace(row, fit=fit) for row in confirmation_rows(SETTINGS)]
        # Cells are named by their fit, so rows of one fit share theirs, unless settings differ.
        several = [replace(row, settings=replace(SETTINGS, seed=i)) for i, row in enumerate(known)]
        monkeypatch.setattr(module, "confirmation_rows", lambda settings: several)
        progress = Counted()
        asked = Protocol(tmp_path / out, "c", SETTINGS, TINY, ("enmap",), rehearsal=True)
        run_protocol(replace(asked, **changes), progress)
        return tmp_path / out, progress

    return start


def constant(views, test, budget):
    return {"ec": np.full(len(test), float(views.sites.ec.mean()))}


def test_a_second_run_says_the_same_and_computes_nothing(run):
    folder, first = run(constant)
    before = [(folder / name).read_bytes() for name in (PAGE, TABLES)]
    _, second = run(constant)
    assert first.total == first.done == 2 * 2 * len(confirmation_rows(SETTINGS))
    assert second.total == 0
    assert [(folder / name).read_bytes() for name in (PAGE, TABLES)] == before


def test_the_same_worlds_give_the_same_page_in_another_folder(run):
    one, other = (run(constant, out)[0] for out in ("a", "b"))
    assert (one / PAGE).read_bytes() == (other / PAGE).read_bytes()


def test_a_stopped_run_leaves_no_page_and_goes_on_where_it_was(run, tmp_path):
    calls = []

    def stopped(views, test, budget):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return constant(views, test, budget)

    with pytest.raises(KeyboardInterrupt):
        run(stopped)
    assert not (tmp_path / "out" / PAGE).exists()
    folder, progress = run(stopped)
    assert progress.total == 2 * 2 * len(confirmation_rows(SETTINGS)) - 5
    assert (folder / PAGE).exists()
    assert not list((folder / "cells").glob(".*"))


def test_more_worlds_keep_the_cells_of_the_fewer(run):
    run(constant)
    _, progress = run(constant, design=replace(TINY, seeds=3))
    assert progress.total == 2 * len(confirmation_rows(SETTINGS))


def test_cells_of_other_sources_are_not_mixed_in(run, monkeypatch):
    _, before = run(constant)
    monkeypatch.setattr(module, "sources_digest", lambda: "other sources")
    _, after = run(constant)
    assert after.total == before.total


def test_no_row_sees_a_region_that_is_scored(run):
    calls = []

    def spy(views, test, budget):
        calls.append((views, test))
        return constant(views, test, budget)

    run(spy)
    assert calls
    for views, test in calls:
        trained = {*views.sites.region, *views.laboratory.region}
        assert not trained & set(test.region)
        assert not {*views.sites.site, *views.laboratory.site} & set(test.site)


def test_a_part_of_the_confirmation_is_refused():
    with pytest.raises(UsageError, match="12 worlds"):
        Protocol(Path("x"), design=replace(TINY, seeds=3))


class AskedToFitError(Exception):
    """What a fit was given."""


@pytest.fixture(scope="module")
def given():
    """Return what each row with a laboratory gives to the fit: samples and the model before."""
    world = simulate_world(TINY, 0)
    views = draw_training(draw_sites(world.pool, 9, 0), world.library, SETTINGS)
    budget = Budget(SETTINGS, PublishedConfig(), Base.of(model_ref()))
    patch = pytest.MonkeyPatch()

    def caught(samples, settings, base):
        raise AskedToFitError(samples, base)

    patch.setattr(rows, "fit_model", caught)
    found = {}
    for row in confirmation_rows(SETTINGS)[6:]:
        with pytest.raises(AskedToFitError) as seen:
            row.fit(views, views.sites, budget)
        found[row.name] = seen.value.args
    patch.undo()
    return found, budget.base


def test_the_product_has_to_beat_the_shipped_model_and_the_sites_alone_have_none(given):
    found, base = given
    assert found[rows.PRODUCT][1] is base
    assert found[rows.SITES_ONLY][1] is None
    assert found[rows.SITES_ONLY][0].satellite.all()


def test_a_random_teacher_knows_nothing_from_any_laboratory(given):
    found, base = given
    samples, stranger = found[rows.CONTROL_TEACHER]
    truth = found[rows.PRODUCT][0]
    lab = ~truth.satellite
    assert np.array_equal(samples.ec[~lab], truth.ec[~lab])
    assert not set(samples.ec[lab]) & set(truth.ec[lab]) - {truth.ec[lab].max()}
    features = truth.features[~lab]
    assert not np.allclose(stranger.location(features), base.location(features), atol=0.1)


def test_permuted_labels_are_those_of_other_samples(given):
    found, base = given
    samples, same = found[rows.CONTROL_LABELS]
    truth = found[rows.PRODUCT][0]
    lab = ~truth.satellite
    assert same is base
    assert sorted(samples.ec) == sorted(truth.ec)
    assert np.array_equal(samples.ec[~lab], truth.ec[~lab])
    assert (samples.ec[lab] != truth.ec[lab]).mean() > 0.8


def test_wrong_pairs_change_the_partners_alone(given):
    found, base = given
    samples, same = found[rows.CONTROL_PAIRS]
    truth = found[rows.PRODUCT][0]
    assert same is base
    assert not np.array_equal(samples.partner, truth.partner)
    assert sorted(samples.partner) == sorted(truth.partner)
    assert np.array_equal(samples.ec, truth.ec)
