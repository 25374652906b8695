"""`deepsalt mosaic history|withdraw|rollback|prune`: what they say, and what runs do afterwards."""

import json
from pathlib import Path

import pytest
from typer.testing import Result

from deepsalt.errors import DeepsaltError
from tests.flows.conftest import deepsalt
from tests.flows.test_pipeline import arrays, assert_same


def answer(*args: object) -> dict[str, object]:
    """Return what a call that works says in JSON."""
    result = deepsalt(*args, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    document: dict[str, object] = json.loads(result.stdout)
    return document


def refused(*args: object) -> DeepsaltError:
    result = deepsalt(*args)
    assert isinstance(result.exception, DeepsaltError), (result.output, result.exception)
    return result.exception


def scene_keys(store: Path) -> list[str]:
    markers = store.glob("scenes/*.zarr/complete.json")
    return sorted(json.loads(path.read_text())["scene_key"] for path in markers)


def prisma(store: Path) -> str:
    (found,) = [key for key in scene_keys(store) if key.startswith("prisma")]
    return found


def checked(store: Path) -> Result:
    result = deepsalt("check", store)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("verb", ["build", "history", "withdraw", "rollback", "prune"])
def test_help_of_each_verb_gives_an_example(verb: str) -> None:
    assert "Example" in deepsalt("mosaic", verb, "--help").output


def test_a_withdrawn_scene_is_gone_until_it_is_taken_back(catalogue: Path, store: Path) -> None:
    before, scene = arrays(store), prisma(store)
    out = answer("mosaic", "withdraw", store, scene, "--reason", "clouds seen as salt")
    assert out["scenes"] == [scene]
    assert out["mosaic"]["products"] == 2  # type: ignore[index]
    checked(store)

    run = deepsalt("run", "--catalogue", catalogue, "--out", store, "--json")
    assert run.exit_code == 0, run.output
    outcome = json.loads(run.stdout)
    (left_out,) = [each for each in outcome["scenes"] if each["status"] == "withdrawn"]
    assert (left_out["scene"], left_out["product"]) == (scene, "")
    assert "clouds seen as salt" in left_out["reason"]
    assert outcome["mosaic"]["products"] == 2
    assert answer("mosaic", "build", store)["products"] == 2

    assert answer("mosaic", "withdraw", store, scene, "--undo")["mosaic"]["products"] == 3  # type: ignore[index]
    for name, values in arrays(store).items():
        assert values.tobytes() == before[name].tobytes(), name
    checked(store)


def test_a_mosaic_without_a_withdrawn_scene_is_that_of_a_run_without_it(
    catalogue: Path, store: Path, tmp_path: Path
) -> None:
    answer("mosaic", "withdraw", store, prisma(store))
    args = ("--catalogue", catalogue, "--collection", "enmap-l2a", "--out", tmp_path / "clean")
    assert deepsalt("run", *args).exit_code == 0
    assert_same(store, tmp_path / "clean")


def test_a_withdrawn_scene_is_neither_mapped_nor_linked(store: Path, scenes: object) -> None:
    scene = prisma(store)
    answer("mosaic", "withdraw", store, scene)
    (item,) = store.glob("items/sources/*PRS*.json")
    assert answer("scene", item, "--out", store)["status"] == "withdrawn"
    linked = "".join(path.read_text() for path in store.glob("collections/*/collection.json"))
    assert "items/enmap" in linked
    assert "items/prisma" not in linked


def test_a_run_of_withdrawn_scenes_alone_has_nothing_to_do(catalogue: Path, store: Path) -> None:
    answer("mosaic", "withdraw", store, prisma(store))
    args = ("run", "--catalogue", catalogue, "--collection", "prisma-l2d", "--out", store)
    result = deepsalt(*args)
    assert result.exit_code == 0
    assert result.stdout.startswith("withdrawn")


def test_unknown_scenes_are_refused_in_a_sentence(store: Path) -> None:
    error = refused("mosaic", "withdraw", store, "enmap-l2a/nonsense/1")
    assert error.exit_code == 2
    assert "has no scene enmap-l2a/nonsense/1; it has enmap-l2a/" in str(error)


def test_a_reason_for_undoing_is_refused(store: Path) -> None:
    error = refused("mosaic", "withdraw", store, prisma(store), "--undo", "--reason", "x")
    assert error.exit_code == 2


def test_a_rollback_moves_mosaic_catalogue_and_history(catalogue: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    args = ("run", "--catalogue", catalogue, "--out", store)
    assert deepsalt(*args, "--collection", "enmap-l2a").exit_code == 0
    first = arrays(store)
    assert deepsalt(*args).exit_code == 0
    assert answer("mosaic", "rollback", store)["products"] == 2
    for name, values in arrays(store).items():
        assert values.tobytes() == first[name].tobytes(), name
    checked(store)

    events = json.loads(deepsalt("mosaic", "history", store, "--json").stdout)
    assert [each["why"] for each in events] == ["run", "run", "rollback"]
    assert [each["current"] for each in events] == [False, False, True]
    assert [(len(each["added"]), len(each["removed"])) for each in events] == [
        (2, 0),
        (1, 0),
        (0, 1),
    ]
    (mosaic,) = store.glob("collections/*mosaic*/collection.json")
    assert events[-1]["id"] in mosaic.read_text()
    assert events[1]["id"] not in mosaic.read_text()

    lines = deepsalt("mosaic", "history", store).stdout.splitlines()
    assert [line[0] for line in lines if not line.startswith("    ")] == [" ", " ", "*"]
    assert lines[-1].startswith("    - prisma")

    assert answer("run", *args[1:])["mosaic"]["products"] == 3  # type: ignore[index]


def test_a_first_version_cannot_be_rolled_back(store: Path) -> None:
    assert "is the first" in str(refused("mosaic", "rollback", store))
    assert refused("mosaic", "rollback", store, "nonsense").exit_code == 2


def test_pruning_shows_first_and_removes_when_asked(store: Path) -> None:
    answer("mosaic", "withdraw", store, prisma(store))
    old = json.loads(deepsalt("mosaic", "history", store, "--json").stdout)[0]["id"]
    shown = deepsalt("mosaic", "prune", store, "--keep", 1)
    assert f"to remove    version {old}" in shown.stdout
    assert "add --yes" in shown.stdout
    assert (store / "versions" / f"{old}.zarr").exists()

    done = answer("mosaic", "prune", store, "--keep", 1, "--yes")
    assert (done["versions"], done["removed"]) == ([old], True)
    assert not list(store.glob(f"*/*{old}*"))
    events = json.loads(deepsalt("mosaic", "history", store, "--json").stdout)
    assert [(each["kept"], each["periods"] is None) for each in events] == [
        (False, True),
        (True, False),
    ]
    checked(store)


def test_at_least_one_version_is_kept(store: Path) -> None:
    assert deepsalt("mosaic", "prune", store, "--keep", 0).exit_code == 2


@pytest.mark.parametrize(
    "args",
    [("rollback",), ("prune", "--keep", "1"), ("withdraw", "x")],
    ids=lambda args: args[0],
)
def test_a_folder_without_a_store_is_bad_input(args: tuple[str, ...], tmp_path: Path) -> None:
    error = refused("mosaic", args[0], tmp_path, *args[1:])
    assert error.exit_code == 2
    assert "not a deepsalt store" in str(error)
