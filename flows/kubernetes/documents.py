"""The objects of a run as plain documents: scheduler Job, Service, Secret, a Job per worker."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.cluster_profile import SCRATCH, ClusterProfile, WorkerGroup
from flows.kubernetes.api import COMPONENT, GROUP, NAME, RUN
from flows.kubernetes.container import CERTIFICATE, KEY, placement, pod
from flows.kubernetes.restricted import EVICTIONS_ARE_FREE, TMP_BYTES

SCHEDULER_PORT, DASHBOARD_PORT = 8786, 8787
WORKER_METRICS_PORT, WORKER_PORT = 8788, 8789

START_DEADLINE_S = 180
"""Seconds that a scheduler Job lasts whose driver dies before it is ready."""

_SCHEDULER_RETRIES = 20
_SCHEDULER_KEPT_S = 60
_WORKER_KEPT_S = 300
"""Seconds that an ended worker's pod and log are kept."""
_STAYS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""Tells autoscalers to leave a pod's node alone."""
_WORKER_PATIENCE_S = 120
"""Seconds for which a worker looks for a scheduler that is away."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The Job that everything of a run belongs to.

    Parameters
    ----------
    run
        Id of the run, and first part of the names of its objects.
    uid
        Of the scheduler Job.
    """

    run: str
    uid: str

    @property
    def reference(self) -> dict[str, Any]:
        """What makes an object go when the scheduler Job goes."""
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": scheduler_name(self.run),
            "uid": self.uid,
        }


def scheduler_name(run: str) -> str:
    """Return the name of a run's scheduler Job, its Service and its Secret."""
    return f"{run}-scheduler"


def scheduler_job(run: str, profile: ClusterProfile) -> dict[str, Any]:
    """Return the Job of a run's scheduler.

    It ends by itself after a time without work. Until it is ready its Job ends within minutes
    unless its driver extends that: see `deadline`.
    """
    asked = profile.scheduler
    labels = _labels(run, "scheduler")
    container = {
        "name": "scheduler",
        "command": [
            *("dask", "scheduler", "--protocol", "tls", "--port", str(SCHEDULER_PORT)),
            *("--dashboard-address", f":{DASHBOARD_PORT}"),
            *("--idle-timeout", f"{profile.idle_timeout_s}s"),
        ],
        "env": {},
        "ports": [
            {"name": "scheduler", "containerPort": SCHEDULER_PORT},
            {"name": "dashboard", "containerPort": DASHBOARD_PORT},
        ],
        "resources": _resources(asked.cpu, int(asked.memory)),
        "readinessProbe": _asks("dashboard", period_s=2),
        "livenessProbe": _asks("dashboard", period_s=20),
    }
    spec = pod(
        profile,
        container=container,
        placed=placement(asked.node_selector, asked.tolerations, asked.priority_class),
        secret=scheduler_name(run),
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": scheduler_name(run), "labels": labels},
        "spec": {
            "backoffLimit": _SCHEDULER_RETRIES,
            "podFailurePolicy": EVICTIONS_ARE_FREE,
            "activeDeadlineSeconds": START_DEADLINE_S,
            "ttlSecondsAfterFinished": _SCHEDULER_KEPT_S,
            "template": {
                "metadata": {
                    "labels": {**profile.labels, **labels},
                    "annotations": _scraped(DASHBOARD_PORT) | _STAYS,
                },
                "spec": spec,
            },
        },
    }


def deadline(seconds: float) -> dict[str, Any]:
    """Return the change of a Job that may last so long from its start."""
    return {"spec": {"activeDeadlineSeconds": round(seconds)}}


