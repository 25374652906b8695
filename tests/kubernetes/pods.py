"""Manifests of pods and Jobs that the restricted Pod Security Standard allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.kubernetes.cluster import Manifest

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def pod_spec(
    image: str,
    arguments: Sequence[str] = (),
    *,
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    volumes: Mapping[str, Manifest] | None = None,
    **more: Any,
) -> Manifest:
    """Return the specification of a pod with one container.

    Parameters
    ----------
    image, arguments, command
        Of the container; without a command the image's own.
    environment
        Variables of the container.
    secrets
        Names of Secrets whose entries are variables as well.
    volumes
        Volumes by the path where they are mounted; `/tmp` is always there.
    more
        Other fields of the pod.
    """
    mounted = {"/tmp": {"emptyDir": {}}, **(volumes or {})}
    named = {path: path.strip("/").replace("/", "-") for path in mounted}
    variables = {"HOME": "/tmp", **(environment or {})}
    container: Manifest = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [*arguments],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "envFrom": [{"secretRef": {"name": name}} for name in secrets],
        "volumeMounts": [{"name": name, "mountPath": path} for path, name in named.items()],
        "securityContext": _RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if command:
        container["command"] = [*command]
    container.update(more.pop("container", {}))
    return {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": named[path], **volume} for path, volume in mounted.items()],
        **more,
    }


def pod(name: str, spec: Manifest, *, component: str = "test") -> Manifest:
    return {"kind": "Pod", "metadata": _metadata(name, component), "spec": spec}


def job(name: str, spec: Manifest, *, tries: int = 1, component: str = "driver") -> Manifest:
    """Return a Job that starts its pod again until it has had so many."""
    return {
        "kind": "Job",
        "metadata": _metadata(name, component),
        "spec": {
            "backoffLimit": tries - 1,
            "template": {"metadata": {"labels": _labels(component)}, "spec": spec},
        },
    }


def _metadata(name: str, component: str) -> Manifest:
    return {"name": name, "labels": _labels(component)}


def _labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "deepsalt", "app.kubernetes.io/component": component}
