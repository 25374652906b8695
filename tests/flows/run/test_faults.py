"""Full disks, lost permissions, two runs at once."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import deepsalt
from tests.flows.run.test_pipeline import assert_same


def test_a_full_disk_that_takes_a_part_of_the_model_is_one_sentence(
    catalogue: Path, small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(b"0" * 500_000)
    result = deepsalt(
        "run", "--catalogue", catalogue, "--limit", "1", "--out", small_disk / "store"
    )
    assert getattr(result.exception, "exit_code", None) == 1, result.exception
    assert "the disk is full; free space and run again" in str(result.exception)
    assert "/models/" in str(result.exception)
    assert not {"(", "\n"} & set(str(result.exception))
    enlarge(small_disk)
    again = deepsalt("run", "--catalogue", catalogue, "--limit", "1", "--out", small_disk / "store")
    assert again.exit_code == 0, again.exception


def test_a_full_disk_ends_the_demo_with_one_sentence(small_disk: Path) -> None:
    result = deepsalt("demo", "--out", small_disk / "demo")
    assert "disk is full" in str(result.exception)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=1m") != 0:
        pytest.skip("making a small file system needs root")
    yield folder
    libc.umount2(bytes(folder), 2)


def enlarge(folder: Path) -> None:
    """Make a small disk one of 64 MB."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_elsewhere(
    catalogue: Path, mapped: Path, small_disk: Path
) -> None:
    store = small_disk / "store"
    (small_disk / "ballast").write_bytes(b"0" * 900_000)
    result = deepsalt("run", "--catalogue", catalogue, "--out", store)
    assert getattr(result.exception, "exit_code", None) == 1, result.exception
    assert "disk is full" in str(result.exception)
    assert not (store / "mosaic.zarr").exists()
    enlarge(small_disk)
    assert deepsalt("run", "--catalogue", catalogue, "--out", store).exit_code == 0
    assert_same(store, mapped)


def test_a_folder_without_permission_is_one_sentence(catalogue: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    command = [sys.executable, "-m", "flows", "run", "--catalogue", catalogue]
    # Root may write anywhere, unless it gives that right away.
    humble = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    run = subprocess.run(
        [*humble, *command, "--out", closed / "store"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "permission is denied" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
def test_two_runs_into_one_store_end_in_one_sound_mosaic(
    catalogue: Path, mapped: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-m", "flows", "run", "--catalogue", catalogue, "--out", store]
    runs = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert_same(store, mapped)


def test_a_worker_that_is_killed_while_it_starts_is_one_sentence(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    def killed(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.")  # what it says then

    monkeypatch.setattr(distributed, "LocalCluster", killed)
    result = deepsalt(
        "run", "--catalogue", catalogue, "--out", tmp_path / "store", "--workers", "1"
    )
    assert "ended while it started (Nanny failed to start); check the free memory" in str(
        result.exception
    )
    assert getattr(result.exception, "exit_code", None) == 1
