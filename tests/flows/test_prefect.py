"""The Prefect flows do what the command does directly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.test_pipeline import assert_same


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Prefect home of its own: no profile, database or server of the machine is touched."""
    home = tmp_path_factory.mktemp("prefect")
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return plain | {
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def test_a_run_through_prefect_ends_in_the_same_arrays(
    catalogue: Path, mapped: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "flows", "run", "--prefect"]
    command += ["--catalogue", str(catalogue), "--out", str(tmp_path / "store")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    assert_same(tmp_path / "store", mapped)


def test_both_flows_are_deployed_by_the_project_file() -> None:
    import yaml

    root = Path(__file__).resolve().parents[2]
    document = yaml.safe_load((root / "infra" / "prefect.yaml").read_text())
    entrypoints = [entry["entrypoint"] for entry in document["deployments"]]
    assert entrypoints == ["flows/scene.py:process_scene", "flows/mosaic.py:build_mosaic"]
    for entrypoint in entrypoints:
        path, name = entrypoint.split(":")
        assert f"def {name}(" in (root / path).read_text()
