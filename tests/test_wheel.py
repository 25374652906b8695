"""The wheel by itself: installed into an empty environment it runs the demo."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: object, cwd: Path) -> str:
    # Outside the checkout and without PYTHONPATH, or the sources would stand in for the wheel.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_runs_the_demo(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    output = run(tmp_path / "venv" / "bin" / "deepsalt", "demo", "--out", "demo", cwd=tmp_path)
    assert "SIMULATED" in output
    assert (tmp_path / "demo" / "mosaic.zarr" / "zarr.json").is_file()
    assert (tmp_path / "demo" / "quicklook.png").stat().st_size > 20_000
