"""`deepsalt mosaic history|withdraw|rollback|prune`: what they say, and what runs do afterwards."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.errors import DeepsaltError
from deepsalt.model.load import model_ref
from deepsalt.products import read_marker
from deepsalt.store import Store, current_version
from deepsalt.types import Acquisition, Asset
from flows.publication import publish_product
from tests.flows.conftest import deepsalt
from tests.flows.test_pipeline import arrays, assert_same
from tests.store.builders import GRID, acquisition, add_product, scene_grid

A, B, C = "test/a/1", "test/b/1", "test/c/1"


class Small:
    """A tiny store and the catalogue of its scenes; their products are complete already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.catalogue, self.path = folder, folder / "catalogue", folder / "store"

    def add(self, name: str, column: int) -> None:
        ref = model_ref()
        store = Store.create(self.path, grid=GRID, model=ref.digest)
        made = scene(name, column)
        product = add_product(store.scenes, made, seed=ord(name), ref=ref)
        publish_product(store, read_marker(store.scenes / f"{product}.zarr"), made, ref)
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


@pytest.mark.parametrize("verb", ["build", "history", "withdraw", "rollback", "repair", "prune"])
def test_help_of_each_verb_gives_an_example(verb: str) -> None:
    assert "Example" in deepsalt("mosaic", verb, "--help").output


def test_a_withdrawal_publishes_a_version_without_the_scene(small: Small) -> None:
    out = answer("mosaic", "withdraw", small.path, B)
    assert (out["scenes"], out["mosaic"]["products"]) == ([B], 2)
    assert_sound(small.path)


def test_a_later_run_leaves_a_withdrawn_scene_out_and_says_why(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B, "--reason", "clouds seen as salt")
    outcome = small.run()
    (left_out,) = [each for each in outcome["scenes"] if each["status"] == "withdrawn"]
    assert (left_out["scene"], left_out["product"]) == (B, "")
    assert "clouds seen as salt" in left_out["reason"]
    assert outcome["mosaic"]["products"] == 2


def test_a_later_build_leaves_a_withdrawn_scene_out(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    assert answer("mosaic", "build", small.path)["products"] == 2


@pytest.mark.parametrize("pictured", [True, False])
def test_a_published_tile_that_is_damaged_does_not_keep_new_scenes_from_readers(
    pictured: bool, small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    shards = (small.path / "mosaic.zarr").resolve().glob("salinity/c/**/*")
    path = next(path for path in shards if path.is_file())
    path.write_bytes(path.read_bytes()[:-9] + b"not a tail")
    if not pictured:
        for picture in small.path.glob("records/versions/*/tiles/**/*.picture"):
            picture.unlink()
    small.add("d", 300)
    assert small.run()["mosaic"]["products"] == 4
    assert ("it is drawn as not measured, run `deepsalt check`" in caplog.text) is not pictured
    assert deepsalt("check", small.path).exit_code == 1


def unwritten(shard: Path) -> Path:
    """Return where a shard without data of the same store would lie."""
    version = current_version(Store.open(shard.parents[6]))
    assert version is not None
    paths = {
        name: path
        for each in version.layout.tile_manifests()
        for name, path in version.layout.shard_paths(each.period, each.tile).items()
    }
    path = next(path for path in paths.values() if not path.exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def first_shard(store: Path) -> Path:
    shards = (store / "mosaic.zarr").resolve().glob("salinity/c/**/*")
    return next(path for path in sorted(shards) if path.is_file())


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9] + b"not a tail"),
        lambda path: unwritten(path).write_bytes(b"nobody's"),
    ],
    ids=["lost", "emptied", "damaged", "not needed"],
)
def test_a_repair_makes_what_is_damaged_again(small: Small, harm: Callable[[Path], object]) -> None:
    before = arrays(small.path)
    assert answer("mosaic", "repair", small.path)["repaired"] == {}
    harm(first_shard(small.path))
    assert deepsalt("check", small.path).exit_code == 1
    told = answer("mosaic", "repair", small.path)
    assert told["repaired"]
    assert_sound(small.path)
    assert_bits(small.path, before)
    assert not list(small.path.glob("versions/*.repair"))


def test_a_repair_mends_the_versions_that_share_the_damage(small: Small) -> None:
    small.add("d", 300)
    small.run()
    older = answer("mosaic", "history", small.path)[-2]["id"]
    path = first_shard(small.path)
    assert path.stat().st_nlink == 2
    path.write_bytes(b"damaged in both")
    assert len(answer("mosaic", "repair", small.path)["repaired"]) == 2
    answer("mosaic", "rollback", small.path, older)
    assert_sound(small.path)


