"""`deepsalt serve` in a pod as the manifests deploy it, with its database beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.service.environment import PASSWORD_VARIABLE
from flows.watch.database import URL_VARIABLE
from tests.infra.rendering import OVERLAYS, written_as
from tests.kubernetes.archive import Archive
from tests.kubernetes.bucket import BUCKET, SECRET, reached
from tests.kubernetes.cluster import Manifest, Space
from tests.kubernetes.images import POSTGRES, SERVICE, WORKER
from tests.kubernetes.world import export_of
from tests.ops.running import Running

NAME = "deepsalt-service"
STORE = "service"
PASSWORD = "open-sesame"
RUNS = "prefect.io/flow-run-id"
"""Label of all Jobs of runs."""

_SETTINGS = """
store = "{store}"
folder = "/tmp/service"
host = "0.0.0.0"

[[watch]]
name = "all"
every = "0 0 1 1 *"
wait_min = 1e-9
selection = {{catalogue = "{catalogue}"}}

[[mosaic]]
every = "0 0 1 1 *"
config = {{export = {{to = "{export}"}}}}

[kubernetes]
image = "{image}"
namespace = "{namespace}"
cluster = "/etc/deepsalt/cluster.toml"
secrets = ["deepsalt-service", "{keys}"]
login_secret = "deepsalt-service"
keep_ended_s = 5

[kubernetes.sizes]
{sizes}
"""

_CLUSTER = """
image = "{image}"
namespace = "{namespace}"
secrets = ["{keys}"]
scratch_gb = 1
grace_s = 20

[scheduler]
cpu = 0.1
memory = "1GB"

[[groups]]
name = "cpu"
least = 1
most = 2
cpu = 0.2
threads = 2
memory = "1500MB"
"""

_PROFILE = "deepsalt-service-cluster"
"""The service's profile; driver pods of other tests in its namespace have theirs."""
_SMALL = '"{flow}" = {{cpu = 0.1, memory = "2GB"}}'
_FLOWS = ("process-scene", "build-mosaic", "map-scenes", "watch", "validate", "maintain")


@dataclass
class Deployed(Running):
    """A service in a pod.

    Parameters
    ----------
    space
        Its namespace.
    endpoint
        URL of its server for this machine.
    """

    space: Space = field(kw_only=True)
    endpoint: str = field(kw_only=True)

    @property
    def api(self) -> str:
        return f"{self.endpoint}/api"

    def alive(self) -> bool:
        return bool(self.pod)

    @property
    def pod(self) -> str:
        """The newest pod of the service."""
        found = self.space.all("Pod", component="service")
        found.sort(key=lambda each: each["metadata"]["creationTimestamp"])
        return found[-1]["metadata"]["name"] if found else ""

    def jobs_of(self, run: str) -> list[str]:
        """Return the names of the Jobs of a run."""
        return [
            each["metadata"]["name"]
            for each in self.space.all("Job")
            if each["metadata"]["labels"].get(RUNS) == run
        ]

    def pod_of(self, run: str) -> str:
        """Return the newest pod of a run; "" where it has none yet."""
        return next((self.space.pod_of(job) for job in self.jobs_of(run)[-1:]), "")

    def times(self, run: str) -> int:
        """Return how often a run began."""
        return int(self._get(f"flow_runs/{run}")["run_count"])

    def left(self) -> list[str]:
        """Return what runs and their clusters have in the namespace."""
        jobs = [
            each["metadata"]["name"]
            for each in self.space.all("Job")
            if RUNS in each["metadata"]["labels"]
        ]
        parts = [
            name
            for kind in ("Job", "Pod", "Service", "Secret")
            for component in ("scheduler", "worker")
            for name in self.space.names(kind, component=component)
        ]
        return jobs + parts

    def usual(self, deployment: str) -> "dict[str, Any]":
        """Return the parameters of a deployment."""
        found: dict[str, Any] = self._get(f"deployments/name/{deployment}")["parameters"]
        return found


@contextmanager
def deployed(space: Space, archive: Archive, folder: Path) -> Iterator[Deployed]:
    """Deploy the service of the overlay `local` into a namespace that has the overlay itself."""
    space.make(
        _secret("deepsalt-postgres", {"POSTGRES_PASSWORD": PASSWORD}),
        _secret(
            NAME,
            {
                PASSWORD_VARIABLE: f"ada:{PASSWORD}",
                URL_VARIABLE: f"postgresql://deepsalt:{PASSWORD}@deepsalt-postgres:5432/deepsalt",
            },
        ),
        _settings("deepsalt-settings", {"COLUMNS": "200"}),
        _settings(
            _PROFILE,
            {"cluster.toml": _CLUSTER.format(image=WORKER, namespace=space.name, keys=SECRET)},
        ),
    )
    overlay = {"namespace": space.name, "resources": [OVERLAYS / "local" / "service"]}
    for each in written_as(overlay):
        space.apply(_for_tests(each, space, archive))
    space.wait(lambda: space.is_ready("deepsalt-postgres-0"), "no database", patience_s=240)
    space.wait(lambda: _is_serving(space), "the service does not start", patience_s=600)
    with reached(space, NAME, 4200) as endpoint:
        told = {PASSWORD_VARIABLE: f"ada:{PASSWORD}"}
        yield Deployed(folder, environment=told, space=space, endpoint=endpoint)


def _is_serving(space: Space) -> bool:
    return any(
        "next  " in space.said(each["metadata"]["name"])
        for each in space.all("Pod", component="service")
        if each["status"]["phase"] == "Running"
    )


def _for_tests(each: Manifest, space: Space, archive: Archive) -> Manifest:
    """Return a manifest with the images and settings of tests, for nodes without volumes."""
    if each["kind"] == "ConfigMap":
        each["data"] = {"service.toml": settings(space, archive)}
    if each["kind"] == "StatefulSet":
        del each["spec"]["volumeClaimTemplates"]
        pod = each["spec"]["template"]["spec"]
        pod["volumes"].append({"name": "data", "emptyDir": {}})
        _place(pod, POSTGRES)
    if each["kind"] == "Deployment":
        pod = each["spec"]["template"]["spec"]
        for source in pod["volumes"][-1]["projected"]["sources"]:
            if source["configMap"]["name"] == "deepsalt-cluster":
                source["configMap"]["name"] = _PROFILE
        _place(pod, SERVICE)
    return each


def _place(pod: Manifest, image: str) -> None:
    (container,) = pod["containers"]
    container["image"] = image
    container["resources"]["requests"]["cpu"] = "100m"


def settings(space: Space, archive: Archive) -> str:
    """Return the service's file."""
    place = f"s3://{BUCKET}/{STORE}/store"
    return _SETTINGS.format(
        store=place,
        export=export_of(place),
        catalogue=archive.url,
        image=SERVICE,
        namespace=space.name,
        keys=SECRET,
        sizes="\n".join(_SMALL.format(flow=flow) for flow in _FLOWS),
    )


def _settings(name: str, entries: dict[str, str]) -> Manifest:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": entries}


def _secret(name: str, entries: dict[str, str]) -> Manifest:
    return {"kind": "Secret", "metadata": {"name": name}, "stringData": entries}
