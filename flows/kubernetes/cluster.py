"""Makes the Dask cluster of a run on Kubernetes, and removes it."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from socket import gethostname
from typing import Any

from distributed import Client, Security

from deepsalt.documents import encode
from deepsalt.errors import RunError
from deepsalt.progress import Progress
from flows.cluster_profile import ClusterProfile
from flows.engines.engine import Load, lost
from flows.engines.opening import closing
from flows.kubernetes.api import AwayError, Cluster
from flows.kubernetes.documents import (
    SCHEDULER_PORT,
    START_DEADLINE_S,
    Owner,
    certificates,
    deadline,
    scheduler_job,
    scheduler_name,
    service,
)
from flows.kubernetes.reasons import NO_POD, Reason, why
from flows.kubernetes.scaling import Scaling
from flows.kubernetes.tunnel import tunnel
from flows.kubernetes.workers import Workers, has_ended

logger = logging.getLogger(__name__)

PROGRESS = "deepsalt.io/progress"
"""Annotation of a scheduler Job: how far its run is, as JSON."""

_POLL_S = 1.0
_REPORT_S = 10.0
_CONNECT_S = 60
_PULSE_S = 20.0
_ASK_S = 3.0
_NOTE_S = 20.0
_FINAL_S = 40.0
"""Time for which a reason must last that does not get better by itself."""
_EXTENDED_S = 30.0
_HOUR_S = 3600


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
    _reported_s: float = field(default=-inf, repr=False)
    _made_s: float = field(default_factory=time.monotonic, repr=False)
    _lasts_s: float = field(default=START_DEADLINE_S, repr=False)
    _was_connected: bool = field(default=False, repr=False)

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
        EngineLostError
            A scheduler that was lost cannot be reached yet.
        RunError
            The scheduler does not start.
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
                if self._was_connected:
                    raise lost(self.label) from None
                raise RunError(
                    f"the scheduler of {self.label} does not answer ({error}); check that pods "
                    "may reach each other (NetworkPolicy), and run again"
                ) from None
            self._was_connected = True
            yield opened.enter_context(closing(client))

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
        EngineLostError
            The scheduler was lost.
        RunError
            No worker works in time.
        """
        pulse = _Pulse(client)
        with Scaling(self.workers, self.profile.groups, self.report, pulse) as scaling:
            scaling(Load(scenes, 0 if scenes else 1, ()))
            waited = Patience(self.profile.start_timeout_s, progress, self.workers.why_waiting)
            while not client.scheduler_info(n_workers=-1).get("workers"):
                if client.status != "running":
                    raise lost(self.label)
                scaling.refuse()
                pulse()
                if told := waited.over():
                    raise RunError(f"no worker of {self.label} starts: {told}")
            yield scaling

    def report(self, told: Mapping[str, Any]) -> None:
        """Write how far the run is, for `deepsalt status --cluster`; at most every ten seconds."""
        now_s = time.monotonic()
        if now_s >= self._reported_s + _REPORT_S:
            self._reported_s = now_s
            change = {"metadata": {"annotations": {PROGRESS: encode(dict(told)).decode().strip()}}}
            self.cluster.patch_job(scheduler_name(self.owner.run), change)

    def _await_scheduler(self, progress: Progress) -> None:
        name = scheduler_name(self.owner.run)
        waited = Patience(self.profile.start_timeout_s, progress, lambda: why(self.cluster, name))
        while True:
            with suppress(AwayError):  # an upgrade of a control plane takes minutes
                if self._schedulers_ready():
                    break
                self._refuse_ended(waited)
                if not self._was_connected:  # who dies now leaves nothing for long
                    self._extend(time.monotonic() - self._made_s + START_DEADLINE_S)
            if told := waited.over():
                raise RunError(f"the scheduler of {self.label} does not start: {told}")
        self.cluster.patch_job(name, deadline(self.profile.longest_h * _HOUR_S))

    def _extend(self, seconds: float) -> None:
        """Let the scheduler's Job last so long from its start; asked for every half minute."""
        if seconds > self._lasts_s + _EXTENDED_S:
            self._lasts_s = seconds
            self.cluster.patch_job(scheduler_name(self.owner.run), deadline(seconds))

    def _refuse_ended(self, waited: "Patience") -> None:
        job = self.cluster.job(scheduler_name(self.owner.run))
        if job is None or has_ended(job):
            raise RunError(f"the scheduler of {self.label} has ended: {waited.reason}")

    def _scheduler_pod(self) -> str:
        pods = self._schedulers_ready()
        if not pods:
            raise OSError("the scheduler has no pod that is ready")
        return str(pods[0]["metadata"]["name"])

    def _schedulers_ready(self) -> list[dict[str, Any]]:
        pods = self.cluster.pods(run=self.owner.run, component="scheduler")
        return [each for each in pods if is_ready(each)]


