"""The Prefect flows do what the command does directly."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from catalog.items import to_item
from deepsalt.reading import open_mosaic
from deepsalt.scenes.base import read_acquisition
from tests.flows.conftest import Scenes
from tests.flows.run.test_pipeline import assert_same
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Prefect home of its own: no profile, database or server of the machine is touched."""
    home = tmp_path_factory.mktemp("prefect")
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return plain | {
        "HOME": str(home),  # `~` of the deployments' defaults
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


@pytest.mark.slow
def test_a_run_through_prefect_ends_in_the_same_arrays(
    catalogue: Path, mapped: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "flows", "run", "--prefect"]
    command += ["--catalogue", str(catalogue), "--out", str(tmp_path / "store")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    assert_same(tmp_path / "store", mapped)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def prefect(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """The `prefect` command against a server and a process worker of this test."""
    port = free_port()
    env = environment | {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),  # pools and schedules are those of one test
    }
    program = str(Path(sys.executable).parent / "prefect")

    def call(*args: str, timeout: float = 120) -> str:
        done = subprocess.run(
            [program, *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(*args: str) -> subprocess.Popen[bytes]:
        silent = subprocess.DEVNULL
        return subprocess.Popen(
            [program, *args], cwd=tmp_path, env=env, stdout=silent, stderr=silent
        )

    for name in ("flows", "catalog"):  # a user's own, where the worker runs
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of a user')\n")
    server = start("server", "start", "--host", "127.0.0.1", "--port", str(port))
    worker = None
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health")
        call("work-pool", "create", "deepsalt-local", "--type", "process")
        worker = start("worker", "start", "--pool", "deepsalt-local")
        yield call
    finally:
        for process in filter(None, (worker, server)):
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, politely first: Prefect's worker at times does not answer SIGTERM."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(url: str) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            return False

    wait_until(answers, f"no answer from {url}")


@pytest.mark.slow
def test_a_schedule_of_a_minute_fires_and_maps_with_the_defaults_of_the_deployment(
    catalogue: Path, mapped: Path, prefect: Callable[..., str], environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"]) / "deepsalt"
    home.mkdir()
    (home / "catalogue").symlink_to(catalogue)
    prefect("--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect.yaml")
    prefect("deployment", "schedule", "create", "map-scenes/local", "--interval", "60")
    over = [f"--state-type={state}" for state in ("COMPLETED", "FAILED", "CRASHED")]

    def ended() -> list[tuple[str, bool]]:
        runs = json.loads(prefect("flow-run", "ls", *over, "--output", "json"))
        return [(run["state_type"], run["auto_scheduled"]) for run in runs]

    wait_until(ended, "no run of the schedule ended", patience_s=240)
    assert ended() == [("COMPLETED", True)]
    assert_same(home / "store", mapped)


@pytest.mark.slow
def test_the_deployed_flows_map_a_scene_on_a_process_pool(
    scenes: Scenes, prefect: Callable[..., str], tmp_path: Path
) -> None:
    item = tmp_path / "item.json"
    item.write_text(json.dumps(to_item(read_acquisition(scenes.prisma)).to_dict()))
    store = str(tmp_path / "store")
    prefect("--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect.yaml")
    for deployment, parameters in (
        ("process-scene/local", {"item_uri": str(item), "out": store}),
        ("build-mosaic/local", {"out": store}),
    ):
        told = ("--params", json.dumps(parameters), "--watch")
        assert "Completed" in prefect("deployment", "run", deployment, *told)
    assert int(np.isfinite(open_mosaic(store).salinity.values).sum()) > 1000


JUDGE = """
import json, sys
from prefect.client.orchestration import get_client
from flows.config import ValidateConfig
from flows.prefect.validate import validate

with get_client(sync_client=True) as client:
    before = {each.id for each in client.read_artifacts()}
    found = validate(ValidateConfig.model_validate_json(sys.argv[1]))
    made = [each.key for each in client.read_artifacts() if each.id not in before]
print(json.dumps({"told": found["told"], "artifacts": made}, default=str))
"""


@pytest.mark.slow
def test_a_watch_that_never_looked_is_told_and_shown(
    catalogue: Path, mapped: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    watch = {"name": "enmap", "selection": {"catalogue": str(catalogue)}, "out": str(mapped)}
    config = json.dumps({"watch": {**watch, "ledger": f"sqlite:///{tmp_path}/ledger.sqlite"}})
    command = [sys.executable, "-c", JUDGE, config]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert [each["kind"] for each in found["told"]] == ["unseen"]
    assert found["artifacts"] == ["freshness"]