def service(owner: Owner) -> dict[str, Any]:
    """Return the Service by which workers, and a driver in the cluster, reach the scheduler."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(owner, scheduler_name(owner.run), "scheduler"),
        "spec": {
            "selector": _labels(owner.run, "scheduler"),
            "ports": [
                {"name": "scheduler", "port": SCHEDULER_PORT, "targetPort": "scheduler"},
                {"name": "dashboard", "port": DASHBOARD_PORT, "targetPort": "dashboard"},
            ],
        },
    }


def certificates(owner: Owner, certificate: str, key: str) -> dict[str, Any]:
    """Return the Secret with the certificate and key of a run."""
    held = {CERTIFICATE: certificate, KEY: key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": _owned(owner, scheduler_name(owner.run), "scheduler"),
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in held.items()},
    }


def worker_job(
    owner: Owner, name: str, group: WorkerGroup, profile: ClusterProfile, *, memory_bytes: int
) -> dict[str, Any]:
    """Return the Job of one worker.

    The driver replaces a worker that ends, so its Job never tries again.

    Parameters
    ----------
    owner
        Whose worker it is.
    name
        Its name.
    group
        What it is like.
    profile
        The cluster.
    memory_bytes
        Memory that it may take.
    """
    metadata = _owned(owner, name, "worker")
    metadata["labels"] |= {GROUP: group.name}
    grace_s = grace_of(group, profile)
    container = {
        "name": "worker",
        "command": [
            *("dask", "worker", f"tls://{scheduler_name(owner.run)}:{SCHEDULER_PORT}"),
            *("--protocol", "tls", "--no-nanny", "--name", "$(POD_NAME)"),
            *("--nthreads", str(group.threads), "--memory-limit", str(memory_bytes)),
            *("--worker-port", str(WORKER_PORT), "--dashboard-address", f":{WORKER_METRICS_PORT}"),
            *("--death-timeout", f"{_WORKER_PATIENCE_S}s", "--local-directory", f"{SCRATCH}/dask"),
        ],
        "env": {
            **profile.environment,
            "DEEPSALT_GRACE_S": str(grace_s),
            "DEEPSALT_MAPS": "yes" if group.maps else "no",
            # Results never stay on a worker, so there is nothing to spill.
            "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
            "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
            "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
        },
        "ports": [
            {"name": "worker", "containerPort": WORKER_PORT},
            {"name": "metrics", "containerPort": WORKER_METRICS_PORT},
        ],
        "resources": _resources(
            group.cpu or group.threads,
            memory_bytes,
            scratch_bytes=_scratch_bytes(profile),
            gpus={group.gpu_resource: group.gpus} if group.gpus else {},
        ),
        "readinessProbe": _asks("metrics", period_s=5),
    }
    placed = placement(group.node_selector, group.tolerations, group.priority_class)
    spec = pod(
        profile,
        container=container,
        placed=placed | {"topologySpreadConstraints": [_apart(metadata["labels"])]},
        secret=scheduler_name(owner.run),
        scratch_bytes=_scratch_bytes(profile),
        grace_s=grace_s,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _WORKER_KEPT_S,
            "template": {
                "metadata": {
                    "labels": {**profile.labels, **metadata["labels"]},
                    "annotations": _scraped(WORKER_METRICS_PORT),
                },
                "spec": spec,
            },
        },
    }


def grace_of(group: WorkerGroup, profile: ClusterProfile) -> int:
    """Return the seconds that a worker has to finish: no more than the notice of a spot node."""
    if group.preemptions_per_hour and group.notice_s:
        return min(profile.grace_s, int(group.notice_s))
    return profile.grace_s


def _scratch_bytes(profile: ClusterProfile) -> int:
    return round(profile.scratch_gb * 1e9)


def _labels(run: str, component: str) -> dict[str, str]:
    return {NAME: "deepsalt", COMPONENT: component, RUN: run}


def _owned(owner: Owner, name: str, component: str) -> dict[str, Any]:
    return {
        "name": name,
        "labels": _labels(owner.run, component),
        "ownerReferences": [owner.reference],
    }


def _resources(
    cpu: float, memory_bytes: int, *, scratch_bytes: int = 0, gpus: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return requests and limits: memory is both, and cores that are free may be used."""
    held = {"memory": str(memory_bytes)} | {name: str(n) for name, n in (gpus or {}).items()}
    disk = {"ephemeral-storage": str(scratch_bytes + TMP_BYTES)} if scratch_bytes else {}
    return {"requests": {"cpu": f"{cpu:g}", **held, **disk}, "limits": held}


def _asks(port: str, *, period_s: int) -> dict[str, Any]:
    return {"httpGet": {"path": "/health", "port": port}, "periodSeconds": period_s} | {
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }


def _apart(labels: Mapping[str, str]) -> dict[str, Any]:
    """Spread the workers of a group over nodes as far as possible."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(labels)},
    }


def _scraped(port: int) -> dict[str, str]:
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/metrics",
    }
