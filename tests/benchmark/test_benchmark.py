"""The benchmark: no leaks, kept cells, scores, a report that says what is simulated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepsalt.benchmark import rows
from deepsalt.benchmark.baselines import BASELINES
from deepsalt.benchmark.cells import UNSEEN, SplitAnswers, cell, real_blocks, simulated_blocks
from deepsalt.benchmark.data import (
    Design,
    default_table,
    draw_sites,
    draw_training,
    real_folds,
    simulate_world,
)
from deepsalt.benchmark.published.method import PublishedConfig
from deepsalt.benchmark.report import markdown, score_all
from deepsalt.benchmark.rows import CEILING, PLS, Budget, Row, real_rows, simulated_rows
from deepsalt.benchmark.run import BenchmarkConfig
from deepsalt.errors import UsageError
from deepsalt.progress import Silent
from deepsalt.train.config import Settings
from tests.train.soils import soil_samples

SETTINGS = Settings().quick()
BUDGET = Budget(SETTINGS, PublishedConfig().quick())
SMALL = Design(regions=2, sites=12, library=2, sizes=(6, 12), seeds=1)
RNG = np.random.default_rng(0)
SEEN = RNG.normal(size=200)
GROUPS = np.repeat([f"g{i}" for i in range(20)], 10)


@pytest.fixture(scope="module")
def world():
    return simulate_world(SMALL, 0)


def spy(calls):
    def fit(training, test, budget):
        calls.append((training, test))
        return {"ec": np.full(len(test), 0.1)}

    return Row("spy", "", fit, SETTINGS, True)


def test_real_rows_never_see_a_group_that_is_scored(tmp_path):
    samples, calls = soil_samples(), []
    folds = real_folds(samples, 3, 3, 0)
    real_blocks(tmp_path, samples, folds, [spy(calls)], budget=BUDGET, progress=Silent())
    assert len(calls) == 6
    for training, test in calls:
        assert not set(training.group) & set(test.group)
    for training, test in calls[3:]:
        assert not set(training.region) & set(test.region)


def test_simulated_rows_never_see_a_scored_site_nor_an_unseen_region(tmp_path):
    calls = []
    row = spy(calls)
    blocks, _ = simulated_blocks(tmp_path, SMALL, [row], budget=BUDGET, progress=Silent())
    unseen = {name.split(", ")[1] for b in blocks if b.split == UNSEEN for name in b.group}
    for views, test in calls:
        seen = set(views.sites.region) | set(views.laboratory.region)
        assert not set(views.sites.site) & set(test.site)
        assert not seen & unseen
        scored = {name.split("/")[-1] for name in test.site}
        assert not scored & set(views.laboratory.site)


def test_only_the_ceiling_trains_in_unseen_regions_and_on_other_sites(tmp_path):
    calls = []
    row = replace(spy(calls), name=CEILING)
    blocks, _ = simulated_blocks(tmp_path, SMALL, [row], budget=BUDGET, progress=Silent())
    assert {b.split for b in blocks} == {UNSEEN}
    unseen = {name.split(", ")[1] for b in blocks for name in b.group}
    for views, test in calls:
        assert set(views.sites.region) <= unseen
        assert not set(views.sites.site) & set(test.site)


def test_more_sites_hold_the_fewer(world):
    few, more = (set(draw_sites(world.pool, size, 0).sample) for size in (4, 9))
    assert few < more


def test_training_sites_bring_their_own_laboratory_samples(world):
    views = draw_training(draw_sites(world.pool, 6, 0), world.library, SETTINGS)
    assert set(views.sites.partner) <= set(views.laboratory.site)


def test_the_library_has_regions_of_its_own(world):
    others = set(world.pool.region) | set(world.unseen.region)
    assert not set(world.library.region) & others


def test_a_cell_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"ec": np.arange(3.0)}

    found = [cell(tmp_path, spy([]), BUDGET, ("data", 1), compute) for _ in range(2)]
    assert len(calls) == 1
    assert np.array_equal(found[0]["ec"], found[1]["ec"])


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off"], ids=["empty", "cut off"])
def test_a_cell_that_was_cut_off_is_computed_again(tmp_path, damage):
    cell(tmp_path, spy([]), BUDGET, ("data",), lambda: {"ec": np.zeros(1)})
    next(tmp_path.glob("*.npz")).write_bytes(damage)
    again = cell(tmp_path, spy([]), BUDGET, ("data",), lambda: {"ec": np.ones(1)})
    assert again["ec"][0] == 1.0


def test_other_settings_are_another_cell(tmp_path):
    row = spy([])
    other = replace(row, settings=replace(SETTINGS, inducing_points=65))
    for one in (row, other):
        cell(tmp_path, one, BUDGET, ("data",), lambda: {"ec": np.zeros(1)})
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_permuted_labels_stay_with_their_sample():
    names = np.array(["a", "b", "c", "d"] * 5)
    ec = np.tile([1.0, 2.0, 3.0, 4.0], 5)
    found = rows.permuted_labels(names, ec, 0)
    assert sorted(set(found)) == [1.0, 2.0, 3.0, 4.0]
    assert all(len(set(found[names == name])) == 1 for name in "abcd")
    assert not np.array_equal(found, ec)


def test_pairs_are_rows_of_one_name():
    sat, lab = np.array(["a", "", "c", "x"]), np.array(["c", "a", "b"])
    assert rows.rows_of_one_name(sat, lab).tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize("quick", [True, False])
def test_rows_have_names_of_their_own_and_start_with_closed_forms(quick):
    for known in (real_rows(SETTINGS, quick=quick), simulated_rows(SETTINGS, quick=quick)):
        names = [row.name for row in known]
        assert len(set(names)) == len(names)
        closed = [name in BASELINES for name in names]
        assert closed == sorted(closed, reverse=True)
        assert sum(closed) >= 7


def test_a_missing_table_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(UsageError, match="--lab TABLE"):
        default_table({"DEEPSALT_SHARED_DATA": str(tmp_path)})


def test_unknown_parts_are_refused():
    with pytest.raises(UsageError, match="real, simulated"):
        BenchmarkConfig(Path("x"), Path("y"), parts=("reel",))


def block(row, shift, part="real", view="laboratory"):
    ec = np.expm1(np.abs(SEEN))
    fold = np.arange(200) // 100
    return SplitAnswers(part, "unseen profiles", row, view, 0, ec, GROUPS, fold, {"ec": ec + shift})


def test_the_lead_on_real_spectra_is_over_pls():
    found = score_all([block(PLS, 0.5), block("better", 0.1), block("worse", 1.0)], (), 50)
    assert {r["lead"]["over"] for r in found} == {PLS}
    assert found[1]["lead"]["low"] > 0 > found[2]["lead"]["high"]


def test_the_lead_on_simulated_sites_is_over_the_best_without_a_laboratory():
    rows = [block(name, s, "simulated") for name, s in (("a", 0.9), ("b", 0.3), ("full", 0.1))]
    found = score_all(rows, ("a", "b"), 50)
    assert {r["lead"]["over"] for r in found} == {"b"}


def test_every_heading_of_simulated_numbers_says_so():
    blocks = [block(PLS, 0.5), block("a", 0.1, "simulated", "SIMULATED enmap")]
    blocks[1] = replace(blocks[1], split=UNSEEN, size=60)
    report = {
        "command": "deepsalt benchmark --out x",
        "version": "0",
        "quick": False,
        "rows": {"real": {PLS: ""}, "simulated": {"a": ""}},
        "data": {},
        "scores": score_all(blocks, ("a",), 20),
        "speed": {
            "ours, float32": {
                "pixels_per_s": 2.0,
                "bands": 224.0,
                "macs_per_pixel": 1.0,
                "gain_of_bfloat16_products": 0.5,
            },
            "published, float32": {"pixels_per_s": 1.0},
        },
    }
    text = markdown(report)
    assert "`deepsalt benchmark --out x`" in text
    second = text[text.index("## Part 2") : text.index("## Speed")]
    headings = [line for line in second.splitlines() if line.startswith("#")]
    assert headings
    assert all("SIMULATED" in heading for heading in headings)
