"""`deepsalt serve` in a pod, as the manifests deploy it, with a database and a catalogue beside it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flows.service.environment import PASSWORD_VARIABLE
from flows.watch.database import URL_VARIABLE
from tests.kubernetes.archive import Archive
from tests.kubernetes.bucket import SECRET, Bucket, reached
from tests.kubernetes.cluster import Manifest, Space
from tests.kubernetes.images import POSTGRES, SERVICE, WORKER
from tests.kubernetes.world import export_of, store
from tests.ops.running import Running

OVERLAYS = Path(__file__).parents[2] / "infra/kubernetes/overlays"
NAME = "deepsalt-service"
STORE = store("service")
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
selection = {{catalogue = "{catalogue}", allow_hosts = ["s3://salt"]}}

[[mosaic]]
every = "0 0 1 1 *"
config = {{export = {{to = "{export}"}}}}

[kubernetes]
image = "{image}"
namespace = "{namespace}"
cluster = "/etc/deepsalt/cluster.toml"
secrets = ["deepsalt-service", "deepsalt-store"]
password_secret = "deepsalt-service"
keep_ended_s = 5

[kubernetes.sizes]
{sizes}
"""

_CLUSTER = """
image = "{image}"
namespace = "{namespace}"
secrets = ["deepsalt-store"]
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

_SMALL = '"{flow}" = {{cpu = 0.2, memory = "2GB"}}'
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
        found = self.space.list("Pod", component="service")
        found.sort(key=lambda each: each["metadata"]["creationTimestamp"])
        return found[-1]["metadata"]["name"] if found else ""

    def jobs_of(self, run: str) -> list[str]:
        """Return the names of the Jobs of a run."""
        return [
            each["metadata"]["name"]
            for each in self.space.list("Job")
            if each["metadata"]["labels"].get(RUNS) == run
        ]

    def pod_of(self, run: str) -> str:
        """Return the newest pod of a run; "" where it has none yet."""
        return next((self.space.pod_of(job) for job in self.jobs_of(run)[-1:]), "")

    def jobs_left(self) -> list[str]:
        """Return the names of the Jobs in the namespace."""
        return self.space.names("Job")


def manifests(overlay: str) -> Iterator[Manifest]:
    """Yield what an overlay deploys, but for what is the cluster's."""
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(OVERLAYS / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    for each in yaml.safe_load_all(rendered.stdout):
        if each["kind"] not in ("Namespace", "PriorityClass"):
            each["metadata"].pop("namespace", None)
            yield each


@contextmanager
def deployed(space: Space, bucket: Bucket, archive: Archive, folder: Path) -> Iterator[Deployed]:
    """Deploy a service with the manifests of the folder infra, and a PostgreSQL as its database."""
    space.make(
        _copied(bucket.space.get("Secret", SECRET), "deepsalt-store"),
        _secret("deepsalt-postgres", {"POSTGRES_PASSWORD": PASSWORD}),
        _secret(
            NAME,
            {
                PASSWORD_VARIABLE: f"ada:{PASSWORD}",
                URL_VARIABLE: f"postgresql://deepsalt:{PASSWORD}@deepsalt-postgres:5432/deepsalt",
            },
        ),
        *(_for_tests(each, space, archive) for each in _all(space)),
    )
    space.wait(lambda: space.is_ready("deepsalt-postgres-0"), "no database", patience_s=120)
    with reached(space, NAME, 4200) as endpoint:
        told = {PASSWORD_VARIABLE: f"ada:{PASSWORD}"}
        service = Deployed(folder, environment=told, space=space, endpoint=endpoint)
        space.wait(
            lambda: "next  " in space.said(service.pod) if _began(service) else False,
            "the service does not start",
            patience_s=240,
        )
        yield service


def _began(service: Deployed) -> bool:
    pod = service.space.find("Pod", service.pod) if service.pod else None
    return pod is not None and pod["status"]["phase"] == "Running"


def _all(space: Space) -> Iterator[Manifest]:
    yield from manifests("local")
    yield from manifests("local/service")


def _for_tests(each: Manifest, space: Space, archive: Archive) -> Manifest:
    """Return a manifest for small nodes without volumes, with this test's images and settings."""
    name = each["metadata"]["name"]
    if each["kind"] == "PodDisruptionBudget":
        each["apiVersion"] = space.cluster.version_of("PodDisruptionBudget")
    if each["kind"] == "ResourceQuota":
        each["spec"]["hard"] = {"pods": "30"}
    if each["kind"] == "RoleBinding":
        for subject in each["subjects"]:
            subject["namespace"] = space.name
    if each["kind"] == "ConfigMap" and name == NAME:
        each["data"] = {"service.toml": settings(space, archive)}
    if each["kind"] == "ConfigMap" and name == "deepsalt-cluster":
        each["data"] = {"cluster.toml": _CLUSTER.format(image=WORKER, namespace=space.name)}
    if each["kind"] == "ConfigMap" and name == "deepsalt-settings":
        each["data"] = {"COLUMNS": "200"}
    if each["kind"] == "StatefulSet":
        del each["spec"]["volumeClaimTemplates"]
        pod = each["spec"]["template"]["spec"]
        pod["volumes"].append({"name": "data", "emptyDir": {}})
        _shrink(pod, POSTGRES)
    if each["kind"] == "Deployment":
        pod = each["spec"]["template"]["spec"]
        pod.pop("priorityClassName", None)
        _shrink(pod, SERVICE)
    return each


def _shrink(pod: dict[str, Any], image: str) -> None:
    (container,) = pod["containers"]
    container["image"] = image
    container["resources"]["requests"]["cpu"] = "100m"


def settings(space: Space, archive: Archive) -> str:
    """Return the service's file."""
    return _SETTINGS.format(
        store=STORE,
        export=export_of(STORE),
        catalogue=archive.url,
        image=SERVICE,
        namespace=space.name,
        sizes="\n".join(_SMALL.format(flow=flow) for flow in _FLOWS),
    )


def _copied(secret: Manifest, name: str) -> Manifest:
    return {"kind": "Secret", "metadata": {"name": name}, "data": secret["data"]}


def _secret(name: str, entries: dict[str, str]) -> Manifest:
    return {"kind": "Secret", "metadata": {"name": name}, "stringData": entries}

