"""The wheel by itself, in an empty environment that grows extra by extra."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from deepsalt.extras import MODULES
from tests.install.test_light import SAMPLED, box

ROOT = Path(__file__).resolve().parents[2]
LIGHT_BYTES = 400e6
TOOLS = ("pip", "setuptools")
"""What an empty environment has already."""


class Environment:
    """An environment of its own, outside the checkout and without PYTHONPATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
        (self.wheel,) = folder.glob("*.whl")

    def install(self, extras: str = "") -> None:
        command = ("-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt")
        self.python(*command, f"{self.wheel}{extras}")

    def python(self, *args: object) -> "subprocess.CompletedProcess[str]":
        return run(self.folder / "venv/bin/python", *args, cwd=self.folder)

    def deepsalt(self, *args: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return run(self.folder / "venv/bin/deepsalt", *args, cwd=self.folder, code=code)

    def size_bytes(self) -> int:
        """Return the size of the files that were installed, without bytecode."""
        (site,) = self.folder.glob("venv/lib/python*/site-packages")
        return sum(
            file.size or 0
            for package in importlib.metadata.distributions(path=[str(site)])
            if package.name not in TOOLS
            for file in package.files or ()
        )


def run(*command: object, cwd: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
    return done


@pytest.mark.slow
def test_the_wheel_works_with_each_extra_in_an_empty_environment(
    tmp_path: Path, mapped: Path
) -> None:
    there = Environment(tmp_path)
    shutil.copytree(mapped, tmp_path / "store", symlinks=True)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit('flows of a user')\n")

    there.install()
    assert there.size_bytes() < LIGHT_BYTES
    heavy = sorted({module for modules in MODULES.values() for module in modules})
    absent = f"from importlib.util import find_spec; assert not any(map(find_spec, {heavy}))"
    there.python("-c", absent)
    there.python("-c", SAMPLED, "store", *box())
    assert "clean" in there.deepsalt("check", "store").stdout
    refused = there.deepsalt("run", "--catalogue", "nowhere", code=2).stderr
    assert "pip install 'deepsalt[run]'" in refused

    there.install("[run]")
    assert "SIMULATED" in there.deepsalt("demo", "--out", "demo").stdout
    assert (tmp_path / "demo" / "mosaic.zarr" / "zarr.json").is_file()
    assert (tmp_path / "demo" / "quicklook.png").stat().st_size > 20_000
    assert "'deepsalt[train]'" in there.deepsalt("train", "--out", "model", code=2).stderr

    there.install("[train]")
    there.python("-c", "import deepsalt.train.loop, deepsalt.benchmark.run")
    assert "'deepsalt[prefect]'" in there.deepsalt("run", "--prefect", code=2).stderr

    there.install("[all]")
    there.python("-c", "import deepsalt.deployments, kubernetes, prefect_kubernetes")