class _Pulse:
    """Keeps a scheduler from ending for want of work while its driver is alive."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last_s = -inf
        self._held: Any = None

    def __call__(self) -> None:
        """Give the scheduler something to do, at most every twenty seconds."""
        now_s = time.monotonic()
        if now_s >= self._last_s + _PULSE_S and self._client.status == "running":
            self._last_s = now_s
            self._held = self._client.submit(_nothing, pure=False)


def _nothing() -> None:
    """Run on a worker, or wait for one."""


class Patience:
    """Waits for a pod, and says what it waits for every now and then.

    Parameters
    ----------
    allowed_s
        How long at most.
    progress
        Told what is waited for.
    ask
        Returns why the pod is not ready.
    """

    def __init__(self, allowed_s: float, progress: Progress, ask: Callable[[], Reason]) -> None:
        now_s = time.monotonic()
        self._until_s = now_s + allowed_s
        self._ask_s = now_s + _ASK_S
        self._note_s = now_s + _NOTE_S
        self._final_since_s: float | None = None
        self._progress = progress
        self._ask = ask
        self.reason = NO_POD
        """The last one that the cluster gave."""

    def over(self) -> Reason | None:
        """Wait a moment; return why the pod is not ready if waiting longer does not help."""
        time.sleep(_POLL_S)
        now_s = time.monotonic()
        if now_s >= min(self._ask_s, self._until_s):
            self._ask_s = now_s + _ASK_S
            with suppress(AwayError):
                found = self._ask()
                self.reason = self.reason if found is NO_POD else found
            if not self.reason.is_final:
                self._final_since_s = None
            elif self._final_since_s is None:
                self._final_since_s = now_s
        if now_s >= self._note_s:
            self._note_s = now_s + _NOTE_S
            self._progress.note(f"waiting for a pod: {self.reason}")
        since_s = self._final_since_s
        is_over = now_s >= self._until_s or (since_s is not None and now_s - since_s >= _FINAL_S)
        return self.reason if is_over else None


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
    try:
        made = cluster.create(document)
        owner = Owner(run, made["metadata"]["uid"])
        security = Security.temporary()
        held = certificates(owner, security.tls_scheduler_cert, security.tls_scheduler_key)
        cluster.create(held)
        cluster.create(service(owner))
        workers = Workers(cluster, owner, profile, memory)
        yield KubernetesCluster(cluster, owner, profile, security, workers)
    finally:
        try:
            cluster.delete_job(scheduler_name(run))
        except AwayError as error:
            logger.warning(
                "the Dask cluster %s could not be removed (%s); it ends by itself after %d s "
                "without work",
                run,
                error,
                profile.idle_timeout_s,
            )


def _driver_job(cluster: Cluster) -> dict[str, Any] | None:
    """Return the Job whose pod this process is in; None if it is in none of the namespace."""
    if not cluster.inside:
        return None
    own = [each for each in cluster.pods() if each["metadata"]["name"] == gethostname()]
    name = own[0]["metadata"].get("labels", {}).get("job-name") if own else None
    return None if name is None else cluster.job(name)


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
