"""Full disks, lost permissions, two runs at once."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import deepsalt
from tests.flows.test_pipeline import assert_same


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


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_elsewhere(
    catalogue: Path, mapped: Path, small_disk: Path
) -> None:
    store = small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * 900_000)
    result = deepsalt("run", "--catalogue", catalogue, "--out", store)
    assert getattr(result.exception, "exit_code", None) == 1, result.exception
    assert "disk is full" in str(result.exception)
    assert not (store / "mosaic.zarr").exists()
    ballast.unlink()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"tmpfs", bytes(small_disk), b"tmpfs", 32, b"size=64m") == 0  # MS_REMOUNT
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
    codes = {run.wait(timeout=120) for run in runs}
    # The one that finds the other building says so; its scenes are complete all the same.
    assert codes <= {0, 1}
    assert 0 in codes
    assert_same(store, mapped)
