"""A user's own packages `flows` and `catalog` do not stand in for ours."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A working directory with packages of a user that end whoever imports them."""
    for name in ("flows", "catalog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of a user')\n")
    return tmp_path


def python(*args: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python with the working directory first on its path, before deepsalt."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(cwd), str(ROOT)])}
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_the_module_of_the_command_runs_beside_a_users_flows(theirs: Path) -> None:
    run = python("-m", "deepsalt", "search", "--catalogue", "nowhere", cwd=theirs)
    assert "nowhere" in run.stderr
    assert "of a user" not in run.stderr


def test_the_installed_command_runs_beside_a_users_flows(theirs: Path) -> None:
    # As the script that pip writes for the entry point does it.
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["deepsalt"].split(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    run = python("-c", code, "search", "--catalogue", "nowhere", cwd=theirs)
    assert "nowhere" in run.stderr
    assert "of a user" not in run.stderr


@pytest.mark.slow
def test_prefect_finds_the_entrypoints_of_our_deployments_beside_a_users_flows(
    theirs: Path,
) -> None:
    # Prefect imports an entrypoint with the working directory first on the path.
    code = (
        "import yaml, sys; from prefect.utilities.importtools import import_object\n"
        "for each in yaml.safe_load(open(sys.argv[1]))['deployments']:\n"
        "    print(import_object(each['entrypoint']).name)\n"
    )
    run = python("-c", code, str(ROOT / "infra/prefect.yaml"), cwd=theirs)
    ours = "map-scenes process-scene build-mosaic watch validate backfill train-model maintain"
    assert run.stdout.split() == ours.split(), run.stderr


def test_a_process_that_has_a_users_flows_already_is_told(theirs: Path) -> None:
    (theirs / "flows" / "__init__.py").write_text("")
    run = python("-c", "import flows, deepsalt.deployments", cwd=theirs)
    assert f"{theirs / 'flows'} was loaded under that name" in run.stderr
