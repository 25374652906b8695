"""Makes the Dask cluster of a run on Kubernetes, and removes it."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Security

from deepsalt.documents import encode
from deepsalt.errors import RunError
from deepsalt.progress import Progress
from flows.cluster_profile import ClusterProfile
from flows.engines.engine import Load
from flows.kubernetes.api import Cluster
from flows.kubernetes.documents import (
    SCHEDULER_PORT,
    Owner,
    certificates,
    once_ready,
    scheduler_job,
    scheduler_name,
    service,
)
from flows.kubernetes.scaling import Scaling
from flows.kubernetes.tunnel import tunnel
from flows.kubernetes.workers import Workers, has_ended, reason_of

DRIVER_VARIABLE = "DEEPSALT_DRIVER"
"""Names the Job whose pod this process is in; what the run makes belongs to that Job."""

PROGRESS = "deepsalt.io/progress"
"""Annotation of a scheduler Job: how far its run is, as JSON."""

_POLL_S = 1.0
_REPORT_S = 10.0
_CONNECT_S = 60
_NOTE_S = 20.0


@dataclass
class KubernetesCluster:
    """A scheduler in a pod, and its workers.

    Parameters
    ----------
    cluster
        Where it is.
    owner
        Its scheduler Job.
    profile
        What it is made of.
    security
        Certificates of the run.
    workers
        Its workers.
    """

    cluster: Cluster
    owner: Owner
    profile: ClusterProfile
    security: Security
    workers: Workers
    _reported_s: float = field(default=0.0, repr=False)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"the Dask cluster {self.owner.run} in namespace {self.cluster.namespace}"

    @contextmanager
    def connected(self, progress: Progress) -> Iterator[Client]:
        """Wait for the scheduler's pod, and connect to it until the block ends.

        A scheduler that was lost is started again by its Job, so this can be called again.

        Raises
        ------
        RunError
            The scheduler does not start in time, or cannot be reached.
        """
        with ExitStack() as opened:
            self._await_scheduler(progress)
            name = scheduler_name(self.owner.run)
            address = f"tls://{name}.{self.cluster.namespace}:{SCHEDULER_PORT}"
            if not self.cluster.inside:
                port = opened.enter_context(
                    tunnel(self.cluster.namespace, self._scheduler_pod, SCHEDULER_PORT)
                )
                address = f"tls://127.0.0.1:{port}"
            try:
                client = Client(address, security=self.security, timeout=_CONNECT_S)
            except OSError as error:
                raise RunError(
                    f"the scheduler of {self.label} does not answer ({error}); check that pods "
                    "may reach each other (NetworkPolicy), and run again"
                ) from None
            yield opened.enter_context(client)

    @contextmanager
    def scaled(self, client: Client, scenes: int, progress: Progress) -> Iterator[Scaling]:
        """Keep workers until the block ends, which begins when the first one works.

        Parameters
        ----------
        client
            Connected to the scheduler.
        scenes
            Scenes to map.
        progress
            Told what the first worker waits for.

        Raises
        ------
        RunError
            No worker works in time.
        """
        with Scaling(self.workers, self.profile.groups, self.report) as scaling:
            scaling(Load(scenes, 0 if scenes else 1, ()))
            waited = Patience(self.profile.start_timeout_s, progress)
            while not client.scheduler_info(n_workers=-1)["workers"]:
                scaling.refuse()
                if told := waited.over(self.workers.why_waiting):
                    raise RunError(f"no worker of {self.label} starts ({told})")
            yield scaling

    def report(self, told: Mapping[str, Any]) -> None:
        """Write how far the run is, for `deepsalt status --cluster`; at most every ten seconds."""
        now_s = time.monotonic()
        if now_s >= self._reported_s + _REPORT_S:
            self._reported_s = now_s
            change = {"metadata": {"annotations": {PROGRESS: encode(dict(told)).decode().strip()}}}
            self.cluster.patch_job(scheduler_name(self.owner.run), change)

    def _await_scheduler(self, progress: Progress) -> None:
        waited = Patience(self.profile.start_timeout_s, progress)
        while not self._schedulers(ready=True):
            told = waited.over(self._why_waiting)
            if told or self._has_failed():
                raise RunError(
                    f"the scheduler of {self.label} does not start "
                    f"({told or self._why_waiting()}); look at `kubectl -n "
                    f"{self.cluster.namespace} describe job {scheduler_name(self.owner.run)}`"
                )
        self.cluster.patch_job(scheduler_name(self.owner.run), once_ready(self.profile))

    def _why_waiting(self) -> str:
        found = self._schedulers(ready=False)
        return reason_of(found[-1]) if found else "it has no pod yet"

    def _has_failed(self) -> bool:
        jobs = self.cluster.jobs(run=self.owner.run, component="scheduler")
        return not jobs or has_ended(jobs[0])

    def _scheduler_pod(self) -> str:
        pods = self._schedulers(ready=True)
        if not pods:
            raise OSError("the scheduler has no pod that is ready")
        return str(pods[0]["metadata"]["name"])

    def _schedulers(self, *, ready: bool) -> list[dict[str, Any]]:
        pods = self.cluster.pods(run=self.owner.run, component="scheduler")
        return [each for each in pods if is_ready(each) or not ready]


class Patience:
    """Waits for a pod, and says what it waits for every now and then.

    Parameters
    ----------
    allowed_s
        How long at most.
    progress
        Told what is waited for.
    """

    def __init__(self, allowed_s: float, progress: Progress) -> None:
        self._until_s = time.monotonic() + allowed_s
        self._note_s = time.monotonic() + _NOTE_S
        self._progress = progress

    def over(self, why: Callable[[], str]) -> str:
        """Wait a moment; return why the pod is not ready if time is over, else nothing."""
        time.sleep(_POLL_S)
        now_s = time.monotonic()
        if now_s > self._until_s:
            return why()
        if now_s > self._note_s:
            self._note_s = now_s + _NOTE_S
            self._progress.note(f"waiting for a pod: {why()}")
        return ""


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and not asked to end."""
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


