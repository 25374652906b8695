"""`deepsalt mosaic history|withdraw|rollback|prune`: what they say, and what runs do afterwards."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.errors import DeepsaltError
from deepsalt.export import open_export
from deepsalt.model.load import model_ref
from deepsalt.mosaic import to_prune
from deepsalt.products import read_marker
from deepsalt.store import Store
from deepsalt.types import Acquisition, Asset
from deepsalt.versions import open_repository
from flows.publication import write_items
from tests.flows.conftest import deepsalt
from tests.flows.run.test_pipeline import arrays, assert_same
from tests.store.builders import GRID, acquisition, add_product, scene_grid
from tests.store.builders import published as published_names

A, B, C = "test/a/1", "test/b/1", "test/c/1"


class Small:
    """A tiny store and the catalogue of its scenes; their products are complete already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.catalogue, self.path = folder, folder / "catalogue", folder / "store"

    def add(self, name: str, column: int) -> None:
        ref = model_ref()
        store = Store.create(self.path, grid=GRID, model=ref.digest)
        made = scene(name, column)
        product = add_product(store, made, seed=ord(name), ref=ref)
        write_items(store, made, ref, read_marker(store, product))
        add_items(self.catalogue, [to_item(made)])

    def run(self) -> dict[str, Any]:
        return answer("run", "--catalogue", self.catalogue, "--out", self.path)


def scene(name: str, column: int) -> Acquisition:
    grid = scene_grid(column=column, height=20, width=20)
    return replace(
        acquisition(name, grid=grid), assets=(Asset("image", f"/{name}.tif"),), nodata=-32768.0
    )


