"""A run that hangs is ended after its timeout, and the next one does its work."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.flows import Flow
from prefect.states import Failed

from catalog.items import to_item
from deepsalt.scenes.base import read_acquisition
from flows.prefect import deadline
from flows.prefect.maintain import maintain
from flows.prefect.mosaic import build_mosaic
from flows.prefect.scene import process_scene
from flows.prefect.submitter import PrefectSubmitter
from flows.prefect.validate import validate
from flows.prefect.watch import watch
from flows.watch.watch import Outcome
from tests.flows.conftest import Scenes, deepsalt
from tests.flows.prefect.test_flows import ROOT, stop, wait_for
from tests.servers.ports import free_port

HANGING = Path(__file__).with_name("hanging.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process that talks to a server of this test."""
    port, home = free_port(), tmp_path_factory.mktemp("prefect")
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    env = plain | {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    program = str(Path(sys.executable).parent / "prefect")
    process = subprocess.Popen(
        [program, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"{env['PREFECT_API_URL']}/health")
        yield env
    finally:
        stop(process)


@pytest.mark.parametrize("own", [None, str(UUID(int=2))], ids=["a command", "another run"])
def test_a_process_that_is_not_the_run_s_own_is_left_alone(
    own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(
        flow=SimpleNamespace(timeout_seconds=1.0), flow_run=SimpleNamespace(id=UUID(int=1))
    )
    monkeypatch.setattr("flows.prefect.deadline.FlowRunContext.get", lambda: context)
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    if own is not None:
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", own)
    before = threading.active_count()
    deadline.end_when_over()
    assert threading.active_count() == before


@pytest.mark.parametrize("flow", [process_scene, build_mosaic, watch, validate, maintain])
def test_a_scene_a_build_and_each_round_of_the_service_has_a_timeout(
    flow: Flow[..., object],
) -> None:
    assert flow.timeout_seconds


def test_a_run_that_timed_out_is_one_that_failed_so_its_watch_submits_its_scene_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = SimpleNamespace(state=Failed(name="TimedOut", message="it took too long"))
    client = SimpleNamespace(
        read_deployment_by_name=lambda _: SimpleNamespace(id=UUID(int=1)),
        read_flow_run=lambda _: ended,
    )
    monkeypatch.setattr("flows.prefect.submitter.get_client", lambda **_: nullcontext(client))
    with PrefectSubmitter("process-scene/local", {}) as submitter:
        assert submitter.outcome(str(UUID(int=2))) == (Outcome.FAILED, "it took too long")


@pytest.mark.slow
@pytest.mark.parametrize("hangs", ["here", "in a thread"])
def test_a_scene_that_hangs_is_timed_out_and_the_next_run_maps_it(
    hangs: str, scenes: Scenes, server: dict[str, str], tmp_path: Path
) -> None:
    item, store = tmp_path / "item.json", tmp_path / "store"
    item.write_text(json.dumps(to_item(read_acquisition(scenes.prisma)).to_dict()))
    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        told = {"item_uri": str(item), "out": str(store)}
        run = client.create_flow_run(process_scene, parameters=told).id
        own = {
            "HANGS": hangs,
            "PREFECT__FLOW_RUN_ID": str(run),
            "PREFECT__FLOW_ENTRYPOINT": f"{HANGING}:process_scene",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "prefect.engine"],
            env=server | own,
            capture_output=True,
            text=True,
            timeout=120,
        )
        state = client.read_flow_run(run).state
    assert state is not None
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut"), ended.stderr
    assert f"{HANGING}" in ended.stderr  # where it hung
    assert [*store.glob("records/done/*")] == []
    said = deepsalt("scene", item, "--out", store)
    assert (said.exit_code, len([*store.glob("records/done/*")])) == (0, 1), said.output
