"""Runs of a service as pods on Kubernetes: what its file says of them, and the Job of a run.

Prefect's Kubernetes worker fills the Job in for each run. Pods meet the restricted Pod Security
Standard and write to volumes only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from flows.cluster_profile import SCRATCH, Toleration
from flows.engines.allocator import allocator_environment
from flows.kubernetes.restricted import (
    CONTAINER_SECURITY,
    EVICTIONS_ARE_FREE,
    POD_SECURITY,
    TMP_BYTES,
    variables_from,
)

FILES = "/etc/deepsalt"
"""Where the files of the service's ConfigMap lie in its pod and in those of runs."""

DRIVERS = ("map-scenes", "build-mosaic", "backfill")
"""Flows that may make a Dask cluster: their pods may create Jobs, and others keep to one pod."""

START = "/tmp"
"""Folder that runs start in."""


Flow = Literal[
    "map-scenes",
    "process-scene",
    "build-mosaic",
    "watch",
    "validate",
    "backfill",
    "train-model",
    "maintain",
]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PodSize(_Closed):
    """What the pod of a flow's run may take."""

    cpu: float = Field(1.0, gt=0, description="cores; chunks are computed on as many threads")
    memory: ByteSize = Field(ByteSize(2_000_000_000), gt=0, description="memory, such as 2GB")

    @property
    def threads(self) -> int:
        """Number of chunks that are computed at a time."""
        return max(1, round(self.cpu))


_SIZES = {
    "process-scene": PodSize(cpu=4, memory=ByteSize(4_000_000_000)),
    "build-mosaic": PodSize(cpu=4, memory=ByteSize(4_000_000_000)),
    "train-model": PodSize(cpu=4, memory=ByteSize(8_000_000_000)),
}


class Pods(_Closed):
    """Pods of a Kubernetes cluster that a service's runs are, instead of processes here."""

    image: str = Field(description="image of the runs: the one of the service")
    namespace: str = Field("deepsalt", description="namespace of the runs")
    address: str = Field(
        "http://deepsalt-service:4200",
        pattern=r"^https?://[^/\s]+$",
        description="address of the server as pods reach it",
    )
    cluster: Path | None = Field(
        None,
        description="cluster profile, a TOML file: map-scenes and backfill make this Dask cluster; "
        "default: threads in their pod",
    )
    sizes: Mapping[Flow, PodSize] = Field({}, description="what the pods of a flow may take")
    secrets: tuple[str, ...] = Field(
        (), description="names of Secrets that runs have as environment variables"
    )
    config_maps: tuple[str, ...] = Field(
        (), description="names of ConfigMaps that runs have as environment variables"
    )
    login_secret: str | None = Field(
        None,
        description="name of the Secret with the server's user:password at the key "
        "PREFECT_SERVER_API_AUTH_STRING; default: the server asks for none",
    )
    files: str | None = Field(
        None, description="name of a ConfigMap whose files runs find in /etc/deepsalt"
    )
    environment: Mapping[str, str] = Field(
        {}, description="environment variables of runs; no secrets"
    )
    service_account: str = Field(
        "deepsalt-worker", description="service account of runs that keep to their pod"
    )
    driver_account: str = Field(
        "deepsalt-driver", description="service account of runs that may make a Dask cluster"
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    scratch_gb: float = Field(10.0, gt=0, description="size limit of a run's scratch volume, GB")
    node_selector: Mapping[str, str] = Field({}, description="labels of nodes that runs may use")
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str | None = Field(None, description="name of the PriorityClass of runs")
    grace_s: int = Field(
        60, ge=40, description="seconds that a run has to end, of which Prefect takes up to 30"
    )
    keep_ended_s: int = Field(
        600, ge=0, description="seconds that the Job and the log of an ended run are kept"
    )

    def size_of(self, flow: str) -> PodSize:
        """Return what the pod of a flow may take."""
        told = {str(name): size for name, size in self.sizes.items()}
        return (_SIZES | told).get(flow, PodSize())

    def variables_of(self, flow: str) -> dict[str, str | bool]:
        """Return what the Job of a flow's run is filled in with; see `base_job_template`."""
        size, drives = self.size_of(flow), flow in DRIVERS
        return {
            "cpu": f"{size.cpu:g}",
            "memory": str(int(size.memory)),
            "component": "driver" if drives else "flow",
            "service_account": self.driver_account if drives else self.service_account,
            "has_token": drives,
        }


def base_job_template(pods: Pods) -> dict[str, Any]:
    """Return the base job template of a Kubernetes work pool.

    A pod that is asked to leave gives its run back, and the worker starts a Job for it. So the Job
    itself tries nothing again, except for a pod that went with its node.

    Parameters
    ----------
    pods
        What the service says of its pods.
    """
    usual = pods.variables_of("")
    return {
        "variables": {
            "type": "object",
            "properties": {
                name: {
                    "type": "boolean" if isinstance(value, bool) else "string",
                    "default": value,
                }
                for name, value in usual.items()
            },
        },
        "job_configuration": {
            "namespace": pods.namespace,
            "labels": {
                "app.kubernetes.io/name": "deepsalt",
                "app.kubernetes.io/component": "{{ component }}",
            },
            "env": _environment(pods),
            "job_manifest": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"namespace": pods.namespace},
                "spec": {
                    "backoffLimit": 0,
                    "ttlSecondsAfterFinished": pods.keep_ended_s,
                    "podFailurePolicy": EVICTIONS_ARE_FREE,
                    "template": {"spec": _pod(pods)},
                },
            },
        },
    }


def _environment(pods: Pods) -> dict[str, str]:
    """Return what replaces the worker's own settings in pods, and is added to them."""
    return {
        **allocator_environment(),
        "HOME": "/tmp",
        "TMPDIR": SCRATCH,
        "PREFECT_HOME": "/tmp/prefect",
        "PREFECT_API_URL": f"{pods.address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **pods.environment,
    }


def _pod(pods: Pods) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": str(TMP_BYTES)}},
        {"name": "scratch", "emptyDir": {"sizeLimit": str(round(pods.scratch_gb * 1e9))}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "scratch", "mountPath": SCRATCH},
    ]
    if pods.files:
        volumes.append({"name": "files", "configMap": {"name": pods.files}})
        mounts.append({"name": "files", "mountPath": FILES, "readOnly": True})
    priority = {"priorityClassName": pods.priority_class} if pods.priority_class else {}
    return {
        "restartPolicy": "Never",
        # Prefect's worker wants to find these two here, where the API server ignores them.
        "parallelism": 1,
        "completions": 1,
        "serviceAccountName": "{{ service_account }}",
        "automountServiceAccountToken": "{{ has_token }}",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pods.grace_s,
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [each.model_dump(exclude_none=True) for each in pods.tolerations],
        **priority,
        "securityContext": POD_SECURITY,
        "volumes": volumes,
        "containers": [
            {
                "name": "prefect-job",
                "image": pods.image,
                "imagePullPolicy": pods.image_pull_policy,
                # Without `env`, which the worker writes, and with the image's own entry point left
                # out: `prefect flow-run execute` takes its place.
                "command": ["prefect", "flow-run", "execute"],
                "args": [],
                "envFrom": variables_from(pods.config_maps, pods.secrets),
                "resources": {
                    "requests": {"cpu": "{{ cpu }}", "memory": "{{ memory }}"},
                    "limits": {"memory": "{{ memory }}"},
                },
                "volumeMounts": mounts,
                "securityContext": CONTAINER_SECURITY,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