def test_what_cannot_be_repaired_is_named_and_the_rest_is_mended(small: Small) -> None:
    small.add("d", 300)
    small.run()
    version = current_version(Store.open(small.path))
    assert version is not None
    tiles = [tile for tile in version.layout.tile_manifests() if any(d for _, d in tile.shards)]
    for tile in tiles:
        next(
            path
            for path in version.layout.shard_paths(tile.period, tile.tile).values()
            if path.exists()
        ).unlink()
    (small.path / "scenes" / f"{tiles[0].products[0]}.zarr" / "complete.json").unlink()
    result = deepsalt("mosaic", "repair", small.path, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 3
    assert "complete.json" in told["failed"][version.id][f"all {tiles[0].tile.id}"]
    assert f"all {tiles[-1].tile.id}" in told["repaired"][version.id]
    assert not list(small.path.glob("versions/*.repair"))
    shown = deepsalt("mosaic", "repair", small.path)
    assert f"damaged      version {version.id}: all {tiles[0].tile.id}: " in shown.stdout


def test_a_tile_of_another_algorithm_is_not_repaired_by_this_one(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_shard(small.path).unlink()
    monkeypatch.setattr("deepsalt.mosaic.tile.ALGORITHM_VERSION", 99)
    result = deepsalt("mosaic", "repair", small.path)
    assert result.exit_code == 3
    assert "another version of deepsalt" in result.stdout


def test_undoing_a_withdrawal_ends_in_the_same_bits(small: Small) -> None:
    before = arrays(small.path)
    answer("mosaic", "withdraw", small.path, B)
    assert answer("mosaic", "withdraw", small.path, B, "--undo")["mosaic"]["products"] == 3
    assert_bits(small.path, before)
    assert_sound(small.path)


@pytest.mark.slow
def test_a_mosaic_without_a_withdrawn_scene_is_that_of_a_run_without_it(
    catalogue: Path, store: Path, tmp_path: Path
) -> None:
    (scene,) = store.glob("scenes/prisma*.zarr")
    answer("mosaic", "withdraw", store, scene.stem)
    args = ("--catalogue", catalogue, "--collection", "enmap-l2a", "--out", tmp_path / "clean")
    assert deepsalt("run", *args).exit_code == 0
    assert_same(store, tmp_path / "clean")


def test_a_withdrawn_scene_is_not_mapped_by_itself_either(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    (item,) = small.path.glob("items/sources/*-b-*.json")
    assert answer("scene", item, "--out", small.path)["status"] == "withdrawn"


def test_the_catalogue_does_not_link_a_withdrawn_scene(small: Small) -> None:
    answer("mosaic", "withdraw", small.path, B)
    linked = "".join(path.read_text() for path in small.path.glob("collections/*/collection.json"))
    assert ("items/enmap_a_1" in linked, "items/enmap_b_1" in linked) == (True, False)


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
    (newer,) = small.path.glob("collections/*mosaic*/collection.json")
    before = newer.read_text()
    published = answer("mosaic", "rollback", small.path)
    assert published["products"] == 2
    assert published["version"] in newer.read_text()
    assert published["version"] not in before
    assert_sound(small.path)


def test_the_history_says_what_was_published_and_why(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    events = answer("mosaic", "history", small.path)
    facts = [(e["why"], e["current"], len(e["added"]), len(e["removed"])) for e in events]
    assert facts == [
        ("run", False, 2, 0),
        ("run", False, 1, 0),
        ("rollback", True, 0, 1),
    ]


def test_the_history_marks_the_published_version_and_names_few_products(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    lines = deepsalt("mosaic", "history", small.path).stdout.splitlines()
    assert [line[0] for line in lines if not line.startswith("    ")] == [" ", " ", "*"]
    assert lines[-1].startswith("    - enmap_c_1")


def test_a_run_after_a_rollback_adds_what_it_selects(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    assert small.run()["mosaic"]["products"] == 3


def test_a_first_version_cannot_be_rolled_back(small: Small) -> None:
    answer("mosaic", "rollback", small.path)
    error = refused("mosaic", "rollback", small.path)
    assert error.exit_code == 2
    assert "is the first" in str(error)


def test_pruning_shows_what_would_go(small: Small) -> None:
    old = answer("mosaic", "history", small.path)[0]["id"]
    shown = deepsalt("mosaic", "prune", small.path, "--keep", 1).stdout
    assert f"to remove    version {old}" in shown
    assert "add --yes" in shown
    assert (small.path / "versions" / f"{old}.zarr").exists()


def test_pruning_removes_every_trace_of_a_version_but_its_history(small: Small) -> None:
    old = answer("mosaic", "history", small.path)[0]["id"]
    done = answer("mosaic", "prune", small.path, "--keep", 1, "--yes")
    assert (done["versions"], done["removed"]) == ([old], True)
    assert not list(small.path.glob(f"**/*{old}*"))
    assert [each["kept"] for each in answer("mosaic", "history", small.path)] == [False, True]
    assert_sound(small.path)


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
    [("--max-salinity", 0.001, "above 0.001 dS/m"), ("--max-age", 1, "1 days are allowed")],
)
def test_a_build_beyond_its_limits_is_refused(
    store: Path, option: str, value: float, cause: str
) -> None:
    (store / "mosaic.zarr").unlink()
    shutil.rmtree(store / "versions")
    shutil.rmtree(store / "records" / "versions")
    result = deepsalt("mosaic", "build", store, option, value)
    assert "is not published" in str(result.exception)
    assert cause in str(result.exception)
    assert not (store / "mosaic.zarr").exists()


def test_a_limit_that_is_no_share_is_bad_usage(store: Path) -> None:
    result = deepsalt("mosaic", "build", store, "--max-missing", 120)
    assert "--max-missing cannot be 120" in str(result.exception)
