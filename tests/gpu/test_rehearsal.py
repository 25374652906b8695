"""The checks of a GPU run and can fail; a machine without one is told that nothing is proven."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def check(out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run what `make test-gpu` runs."""
    command = [sys.executable, "-m", "tests.gpu", "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_nothing_is_proven_and_nothing_looks_passed(tmp_path: Path) -> None:
    done = check(tmp_path / "gpu")
    assert done.returncode == 2
    assert done.stderr.startswith("unproven: this machine has no CUDA device")
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_checks_hold_where_the_cpu_stands_in_for_a_device(tmp_path: Path) -> None:
    done = check(tmp_path / "gpu", "--rehearse", "right")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert done.returncode == 0, done.stdout
    assert set(found["checks"].values()) == {"passed"}
    assert "REHEARSAL" in found["machine"]["device"]
    assert (tmp_path / "gpu.md").read_text() in done.stdout


@pytest.mark.slow
def test_a_device_that_answers_wrong_is_found(tmp_path: Path) -> None:
    done = check(tmp_path / "gpu", "--rehearse", "wrong", "-k", "differs")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert done.returncode == 1
    assert set(found["checks"].values()) == {"failed"}