@contextmanager
def kubernetes_cluster(
    profile: ClusterProfile, memory: Mapping[str, int]
) -> Iterator[KubernetesCluster]:
    """Make a scheduler and what its workers need, until the block ends.

    Parameters
    ----------
    profile
        The cluster.
    memory
        Memory of a worker by group, bytes.

    Raises
    ------
    RunError
        No cluster is configured, or it refuses.
    """
    cluster = Cluster(profile.namespace)
    driver = _driver_job(cluster)
    run = f"deepsalt-{secrets.token_hex(4)}"
    document = scheduler_job(run, profile)
    if driver is not None:
        _remove_older(cluster, driver)
        document["metadata"]["ownerReferences"] = [_belongs_to(driver)]
    made = cluster.create(document)
    owner = Owner(run, made["metadata"]["uid"])
    try:
        security = Security.temporary()
        held = certificates(owner, security.tls_scheduler_cert, security.tls_scheduler_key)
        cluster.create(held)
        cluster.create(service(owner))
        workers = Workers(cluster, owner, profile, memory)
        yield KubernetesCluster(cluster, owner, profile, security, workers)
    finally:
        cluster.delete_job(scheduler_name(run))


def _driver_job(cluster: Cluster) -> dict[str, Any] | None:
    """Return the Job whose pod this process is in, if its manifest names it."""
    name = os.environ.get(DRIVER_VARIABLE)
    if not name or not cluster.inside:
        return None
    return cluster.job(name)


def _belongs_to(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
    }


def _remove_older(cluster: Cluster, driver: Mapping[str, Any]) -> None:
    """Remove what an earlier pod of the same driver Job made: this one begins anew."""
    uid = driver["metadata"]["uid"]
    for job in cluster.jobs(name="deepsalt", component="scheduler"):
        if any(each["uid"] == uid for each in job["metadata"].get("ownerReferences") or ()):
            cluster.delete_job(job["metadata"]["name"])