def answer(*args: object) -> Any:
    """Return what a call that works says in JSON."""
    result = deepsalt(*args, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refused(*args: object) -> DeepsaltError:
    result = deepsalt(*args)
    assert isinstance(result.exception, DeepsaltError), (result.output, result.exception)
    return result.exception


def assert_sound(store: Path) -> None:
    result = deepsalt("check", store)
    assert result.exit_code == 0, result.output


def scenes_in(small: Small) -> set[str]:
    """Names of the scenes that readers see."""
    return {name.split("_")[1] for name in published_names(Store.open(small.path))}


def assert_bits(store: Path, expected: dict[str, Any]) -> None:
    found = arrays(store)
    assert {n: v.tobytes() for n, v in found.items()} == {
        n: v.tobytes() for n, v in expected.items()
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A store with scenes a and b published in one version, and c in the next."""
    made = Small(tmp_path_factory.mktemp("small"))
    made.add("a", 0)
    made.add("b", 10)
    made.run()
    made.add("c", 90)
    made.run()
    return made


@pytest.fixture
def small(published: Small, tmp_path: Path) -> Small:
    """A copy of it that a test may change."""
    shutil.copytree(published.folder, tmp_path / "small", symlinks=True)
    return Small(tmp_path / "small")


VERBS = (
    "build",
    "history",
    "withdraw",
    "rollback",
    "publish",
    "drop",
    "export",
    "classes",
    "repair",
    "prune",
)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_gives_an_example(verb: str) -> None:
    assert "Example" in deepsalt("mosaic", verb, "--help").output


def test_a_withdrawal_publishes_a_version_without_the_scene(small: Small) -> None:
    out = answer("mosaic", "withdraw", small.path, B)
    assert (out["scenes"], out["mosaic"]["removed"]) == ([B], 1)
    assert scenes_in(small) == {"a", "c"}
    assert_sound(small.path)


def test_a_later_run_leaves_a_withdrawn_scene_out_and_says_why(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B, "--reason", "clouds seen as salt")
    outcome = small.run()
    assert scenes_in(small) == {"a", "c"}
    (left_out,) = [each for each in outcome["scenes"] if each["status"] == "withdrawn"]
    assert (left_out["scene"], left_out["product"]) == (B, "")
    assert "clouds seen as salt" in left_out["reason"]


def test_a_later_build_leaves_a_withdrawn_scene_out(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    answer("mosaic", "build", small.path)
    assert scenes_in(small) == {"a", "c"}


def test_undoing_a_withdrawal_ends_in_the_same_bits(small: Small) -> None:
    before = arrays(small.path)
    answer("mosaic", "withdraw", small.path, B)
    assert answer("mosaic", "withdraw", small.path, B, "--undo")["mosaic"]["added"] == 1
    assert_bits(small.path, before)
    assert_sound(small.path)


@pytest.mark.slow
def test_a_mosaic_without_a_withdrawn_scene_is_that_of_a_run_without_it(
    catalogue: Path, store: Path, tmp_path: Path
) -> None:
    (marker,) = store.glob("records/done/prisma*.json")
    answer("mosaic", "withdraw", store, marker.stem)
    args = ("--catalogue", catalogue, "--collection", "enmap-l2a", "--out", tmp_path / "clean")
    assert deepsalt("run", *args).exit_code == 0
    assert_same(store, tmp_path / "clean")


def test_a_withdrawn_scene_is_not_mapped_by_itself_either(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    (item,) = small.path.glob("collections/test/*/*-b-*.json")
    assert answer("scene", item, "--out", small.path)["status"] == "withdrawn"


def test_the_catalogue_does_not_link_a_withdrawn_scene(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    months = small.path.glob("collections/deepsalt-scene-products/*/catalog.json")
    linked = "".join(path.read_text() for path in months)
    assert ("./enmap_a_1" in linked, "./enmap_b_1" in linked) == (True, False)


def test_a_run_of_withdrawn_scenes_alone_has_nothing_to_do(small: Small, tmp_path: Path) -> None:
    add_items(tmp_path / "b", [to_item(scene("b", 10))])
    answer("mosaic", "withdraw", small.path, B)
    result = deepsalt("run", "--catalogue", tmp_path / "b", "--out", small.path)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"withdrawn    {B}: withdrawn on 20")


def test_unknown_scenes_are_refused_in_a_sentence(small: Small) -> None:
    error = refused("mosaic", "withdraw", small.path, "test/nonsense/1")
    assert error.exit_code == 2
    assert f"has no scene test/nonsense/1; it has {A}, {B}, {C}" in str(error)


def test_a_reason_for_undoing_is_refused(small: Small) -> None:
    error = refused("mosaic", "withdraw", small.path, B, "--undo", "--reason", "x")
    assert error.exit_code == 2


def test_a_rollback_moves_mosaic_and_catalogue(small: Small) -> None:
    (newer,) = small.path.glob("collections/deepsalt-mosaics/*/catalog.json")
    before = newer.read_text()
    published = answer("mosaic", "rollback", small.path)
    assert scenes_in(small) == {"a", "b"}
    assert published["version"] in newer.read_text()
    assert published["version"] not in before


def test_the_history_says_what_was_published_and_why(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    answer("mosaic", "withdraw", small.path, A, "--reason", "bad geolocation")
    events = answer("mosaic", "history", small.path)
    facts = [(e["why"], e["state"], len(e["added"]), len(e["removed"])) for e in events]
    assert facts == [
        ("run", "earlier", 2, 0),
        ("run", "left", 1, 0),
        ("withdrawn: bad geolocation", "published", 0, 1),
    ]


def test_the_history_marks_the_published_version_and_names_few_products(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    lines = deepsalt("mosaic", "history", small.path).stdout.splitlines()
    assert [line[0] for line in lines if not line.startswith("    ")] == ["*", "-"]
    assert lines[-1].startswith("    + enmap_c_1")


def test_a_run_after_a_rollback_adds_what_it_selects(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    small.run()
    assert scenes_in(small) == {"a", "b", "c"}


def test_a_rollback_to_a_version_with_a_withdrawn_scene_is_refused(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B, "--reason", "clouds")
    error = refused("mosaic", "rollback", small.path)
    assert error.exit_code == 2
    assert f"has scene {B}, withdrawn on 20" in str(error)


def test_a_version_that_is_held_waits_until_it_is_published(small: Small) -> None:
    small.add("d", 300)
    held = answer("mosaic", "build", small.path, "--hold")
    assert held["held"] is True
    assert scenes_in(small) == {"a", "b", "c"}
    assert answer("mosaic", "publish", small.path, held["version"])["version"] == held["version"]
    assert scenes_in(small) == {"a", "b", "c", "d"}
    assert_sound(small.path)


def test_a_version_that_is_held_can_be_given_up(small: Small) -> None:
    small.add("d", 300)
    held = answer("mosaic", "build", small.path, "--hold")
    answer("mosaic", "drop", small.path, held["version"])
    assert refused("mosaic", "publish", small.path, held["version"]).exit_code == 2


def test_a_first_version_cannot_be_rolled_back(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    error = refused("mosaic", "rollback", small.path)
    assert error.exit_code == 2
    assert "no version before the published one" in str(error)


def test_pruning_shows_what_would_go(small: Small) -> None:
    old = answer("mosaic", "history", small.path)[0]["id"]
    shown = deepsalt("mosaic", "prune", small.path, "--keep", 1).stdout
    assert f"to remove    version {old}" in shown
    assert "add --yes" in shown
    assert len(answer("mosaic", "history", small.path)) == 2


def test_a_pruned_version_can_be_opened_no_more_and_the_rest_is_sound(small: Small) -> None:
    old = answer("mosaic", "history", small.path)[0]["id"]
    done = answer("mosaic", "prune", small.path, "--keep", 1, "--yes")
    assert (done["versions"], done["removed"]) == ([old], True)
    assert len(answer("mosaic", "history", small.path)) == 1
    error = refused("mosaic", "rollback", small.path, old)
    assert "it may have been pruned" in str(error)
    assert_sound(small.path)


def test_a_repair_makes_what_is_damaged_again(small: Small) -> None:
    before = arrays(small.path)
    assert answer("mosaic", "repair", small.path)["again"] == []
    chunk = max((small.path / "mosaic" / "chunks").iterdir(), key=lambda p: p.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:-9] + b"not a tail")
    assert deepsalt("check", small.path).exit_code == 1
    assert answer("mosaic", "repair", small.path)["again"]
    assert_sound(small.path)
    assert_bits(small.path, before)


def test_a_repair_names_a_damaged_product_and_the_next_run_maps_it(small: Small) -> None:
    (shard,) = small.path.glob("scenes/enmap_a*/salinity/c/0/0")
    shard.write_bytes(shard.read_bytes()[:-9] + b"not a tail")
    result = deepsalt("mosaic", "repair", small.path)
    assert result.exit_code == 3
    assert "run its scene again" in result.stdout
    assert not list(small.path.glob("records/done/enmap_a*"))


def version_shown(store: Path) -> str:
    return str(open_export(store / "mosaic.zarr").attrs["version_id"])


def test_the_export_in_a_store_follows_what_readers_see(small: Small) -> None:
    first, second = (each["id"] for each in answer("mosaic", "history", small.path))
    assert version_shown(small.path) == second
    answer("mosaic", "rollback", small.path)
    assert version_shown(small.path) == first
    withdrawn = answer("mosaic", "withdraw", small.path, B)["mosaic"]["version"]
    assert version_shown(small.path) == withdrawn


def test_a_mosaic_without_scenes_has_no_export_and_is_no_failure(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, A, B, C)
    assert not (small.path / "mosaic.zarr").exists()
    assert answer("mosaic", "build", small.path)["not_exported"] == "the mosaic is empty"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--export", "STORE"), "belongs to the store itself"),
        (("--export", "ELSEWHERE", "--export-keep", "2"), "keeps no older versions"),
        (("--export-keep", "2"), "give both"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_an_export_that_cannot_be_is_refused_before_anything_is_done(
    small: Small, tmp_path: Path, verb: str, options: tuple[str, ...], words: str
) -> None:
    places = {"STORE": small.path, "ELSEWHERE": tmp_path / "elsewhere"}
    given = [places.get(option, option) for option in options]
    error = refused(verb, "--catalogue", small.catalogue, "--out", small.path, *given)
    assert error.exit_code == 2
    assert words in str(error)


def test_a_prune_spares_what_was_withdrawn_today_however_old(
    small: Small,
) -> None:
    answer("mosaic", "withdraw", small.path, B)
    store = Store.open(small.path)
    mosaic = open_repository(store.objects)
    after = datetime.now(UTC) + timedelta(days=29)
    assert to_prune(store, mosaic, keep=1, now=after).products == ()
    month_later = to_prune(store, mosaic, keep=1, now=after + timedelta(days=2)).products
    assert [name.split("_")[1] for name in month_later] == ["b"]


def test_the_catalogue_does_not_link_a_product_that_was_pruned(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("mosaic", "withdraw", small.path, B)
    # The room's function has the name of its module.
    module = import_module("deepsalt.mosaic.prune")
    monkeypatch.setattr(module, "PRODUCTS_AFTER", timedelta(days=-1))
    (gone,) = answer("mosaic", "prune", small.path, "--keep", 1, "--yes")["products"]
    small.add("d", 300)
    small.run()
    months = [*small.path.glob("collections/deepsalt-scene-products/*/catalog.json")]
    assert not [month for month in months if gone in month.read_text()]
    assert_sound(small.path)


def test_a_prune_spares_products_of_versions_that_a_roll_back_left(small: Small) -> None:
    store = Store.open(small.path)
    mosaic = open_repository(store.objects)
    answer("mosaic", "rollback", small.path)
    answer("mosaic", "withdraw", small.path, C)
    after = datetime.now(UTC) + timedelta(days=60)
    assert to_prune(store, mosaic, keep=9, now=after).products == ()


def test_at_least_one_version_is_kept(tmp_path: Path) -> None:
    assert deepsalt("mosaic", "prune", tmp_path, "--keep", 0).exit_code == 2


@pytest.mark.parametrize(
    "args",
    [("rollback",), ("prune", "--keep", "1"), ("withdraw", "x")],
    ids=lambda args: args[0],
)
def test_a_folder_without_a_store_is_bad_input(args: tuple[str, ...], tmp_path: Path) -> None:
    error = refused("mosaic", args[0], tmp_path, *args[1:])
    assert error.exit_code == 2
    assert "not a deepsalt store" in str(error)


@pytest.mark.parametrize(
    ("option", "value", "cause"),
    [("--max-salinity", 0.001, "above 0.001 dS/m"), ("--max-age", 1, "the maximum is 1 days")],
)
def test_a_build_beyond_its_limits_is_refused(
    store: Path, option: str, value: float, cause: str
) -> None:
    shutil.rmtree(store / "mosaic")
    result = deepsalt("mosaic", "build", store, option, value)
    assert "nothing is published" in str(result.exception)
    assert cause in str(result.exception)
    assert deepsalt("mosaic", "history", store).stdout == "nothing has been published yet\n"


def test_a_limit_that_is_no_share_is_bad_usage(store: Path) -> None:
    result = deepsalt("mosaic", "build", store, "--max-missing", 120)
    assert "--max-missing cannot be 120" in str(result.exception)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("build", "`deepsalt check {}`"),
        ("rollback", "`deepsalt mosaic history {}`"),
        ("repair", "`deepsalt check {}`"),
    ],
)
def test_a_verb_ends_with_what_is_next(small: Small, verb: str, words: str) -> None:
    said = deepsalt("mosaic", verb, small.path).stdout.splitlines()[-1]
    assert said.startswith("next")
    assert words.format(small.path) in said
