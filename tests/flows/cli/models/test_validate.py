"""The verb `validate` on a SIMULATED store whose truth is known."""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from deepsalt.accuracy.match import SEEN_ID, SEEN_PLACE
from deepsalt.grid import to_lonlat
from deepsalt.layers import CHANCE, CHANCE_STEP
from deepsalt.model.load import load_student, model_card, model_ref
from deepsalt.model.marks import Marks
from deepsalt.model.memory import Memory
from flows.model_cache import put_model
from tests.accuracy.fields import smooth
from tests.flows.conftest import deepsalt
from tests.model.students import write_tiny
from tests.shared import shared_data
from tests.store.builders import (
    acquisition,
    add_product,
    build,
    chances,
    layers,
    make_store,
    scene_grid,
)

pytest.importorskip("matplotlib")
SIDE = 120


@dataclass(frozen=True)
class World:
    """A store and samples of what it maps."""

    store: Path
    samples: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("validate")
    rng = np.random.default_rng(1)
    truth = np.exp(0.2 + smooth(rng, 30)[:SIDE, :SIDE])
    estimate = truth * np.exp(0.4 * smooth(rng, 15)[:SIDE, :SIDE])
    grid = scene_grid(height=SIDE, width=SIDE)
    product = layers(grid, seed=1)
    salinity = np.where(np.isnan(product.salinity.values), np.nan, estimate).astype(np.float32)
    product["salinity"][:] = salinity
    product["salinity_lower"][:] = salinity / 2.5
    product["salinity_upper"][:] = np.minimum(salinity * 2.5, 400.0)
    product[CHANCE][:] = chances(salinity)
    store = make_store(folder / "store")
    add_product(store, acquisition("a", grid=grid), product)
    build(store)
    row, column = rng.uniform(0, SIDE - 1, (2, 90))
    a, _, left, _, e, upper = grid.transform
    lon, lat = to_lonlat(grid.crs, left + (column + 0.5) * a, upper + (row + 0.5) * e)
    ec = truth[row.astype(int), column.astype(int)] * np.exp(0.2 * rng.normal(size=90))
    samples = folder / "samples.csv"
    pd.DataFrame(
        {
            "id": [f"s{i:02}" for i in range(90)],
            "lon": lon.round(6),
            "lat": lat.round(6),
            "ec": ec.round(4),
            "unit": "dS/m",
            "method": "EC 1:2",
            "date": "2024-05-03",
        }
    ).to_csv(samples, index=False)
    return World(folder / "store", samples)


def changed(world: World, folder: Path, **columns: object) -> Path:
    path = folder / "changed.csv"
    pd.read_csv(world.samples).assign(**columns).to_csv(path, index=False)
    return path


