"""What one sees of a run on pods while it is on, and who is refused."""

import json
import urllib.request
from collections.abc import Iterator
from functools import partial

import pytest

from flows.kubernetes.api import Cluster
from flows.kubernetes.tunnel import tunnel
from tests.engines.runs import Command
from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import Here, left_of_runs, profile_text, set_profile, workers_of
from tests.kubernetes.images import WORKER
from tests.kubernetes.pods import pod, pod_spec
from tests.kubernetes.world import World

pytestmark = [pytest.mark.k8s, pytest.mark.xdist_group("observed")]

_DASHBOARD, _METRICS = 8787, 8788


@pytest.fixture(scope="module")
def running(world: World, space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Id of a run with scenes at work."""
    path = tmp_path_factory.mktemp("observed") / "cluster.toml"
    path.write_text(text := profile_text(space, {"least": 2}))
    set_profile(space, text)
    slow = "--host-limit=s3://salt=1,0.12"  # three minutes, unless it is stopped
    with Here(world, "observed", path, slow, DEEPSALT_LOG="json") as run:
        space.wait(
            lambda: world.keys("observed", "scenes") and len(workers_of(space)) == 2,
            "two workers map no scene",
            patience_s=240.0,
            alive=run.is_alive,
        )
        (scheduler,) = space.all("Pod", component="scheduler")
        yield scheduler["metadata"]["labels"]["deepsalt.io/run"]
    for job in space.names("Job", component="scheduler"):
        space.delete("Job", job)
    space.wait(lambda: not left_of_runs(space), "the run left objects behind", patience_s=120.0)


def page(space: Space, pod_name: str, port: int, path: str) -> str:
    """Read a page of a pod through a port-forward of the API server."""
    Cluster(space.name)  # which is that of KUBECONFIG for tunnels, too
    with (
        tunnel(space.name, lambda: pod_name, port) as near,
        urllib.request.urlopen(f"http://127.0.0.1:{near}{path}", timeout=30) as answer,
    ):
        return str(answer.read().decode())


def test_a_pod_without_the_certificate_of_the_run_is_refused(space: Space, running: str) -> None:
    asks = (
        "from distributed import Client, Security\n"
        "security = {security}\n"
        "Client('tls://{run}-scheduler:8786', security=security, timeout=10)\n"
    )
    strangers = {
        "bare": asks.format(run=running, security="Security(require_encryption=True)"),
        "other": asks.format(run=running, security="Security.temporary()"),
        "plain": asks.format(run=running, security="None").replace("tls://", "tcp://"),
    }
    for name, code in strangers.items():
        spec = pod_spec(WORKER, ["-c", code], command=["python"])
        space.make(pod(f"stranger-{name}", spec, component="driver"))
    for name in strangers:
        pod_name = f"stranger-{name}"
        space.wait(partial(space.ended, pod_name), f"{name} waits for ever", patience_s=150.0)
        said = space.said(f"stranger-{name}")
        assert "Error" in said.splitlines()[-1], said
        space.delete("Pod", f"stranger-{name}")


@pytest.mark.parametrize(
    ("component", "port", "metrics"),
    [
        ("scheduler", _DASHBOARD, ["dask_scheduler_workers", "dask_scheduler_tasks"]),
        ("worker", _METRICS, ["dask_worker_threads", "deepsalt_worker_"]),
    ],
)
def test_pods_serve_metrics_where_their_annotations_say(
    space: Space, running: str, component: str, port: int, metrics: list[str]
) -> None:
    for found in space.all("Pod", component=component, run=running):
        noted = found["metadata"]["annotations"]
        assert noted["prometheus.io/port"] == str(port)
    names = [found["metadata"]["name"] for found in space.all("Pod", component=component)]
    told = "\n".join(page(space, name, port, noted["prometheus.io/path"]) for name in names)
    assert [name for name in metrics if name not in told] == []


def test_the_dashboard_opens_through_a_port_forward(space: Space, running: str) -> None:
    (scheduler,) = space.names("Pod", component="scheduler", run=running)
    assert "Dask Diagnostic UI" in page(space, scheduler, _DASHBOARD, "/status")


def test_status_shows_the_run_its_pods_and_what_is_left(space: Space, running: str) -> None:
    command = ("status", "--cluster", "--namespace", space.name)
    (found,) = json.loads(Command(*command, "--json").wait().said)
    assert (found["run"], found["scheduler"]) == (running, "ready")
    assert found["groups"]["cpu"]["ready"] == 2
    assert found["progress"]["scenes_left"] > 0
    said = Command(*command, COLUMNS="200").wait().said
    assert f"port-forward service/{running}-scheduler 8787" in said


def test_lines_of_workers_name_run_and_scene(space: Space, running: str) -> None:
    lines = [
        json.loads(line)
        for worker in workers_of(space)
        for line in space.said(worker).splitlines()
        if line.startswith("{")
    ]
    named = [line for line in lines if line.get("scene")]
    assert named, lines
    assert all(line["run"] for line in named)
