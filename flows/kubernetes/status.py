"""Which clusters of ours run on Kubernetes, and how far their runs are."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deepsalt.documents import parse_document
from deepsalt.errors import FormatError
from flows.kubernetes.api import GROUP, RUN, Cluster
from flows.kubernetes.cluster import PROGRESS, is_ready
from flows.kubernetes.reasons import reason_of
from flows.kubernetes.scaling import REPORTED

_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """Workers of a group.

    Parameters
    ----------
    ready, waiting, died
        Pods that are ready, that are not yet, and that ended with an error.
    why
        Why one waits or died, as the cluster says; empty if none does.
    """

    ready: int
    waiting: int
    died: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One cluster, which is one run.

    Parameters
    ----------
    run
        Id of the run, and first part of the names of its objects.
    since
        When it was made.
    scheduler
        ``ready``, or why it is not.
    groups
        Its workers.
    progress
        What the driver last reported, by the names of `REPORTED`. Empty until then.
    """

    run: str
    since: datetime
    scheduler: str
    groups: Mapping[str, GroupStatus]
    progress: Mapping[str, Any]


def clusters_of(namespace: str) -> list[RunStatus]:
    """Return the clusters in a namespace, oldest first.

    Raises
    ------
    RunError
        No cluster is configured, or it refuses.
    """
    cluster = Cluster(namespace)
    jobs = cluster.jobs(name="deepsalt", component="scheduler")
    pods = cluster.pods(name="deepsalt")
    found = [_status(job, [each for each in pods if _run(each) == _run(job)]) for job in jobs]
    return sorted(found, key=lambda each: each.since)


def _status(job: Mapping[str, Any], pods: list[dict[str, Any]]) -> RunStatus:
    workers: dict[str, list[dict[str, Any]]] = {}
    schedulers: list[dict[str, Any]] = []
    for pod in pods:
        group = pod["metadata"]["labels"].get(GROUP)
        (workers.setdefault(group, []) if group else schedulers).append(pod)
    told = (job["metadata"].get("annotations") or {}).get(PROGRESS, "")
    ready = any(is_ready(pod) for pod in schedulers)
    return RunStatus(
        run=_run(job),
        since=datetime.fromisoformat(job["metadata"]["creationTimestamp"]),
        scheduler="ready" if ready else _why(schedulers) or "has no pod",
        groups={name: _group(found) for name, found in sorted(workers.items())},
        progress=_progress(told),
    )


def _progress(told: str) -> dict[str, float]:
    """Return what a driver reported; nothing if it is not what drivers write."""
    with suppress(FormatError):
        found = parse_document(told.encode(), "the annotation")
        numbers = {key: each for key, each in found.items() if isinstance(each, int | float)}
        if set(REPORTED) <= set(numbers):
            return numbers
    return {}


def _group(pods: list[dict[str, Any]]) -> GroupStatus:
    counts = Counter(_state(pod) for pod in pods)
    troubled = [pod for pod in pods if _state(pod) in ("waiting", "died")]
    return GroupStatus(counts["ready"], counts["waiting"], counts["died"], _why(troubled))


def _state(pod: Mapping[str, Any]) -> str:
    phase = pod.get("status", {}).get("phase")
    if phase in _OVER:
        return "died" if phase == "Failed" else "done"
    return "ready" if is_ready(pod) else "waiting"


def _why(pods: list[dict[str, Any]]) -> str:
    return reason_of(pods[-1]).text if pods else ""


def _run(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["labels"].get(RUN, ""))