def test_each_sample_has_a_cell_or_a_reason(world: World, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = deepsalt("validate", world.store, world.samples, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["samples"] == 90
    assert told["matched"] + sum(told["unmatched"].values()) == 90
    assert set(told["unmatched"]) == {"cloud", "no measurement there"}
    assert told["cells"] == len(pd.read_csv(tmp_path / "report.cells.csv"))
    assert json.loads((tmp_path / "report.json").read_text()) == told
    left_out = pd.read_csv(tmp_path / "report.left-out.csv")
    assert len(left_out) == 90 - told["matched"]
    assert left_out["reason"].notna().all()


def test_one_method_gives_errors_coverage_and_probabilities_with_intervals(
    world: World, tmp_path: Path
) -> None:
    result = deepsalt(
        "validate", world.store, world.samples, "--out", tmp_path / "report.html", "--json"
    )
    told = json.loads(result.stdout)
    scores = told["scores"]
    assert told["comparable"]
    assert told["simulated"]
    for name in (
        "spearman",
        "r2_recalibrated",
        "r2_log1p",
        "rmse_log1p",
        "bias_log1p",
        "coverage",
        "brier_skill_p_above_1",
        "average_precision_p_above_1",
    ):
        assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"], name
    assert 0.5 < scores["spearman"] < 1.0
    assert sum(each["cells"] for each in told["classes"]) == told["cells"]


@pytest.mark.parametrize("method", ["ECe", ""], ids=["another", "none stated"])
def test_unlike_methods_give_ranks_alone_and_say_why(
    world: World, tmp_path: Path, method: str
) -> None:
    path = changed(world, tmp_path, method=method)
    out = tmp_path / "report.html"
    told = json.loads(deepsalt("validate", world.store, path, "--out", out, "--json").stdout)
    assert not told["comparable"]
    assert "no bias, RMSE or coverage" in told["notes"][0]
    assert {name for name in told["scores"] if not name.endswith(("_low", "_high"))} == {
        "spearman",
        "average_precision_top_fifth",
        "r2_recalibrated",
        "rmse_log_recalibrated",
    }
    assert told["classes"] == []
    assert "no bias, RMSE or coverage" in out.read_text()


def test_a_conversion_of_the_user_makes_labels_comparable_and_carries_its_error(
    world: World, tmp_path: Path
) -> None:
    ec = pd.read_csv(world.samples)["ec"]
    path = changed(world, tmp_path, method="ECe", ec=(ec * 2.5).round(4))
    out = tmp_path / "report.html"
    plain = json.loads(
        deepsalt("validate", world.store, world.samples, "--out", out, "--json").stdout
    )["scores"]
    found = json.loads(
        deepsalt(
            "validate", world.store, path, "--convert", "0.4,0.3", "--out", out, "--json"
        ).stdout
    )["scores"]
    assert np.isclose(found["bias_log1p"], plain["bias_log1p"], atol=1e-3)
    assert found["bias_log1p_high"] > plain["bias_log1p_high"]
    assert found["coverage_with_label_error"] >= found["coverage"]


def with_model(world: World, folder: Path, marks: Marks) -> Path:
    """A store of the same map, by a model whose card has these marks."""
    ref = model_ref(write_tiny(folder / "model", marks=marks))
    grid = scene_grid(height=SIDE, width=SIDE)
    store = make_store(folder / "store", ref=ref)
    product = layers(grid, seed=1)
    add_product(store, acquisition("a", grid=grid), product, ref=ref)
    build(store)
    put_model(store.objects, ref)
    return folder / "store"


def test_samples_that_the_model_was_trained_on_do_not_count(world: World, tmp_path: Path) -> None:
    frame = pd.read_csv(world.samples)
    empty = np.zeros(0)
    by_name = Marks.of(frame["id"][:20], empty, empty)
    by_place = Marks.of([], frame["lon"][20:50].to_numpy(), frame["lat"][20:50].to_numpy())
    store = with_model(world, tmp_path, Marks(by_name.ids, by_place.places))
    out = tmp_path / "report.html"
    for where, options in ((store, ()), (store, ("--model", tmp_path / "model"))):
        told = json.loads(
            deepsalt("validate", where, world.samples, "--out", out, "--json", *options).stdout
        )
        assert told["unmatched"][SEEN_ID] == 20
        assert told["unmatched"][SEEN_PLACE] >= 30
        assert not any("does not say which samples" in note for note in told["notes"])


def test_a_card_without_marks_is_noted(world: World, tmp_path: Path) -> None:
    told = json.loads(
        deepsalt(
            "validate", world.store, world.samples, "--out", tmp_path / "r.html", "--json"
        ).stdout
    )
    assert any("does not say which samples" in note for note in told["notes"])


@pytest.fixture(scope="module")
def mapped(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store of a SIMULATED map by a model of its own, and ECe at a line through its location."""
    folder = tmp_path_factory.mktemp("mapped")
    ref = model_ref(write_tiny(folder / "model", marks=Marks("ab" * 6, "cd" * 6)))
    own = load_student(ref)
    rng = np.random.default_rng(3)
    grid = scene_grid(height=SIDE, width=SIDE)
    location = 0.3 + 0.8 * smooth(rng, 20)[:SIDE, :SIDE]
    answers = np.stack([location.ravel(), np.full(location.size, -0.5)]).astype(np.float32)
    values = own.respond(torch.from_numpy(answers), own.nodes, own.intervals, own.chances, Memory())
    product = layers(grid, seed=1)
    known = np.isfinite(product.salinity.values)
    names = ("salinity", "salinity_lower", "salinity_upper")
    said = torch.stack(values).numpy().reshape(-1, SIDE, SIDE)
    for name, value in zip(names, said[: len(names)], strict=True):
        product[name][:] = np.where(known, value, product[name].values)
    stored = np.rint(said[len(names) :] / CHANCE_STEP)
    product[CHANCE][:] = np.where(known, stored, product[CHANCE].values)
    store = make_store(folder / "store", ref=ref)
    add_product(store, acquisition("a", grid=grid), product, ref=ref)
    build(store)
    put_model(store.objects, ref)
    frame = pd.read_csv(world.samples)
    row, column = rng.integers(0, SIDE, (2, 90))
    a, _, left, _, e, upper = grid.transform
    lon, lat = to_lonlat(grid.crs, left + (column + 0.5) * a, upper + (row + 0.5) * e)
    ec = np.exp(1.0 + 0.7 * location[row, column] + 0.2 * rng.normal(size=90)) - 0.03
    samples = folder / "samples.csv"
    frame.assign(lon=lon, lat=lat, ec=ec, method="ECe").to_csv(samples, index=False)
    return World(folder / "store", samples)


def test_a_map_is_recalibrated_to_a_model_of_the_samples_method(
    mapped: World, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    options = ("--out", tmp_path / "r.html", "--recalibrate", out, "--json")
    result = deepsalt("validate", mapped.store, mapped.samples, *options)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["model"]
    assert told["ec_method"] == "ECe"
    assert told["chosen"]["level"] == pytest.approx(1.0, abs=0.15)
    assert told["chosen"]["slope"] == pytest.approx(0.7, abs=0.15)
    own, of_map = (score["metrics"]["r2_log1p"] for score in told["scores"][:2])
    assert own > 0.6 > of_map
    card = model_card(model_ref(out))
    assert card.marks.has_id(["s05"]).all()
    assert {"ab" * 6, "cd" * 6} <= {*card.marks.ids.split(), *card.marks.places.split()}
    assert load_student(model_ref(out)).nodes.numel()


def test_the_recalibrated_model_is_told_with_its_scores_and_the_next_run(
    mapped: World, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    options = ("--out", tmp_path / "r.html", "--recalibrate", out)
    lines = deepsalt("validate", mapped.store, mapped.samples, *options).stdout.splitlines()
    assert "model tiny-recalibrated: ECe" in lines
    assert any("SIMULATED cells of a map" in line for line in lines)
    assert lines[-1].startswith("next: `deepsalt run --catalogue CATALOGUE --model ")


def test_samples_of_a_recalibration_do_not_validate_its_maps(mapped: World, tmp_path: Path) -> None:
    out = tmp_path / "model"
    deepsalt(
        "validate",
        mapped.store,
        mapped.samples,
        "--out",
        tmp_path / "r.html",
        "--recalibrate",
        out,
    )
    used = pd.read_csv(mapped.samples)
    inside = pd.read_csv(tmp_path / "r.cells.csv")["samples"].str.split("+").explode()
    used = used[used["id"].isin(inside)]
    marks = model_card(model_ref(out)).marks
    assert len(used) > 50
    assert marks.has_place(used["lon"].to_numpy(), used["lat"].to_numpy()).all()


def test_a_recalibration_on_one_block_is_refused_and_the_report_written(
    mapped: World, tmp_path: Path
) -> None:
    frame = pd.read_csv(mapped.samples)
    place = frame[["lon", "lat"]]
    near = place.median() + (place - place.median()) * 0.15
    path = changed(mapped, tmp_path, lon=near["lon"], lat=near["lat"])
    out = tmp_path / "r.html"
    result = deepsalt("validate", mapped.store, path, "--out", out, "--recalibrate", tmp_path / "m")
    assert "and blocks of them 1; it needs 10 cells and 8 blocks" in str(result.exception)
    assert out.exists()
    assert not (tmp_path / "m").exists()


def test_a_map_without_its_model_asks_for_it(world: World, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "r.html", "--recalibrate", tmp_path / "m")
    result = deepsalt("validate", world.store, world.samples, *options)
    assert "is neither shipped nor in" in str(result.exception)


def test_a_model_that_did_not_make_the_map_is_refused(world: World, tmp_path: Path) -> None:
    other = write_tiny(tmp_path / "model")
    out = tmp_path / "r.html"
    result = deepsalt("validate", world.store, world.samples, "--out", out, "--model", other)
    assert "give its own model" in str(result.exception)


def test_units_and_method_may_be_given_for_the_whole_table(world: World, tmp_path: Path) -> None:
    frame = pd.read_csv(world.samples).drop(columns=["unit", "method"])
    frame["ec"] = (frame["ec"] * 1000).round(1)
    path = tmp_path / "bare.csv"
    frame.to_csv(path, index=False)
    out = tmp_path / "report.html"
    options = ("--unit", "uS/cm", "--method", "EC 1:2", "--out", out, "--json")
    told = json.loads(deepsalt("validate", world.store, path, *options).stdout)
    assert told["comparable"]
    assert abs(told["scores"]["bias_log1p"]) < 0.5


class Sources(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_report_asks_for_nothing_and_says_simulated(world: World, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    deepsalt("validate", world.store, world.samples, "--out", out)
    page = out.read_text()
    sources = Sources()
    sources.feed(page)
    assert len(sources.found) == 3
    assert all(each.startswith("data:image/png;base64,") for each in sources.found)
    assert not {"script", "link", "iframe"} & sources.tags
    assert not re.search(r"url\(|@import", page)
    assert "SIMULATED" in page


def test_foreign_text_is_shown_and_not_run(world: World, tmp_path: Path) -> None:
    path = changed(world, tmp_path, method="<script>alert(1)</script>")
    out = tmp_path / "report.html"
    deepsalt("validate", world.store, path, "--out", out)
    assert "<script" not in out.read_text()


def test_the_lines_end_with_the_report_and_what_next(world: World, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    lines = deepsalt("validate", world.store, world.samples, "--out", out).stdout.splitlines()
    assert lines[0].startswith("90 samples, ")
    assert lines[0].endswith(" blocks")
    assert any(line.split()[:1] == ["cloud"] for line in lines)
    assert any(line.startswith("Spearman's correlation") for line in lines)
    assert any(line.startswith("residuals due to support") for line in lines)
    assert lines[-2].startswith(f"report: {out}")
    assert lines[-1].startswith("next: open ")


def test_without_a_match_there_is_no_report_and_a_reason_for_each(
    world: World, tmp_path: Path
) -> None:
    path = changed(world, tmp_path, lon=10.0)
    out = tmp_path / "report.html"
    result = deepsalt("validate", world.store, path, "--out", out)
    assert result.exit_code == 1
    assert "no sample has a cell" in result.stdout
    assert not out.exists()
    assert set(pd.read_csv(tmp_path / "report.left-out.csv")["reason"]) == {"outside the mosaic"}


def rows_of(world: World, folder: Path, chosen: pd.Series) -> Path:
    path = folder / "some.csv"
    pd.read_csv(world.samples)[chosen].to_csv(path, index=False)
    return path


def test_one_point_has_an_error_and_no_interval(world: World, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    first = json.loads(
        deepsalt("validate", world.store, world.samples, "--out", out, "--json").stdout
    )
    assert first["cells"] > 1
    name = pd.read_csv(tmp_path / "report.cells.csv")["samples"][0]
    path = rows_of(world, tmp_path, pd.read_csv(world.samples)["id"] == name)
    result = deepsalt("validate", world.store, path, "--out", out, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["cells"] == 1
    assert "bias_dsm" in told["scores"]
    assert not [name for name in told["scores"] if name.endswith("_low")]
    assert any("scores have none" in note for note in told["notes"])


def test_points_in_one_block_have_scores_and_no_interval(world: World, tmp_path: Path) -> None:
    frame = pd.read_csv(world.samples)
    place = frame[["lon", "lat"]]
    near = place.median() + (place - place.median()) * 0.15
    path = changed(world, tmp_path, lon=near["lon"], lat=near["lat"])
    out = tmp_path / "report.html"
    told = json.loads(deepsalt("validate", world.store, path, "--out", out, "--json").stdout)
    assert told["blocks"]["count"] == 1
    assert "spearman" in told["scores"]
    assert not [name for name in told["scores"] if name.endswith("_low")]
    assert any("the cells are one block" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "report.txt"), "is no HTML file"),
        (("--out", "nowhere/report.html"), "does not exist"),
        (("--period", "2020-01-01"), "no period of the mosaic holds 2020-01-01"),
        (("--period", "spring"), "--period is a day"),
        (("--days", "400"), "--any-date matches all the same"),
        (("--convert", "2"), "--convert is FACTOR,SD_LOG"),
        (("--convert", "2,0.3"), "leave out --convert"),
        (("--convert", "2,0.3", "--recalibrate", "m"), "the samples' own EC and method"),
        (("--version", "nothing"), "nothing"),
        (("--ec", "salt"), "has no column salt"),
        (("--crs", "EPSG:1"), "EPSG:1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_refused(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = deepsalt("validate", world.store, world.samples, *options)
    assert said in str(result.exception)
    assert getattr(result.exception, "exit_code", 2) == 2
    assert not list(tmp_path.iterdir())


def test_a_place_without_a_mosaic_is_refused(world: World, tmp_path: Path) -> None:
    result = deepsalt("validate", tmp_path / "none", world.samples, "--out", tmp_path / "r.html")
    assert getattr(result.exception, "exit_code", None) == 2


@pytest.mark.parametrize(
    ("table", "options", "unmatched"),
    [
        (
            ("usgs-ucrb-ec", "ucrb_ec.csv.gz"),
            ("--ec", "ec_1_2_ds_m", "--method", "EC 1:2"),
            "the layer begins below 5 cm",
        ),
        (
            ("afsis-cropnuts-ec", "afsis_cropnuts_ec_georef.csv.gz"),
            ("--method", "EC 1:2"),
            "the layer begins below 5 cm",
        ),
    ],
    ids=["usgs", "afsis"],
)
def test_real_tables_of_samples_are_read_and_moved_over_a_simulated_map(
    world: World, tmp_path: Path, table: tuple[str, str], options: tuple[str, ...], unmatched: str
) -> None:
    frame = pd.read_csv(shared_data(*table), low_memory=False)
    names = {name.lower(): name for name in frame.columns}
    lon = names.get("lon") or names["longitude"]
    lat = names.get("lat") or names["latitude"]
    # Real campaigns keep their order and soils; their places shrink onto the simulated ground.
    target = pd.read_csv(world.samples)[["lon", "lat"]].agg(["min", "max"])
    for column, own in ((lon, "lon"), (lat, "lat")):
        rank = frame[column].rank(pct=True)
        low, high = target[own]
        frame[column] = low + (high - low) * rank
    path = tmp_path / "real.csv"
    frame.to_csv(path, index=False)
    out = tmp_path / "report.html"
    result = deepsalt("validate", world.store, path, *options, "--any-date", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["matched"] > 100
    assert told["unmatched"][unmatched] > 100
    assert told["comparable"]
    assert abs(told["scores"]["spearman"]) < 0.5  # the map knows nothing of these soils
