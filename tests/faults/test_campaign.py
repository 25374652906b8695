"""The short campaign: each fault once; `make faults` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("part", ["1/2", "2/2"])
def test_whatever_breaks_the_next_run_ends_like_an_undisturbed_one(
    part: str, tmp_path: Path
) -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.campaign",
            "--trials",
            "1",
            "--part",
            part,
            "--out",
            tmp_path / "faults.json",
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout + run.stderr
