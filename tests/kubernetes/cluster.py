"""A cluster and a namespace of it, as tests ask them; what a failed wait shows."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import NotFoundError

TESTS = "deepsalt-tests"
MANAGED = {"app.kubernetes.io/managed-by": TESTS}
"""Label of all namespaces of the tests."""

Manifest = dict[str, Any]


class Cluster:
    """The cluster of KUBECONFIG; objects go in and come out as plain dictionaries.

    Parameters
    ----------
    cache
        File for the kinds of objects that the cluster knows.
    """

    def __init__(self, cache: Path) -> None:
        self._labels = {**MANAGED, "deepsalt.io/tests": token_hex(4)}
        self.client = kubernetes.config.new_client_from_config()
        self.core = kubernetes.client.CoreV1Api(self.client)
        self._dynamic = kubernetes.dynamic.DynamicClient(self.client, cache_file=str(cache))
        told = kubernetes.client.VersionApi(self.client).get_code()
        self.version = (int(told.major), int(told.minor.rstrip("+")))

    def kind(self, name: str) -> Any:
        """Return the kind in the version that this cluster prefers."""
        if name == "Event":
            return self._dynamic.resources.get(api_version="v1", kind=name)
        return self._dynamic.resources.get(kind=name, preferred=True)

    def version_of(self, kind: str) -> str:
        """Return the version in which this cluster prefers a kind, such as policy/v1."""
        version: str = self.kind(kind).group_version
        return version

    def make(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Make an object, in the version that the cluster prefers unless one is written."""
        kind = self.kind(manifest["kind"])
        body = {"apiVersion": kind.group_version, **manifest}
        made: Manifest = kind.create(body=body, namespace=namespace).to_dict()
        return made

    def nodes(self) -> list[Manifest]:
        return self.labelled("Node", {})

    @contextmanager
    def space(self, purpose: str) -> Iterator["Space"]:
        """Make a namespace, and remove it with everything in it."""
        name = f"{TESTS}-{purpose}-{token_hex(3)}"
        self.make({"kind": "Namespace", "metadata": {"name": name, "labels": self._labels}})
        try:
            yield Space(self, name)
        finally:
            # The API server takes the pods with it; nobody has to wait for that.
            self.kind("Namespace").delete(name=name)

    def left(self) -> list[str]:
        """Return the namespaces made here that nobody has removed."""
        return self._spaces(self._labels)

    def all_spaces(self) -> list[str]:
        """Return the namespaces of all tests that run on this cluster."""
        return self._spaces(MANAGED)

    def _spaces(self, labels: Mapping[str, str]) -> list[str]:
        found = self.labelled("Namespace", labels)
        return [
            each["metadata"]["name"] for each in found if each["status"]["phase"] != "Terminating"
        ]

    def labelled(self, kind: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the objects of a kind that is in no namespace."""
        selector = _selector(labels)
        found: list[Manifest] = self.kind(kind).get(label_selector=selector).to_dict()["items"]
        return found


class Space:
    """A namespace.

    Parameters
    ----------
    cluster
        Its cluster.
    name
        Of the namespace.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def make(self, *manifests: Manifest) -> None:
        for each in manifests:
            self.cluster.make(each, self.name)

    def apply(self, manifest: Manifest) -> None:
        """Make an object, or change the one that is there, as `kubectl apply` does."""
        kind = self.cluster.kind(manifest["kind"])
        namespace = self.name if kind.namespaced else None
        kind.server_side_apply(body=manifest, namespace=namespace, field_manager=TESTS)

    def all(self, kind: str, **labels: str) -> "list[Manifest]":
        """Return all objects of a kind; of labels `run` and `component` the names are ours."""
        selector = _selector({_LABELS[key]: value for key, value in labels.items()})
        asked = self.cluster.kind(kind).get(namespace=self.name, label_selector=selector)
        found: list[Manifest] = asked.to_dict()["items"]
        return found

    def names(self, kind: str, **labels: str) -> "list[str]":
        return [each["metadata"]["name"] for each in self.all(kind, **labels)]

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return an object; None where there is none."""
        try:
            found: Manifest = self.cluster.kind(kind).get(name=name, namespace=self.name).to_dict()
        except NotFoundError:
            return None
        return found

    def get(self, kind: str, name: str) -> Manifest:
        found = self.find(kind, name)
        assert found is not None, f"there is no {kind} {name}\n{self.state()}"
        return found

    def delete(self, kind: str, name: str, *, grace_s: int | None = None) -> None:
        """Delete an object and what it owns; nothing where there is none."""
        body: Manifest = {"kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        try:
            self.cluster.kind(kind).delete(name=name, namespace=self.name, body=body)
        except NotFoundError:
            return

    def kill(self, pod: str) -> None:
        """Delete a pod without a word to its processes, as when its node is lost."""
        self.delete("Pod", pod, grace_s=0)

    def evict(self, pod: str) -> None:
        """Ask for an eviction, as a drained node does.

        Raises
        ------
        ApiException
            With status 429: a budget does not allow it.
        """
        version = self.cluster.version_of("PodDisruptionBudget")
        body: Any = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": pod}}
        self.cluster.core.create_namespaced_pod_eviction(pod, self.name, body)

    def run(self, pod: str, *command: str) -> str:
        """Run a command in a pod; what it printed."""
        # A stream replaces how its client sends requests, so it has a client of its own.
        with kubernetes.config.new_client_from_config() as client:
            stream = kubernetes.stream.stream(
                kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_exec,
                pod,
                self.name,
                command=[*command],
                stdout=True,
                stderr=True,
                _preload_content=False,
            )
            stream.run_forever(timeout=60)
            said: str = stream.read_all()
            stream.sock.shutdown()  # `close` leaves the socket that the server has closed
        return said

    def said(self, pod: str, *, before: bool = False) -> str:
        """Return the log of a pod; `before`: of its container before it started again."""
        said: str = self.cluster.core.read_namespaced_pod_log(pod, self.name, previous=before)
        return said

    def wait(
        self,
        true: Callable[[], object],
        otherwise: str,
        *,
        patience_s: float = 60.0,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """Look again and again until something is so; if it never is, show the namespace.

        `alive` says whether it may still come.
        """
        until = time.monotonic() + patience_s
        while not true():
            assert alive(), f"{otherwise}: what should do it has ended\n{self.state()}"
            assert time.monotonic() < until, f"{otherwise} ({patience_s:g} s)\n{self.state()}"
            time.sleep(0.1)

    def is_ready(self, pod: str) -> bool:
        found = self.find("Pod", pod)
        return found is not None and _condition(found, "Ready") == "True"

    def pod_of(self, job: str) -> str:
        """Return the newest pod of a Job; "" where it has none yet."""
        asked = self.cluster.kind("Pod").get(namespace=self.name, label_selector=f"job-name={job}")
        found = sorted(
            asked.to_dict()["items"], key=lambda each: each["metadata"]["creationTimestamp"]
        )
        return str(found[-1]["metadata"]["name"]) if found else ""

    def ended(self, pod: str) -> str:
        """Return why the container of a pod has ended; "" while it has not."""
        statuses = self.get("Pod", pod)["status"].get("containerStatuses", ())
        reasons = [each["state"].get("terminated", {}).get("reason", "") for each in statuses]
        return " ".join(reasons)

    def state(self) -> str:
        """Return what a person would look at first: pods, Jobs, events, ends of logs."""
        lines = [f"namespace {self.name}"]
        lines += [f"job {each['metadata']['name']}: {each['status']}" for each in self.all("Job")]
        for pod in self.all("Pod"):
            lines += self._lines_of(pod)
        events = self.all("Event")
        events.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime")))
        for each in events[-40:]:
            of = each["involvedObject"]
            lines.append(f"event {of['kind']} {of.get('name')}: {each.get('message')}")
        return "\n".join(lines)

    def _lines_of(self, pod: Manifest) -> Iterator[str]:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        reason = f"{status.get('reason', '')} {status.get('message', '')}"
        yield f"pod {name}: {status.get('phase')} {reason}"
        for each in status.get("containerStatuses", ()):
            yield f"  {each['name']}: {each['state']}, before {each.get('lastState')}"
            for before in (True, False) if each.get("restartCount") else (False,):
                yield from self._end_of(name, each["name"], before)

    def _end_of(self, pod: str, container: str, before: bool) -> "Iterator[str]":
        try:
            said = self.cluster.core.read_namespaced_pod_log(
                pod, self.name, container=container, tail_lines=20, previous=before
            )
        except ApiException:  # it has not begun, or is gone
            return
        for line in said.splitlines():
            yield f"    {'(before) ' if before else ''}{line}"


_LABELS = {
    "run": "deepsalt.io/run",
    "group": "deepsalt.io/group",
    "component": "app.kubernetes.io/component",
    "name": "app.kubernetes.io/name",
}


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _condition(of: Manifest, kind: str) -> str:
    conditions = of.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")
