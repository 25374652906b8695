"""A run that hangs is ended after its timeout, and the next one does its work."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from catalog.items import to_item
from deepsalt.scenes.base import read_acquisition
from flows.prefect.scene import process_scene
from tests.flows.conftest import Scenes, deepsalt
from tests.flows.prefect.test_flows import ROOT, stop, wait_for
from tests.servers.ports import free_port

HANGING = Path(__file__).with_name("hanging.py")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that talks to a server of this test."""
    port = free_port()
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    env = plain | {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(tmp_path / "prefect"),
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


@pytest.mark.slow
@pytest.mark.parametrize(("hangs", "code"), [("here", 0), ("in a thread", 1)])
def test_a_scene_that_hangs_is_timed_out_and_the_next_run_maps_it(
    hangs: str, code: int, scenes: Scenes, server: dict[str, str], tmp_path: Path
) -> None:
    item, store = tmp_path / "item.json", tmp_path / "store"
    item.write_text(json.dumps(to_item(read_acquisition(scenes.prisma)).to_dict()))
    with httpx.Client(base_url=server["PREFECT_API_URL"]) as client:
        flow = client.post("/flows/", json={"name": process_scene.name}).json()["id"]
        told = {"item_uri": str(item), "out": str(store)}
        run = client.post("/flow_runs/", json={"flow_id": flow, "parameters": told}).json()["id"]
        own = {
            "HANGS": hangs,
            "PREFECT__FLOW_RUN_ID": run,
            "PREFECT__FLOW_ENTRYPOINT": f"{HANGING}:process_scene",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "prefect.engine"],
            env=server | own,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "hanging.py" in ended.stderr
        state = client.get(f"/flow_runs/{run}").json()["state"]
    assert (state["type"], state["name"]) == ("FAILED", "TimedOut"), ended.stderr
    assert not [*store.glob("records/done/*")]
    said = deepsalt("scene", item, "--out", store)
    assert (said.exit_code, len([*store.glob("records/done/*")])) == (0, 1), said.output
    print(ended.returncode, code, state["message"])
