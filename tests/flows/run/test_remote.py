"""A run over a STAC API whose scenes lie on a web server."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import Scenes, deepsalt, remote_items
from tests.flows.run.test_pipeline import assert_same
from tests.servers.ranges import SOUND, Fault, file_server, serving_files
from tests.servers.stac import serving
from tests.waiting import wait_until


@pytest.mark.slow
def test_a_run_over_a_stac_api_equals_one_over_the_files(
    scenes: Scenes, mapped: Path, tmp_path: Path
) -> None:
    with (
        serving_files(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files)) as api,
    ):
        remote = ("--catalogue", api.url, "--bbox", "83,40,85,42", "--out", tmp_path / "remote")
        result = deepsalt("run", *remote, "--json")
    assert result.exit_code == 0, result.output
    assert_same(tmp_path / "remote", mapped)


def test_secrets_of_signed_urls_are_not_kept(scenes: Scenes, tmp_path: Path) -> None:
    with (
        serving_files(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files)) as api,
    ):
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
    assert "open-sesame" not in result.output
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"open-sesame" not in path.read_bytes(), path


def test_a_server_without_the_files_leaves_the_scenes_for_another_run(
    scenes: Scenes, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving_files(empty) as files, serving(remote_items(scenes.all, files)) as api:
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store", "--json")
    outcome = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {scene["status"] for scene in outcome["scenes"]} == {"failed"}
    assert all("open-sesame" not in scene["reason"] for scene in outcome["scenes"])
    assert not list((tmp_path / "store" / "records").glob("quarantine/*"))


def test_a_scene_larger_than_the_scratch_space_is_refused_before_anything_is_made(
    scenes: Scenes, tmp_path: Path
) -> None:
    with (
        serving_files(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files)) as api,
    ):
        small = ("--out", tmp_path / "store", "--scratch-gb", "0.0001", "--json")
        result = deepsalt("run", "--catalogue", api.url, *small)
    assert getattr(result.exception, "exit_code", None) == 2
    assert "raise --scratch-gb" in str(result.exception)
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_a_storm_of_the_server_changes_nothing(
    scenes: Scenes, mapped: Path, tmp_path: Path
) -> None:
    def faults(number: int, path: str) -> Fault:
        # From the first answer on, every third one goes wrong, in one way after the other.
        ways = (Fault(status=503), Fault(status=500), Fault(cut=300, reset=True), Fault(longer=9))
        return ways[number // 3 % len(ways)] if number % 3 == 0 else SOUND

    with (
        file_server(scenes.west.parent, faults=faults) as files,
        serving(remote_items(scenes.all, files.url)) as api,
    ):
        result = deepsalt("run", "--catalogue", api.url, "--out", tmp_path / "store")
    assert result.exit_code == 0, result.output
    assert_same(tmp_path / "store", mapped)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_scratch_files_do_not_outlive_a_run_that_is_stopped(
    scenes: Scenes, mapped: Path, tmp_path: Path, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"

    def faults(request: int, path: str) -> Fault:
        return Fault(silent_s=600) if scenes.prisma.name in path else SOUND

    with (
        file_server(scenes.west.parent, faults=faults) as files,
        serving(remote_items(scenes.all, files.url)) as api,
    ):
        options = ["--catalogue", api.url, "--out", str(tmp_path / "store")]
        options += ["--scratch", str(scratch)]
        command = [sys.executable, "-m", "flows", "run", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
            # In the middle: the scene before is here, the last one does not come.
            wait_until(
                lambda: any(scenes.prisma.name in asked for asked in files.asked),
                "the last scene is not asked for",
                alive=lambda: run.poll() is None,
            )
            run.send_signal(number)
            run.wait(timeout=60)
        assert bool(list(scratch.iterdir())) == (number == signal.SIGKILL)
    with (
        file_server(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files.url)) as api,
    ):
        again = ("--catalogue", api.url, "--out", tmp_path / "store", "--scratch", scratch)
        assert deepsalt("run", *again).exit_code == 0
    assert not list(scratch.iterdir())
    assert_same(tmp_path / "store", mapped)
