"""`--push`: what a run published is carried to where readers are."""

from pathlib import Path

import pytest
import xarray as xr

from deepsalt.errors import DeepsaltError, UsageError
from deepsalt.push import open_mosaic
from tests.flows.conftest import deepsalt


def pushed(store: Path, *args: object) -> str:
    result = deepsalt("mosaic", "build", store, *args)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", ["file", "icechunk+file"])
def test_a_build_is_carried_to_where_readers_are(kind: str, store: Path, tmp_path: Path) -> None:
    uri = f"{kind}://{tmp_path}/there"
    assert f"to {uri}" in pushed(store, "--push", uri)
    xr.testing.assert_identical(open_mosaic(uri).load(), open_mosaic(store).load())
    assert "nothing to send" in pushed(store, "--push", uri)


def test_a_run_that_adds_nothing_makes_up_for_a_push_that_failed(
    catalogue: Path, store: Path, tmp_path: Path
) -> None:
    run = ("run", "--catalogue", catalogue, "--out", store, "--push", f"file://{tmp_path}/there")
    (tmp_path / "there" / "versions").mkdir(parents=True)
    (tmp_path / "there" / "versions").rmdir()
    (tmp_path / "there" / "versions").write_text("in the way")
    result = deepsalt(*run)
    assert result.exit_code == 1
    assert "not pushed" in result.output
    assert "mosaic       version" in result.output
    (tmp_path / "there" / "versions").unlink()
    assert deepsalt(*run).exit_code == 0
    assert open_mosaic(f"file://{tmp_path}/there").sizes["period"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--push", "ftp://host/x"], "no place for mosaics"),
        (["--push", "s3://key:hush-hush@bucket/x"], "no credentials"),
        (["--push", "s3://key:hush-hush@ho\u2100st/x"], "not written so"),
        (["--push", "/a/folder"], "file:///"),
        (["--push", "file:/a/folder"], "no place for mosaics"),
        (["--push-keep", "2"], "give that place"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_place_that_is_none_is_refused_before_anything_is_done(
    verb: str, options: list[str], words: str, catalogue: Path, tmp_path: Path
) -> None:
    result = deepsalt(verb, "--catalogue", catalogue, "--out", tmp_path / "store", *options)
    assert isinstance(result.exception, DeepsaltError)
    assert result.exception.exit_code == 2
    assert words in str(result.exception)
    assert "hush-hush" not in f"{result.exception}{result.output}"
    assert not (tmp_path / "store").exists()


def test_versions_that_are_not_kept_are_removed_there(
    catalogue: Path, store: Path, tmp_path: Path
) -> None:
    place = f"file://{tmp_path}/there"
    pushed(store, "--push", place)
    withdrawn = deepsalt("mosaic", "withdraw", store, scene_of(store), "--reason", "clouds")
    assert withdrawn.exit_code == 0, withdrawn.output
    before = versions(tmp_path)
    pushed(store, "--push", place, "--push-keep", "1")
    assert len(before) == len(versions(tmp_path)) == 1
    assert before != versions(tmp_path)


def scene_of(store: Path) -> str:
    return sorted(path.stem for path in (store / "scenes").glob("*.zarr"))[0]


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "there" / "versions").glob("*"))


@pytest.mark.parametrize("place", ["", "versions", "mosaic.zarr", "new"])
@pytest.mark.parametrize("kind", ["file", "icechunk+file"])
def test_a_mosaic_is_not_pushed_into_its_own_store(kind: str, place: str, store: Path) -> None:
    before = sorted(store.rglob("*"))
    result = deepsalt("mosaic", "push", store, f"{kind}://{store}/{place}")
    assert isinstance(result.exception, UsageError)
    assert "belongs to a store" in str(result.exception)
    assert sorted(store.rglob("*")) == before


def test_a_mosaic_is_not_pushed_into_another_store(mapped: Path, store: Path) -> None:
    result = deepsalt("mosaic", "push", store, f"file://{mapped}", "--keep", 1)
    assert isinstance(result.exception, UsageError)
    assert deepsalt("check", mapped).exit_code == 0


@pytest.mark.parametrize(
    ("first", "second"), [("file", "icechunk+file"), ("icechunk+file", "file")]
)
def test_a_place_of_another_kind_is_left_alone(
    first: str, second: str, store: Path, tmp_path: Path
) -> None:
    pushed(store, "--push", f"{first}://{tmp_path}/there")
    before = sorted((tmp_path / "there").rglob("*"))
    result = deepsalt("mosaic", "push", store, f"{second}://{tmp_path}/there")
    assert isinstance(result.exception, UsageError)
    assert sorted((tmp_path / "there").rglob("*")) == before


def test_a_run_does_not_begin_when_its_place_is_a_file(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = ("--catalogue", catalogue, "--out", tmp_path / "store")
    result = deepsalt("run", *options, "--push", f"file://{tmp_path}/file")
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "store").exists()
