"""What pods of runs and pods of a service have in common: the restricted Pod Security Standard."""

from collections.abc import Iterable
from typing import Any

USER = 1000
"""User and group of the images."""

TMP_BYTES = 1_000_000_000
"""Size limit of a pod's /tmp."""

POD_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
EVICTIONS_ARE_FREE: dict[str, Any] = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
}
"""Policy of a Job to which an eviction is no failure; servers older than 1.25 ignore it."""


def variables_from(config_maps: Iterable[str], secrets: Iterable[str]) -> list[dict[str, Any]]:
    """Return the sources of a container's environment variables, by the names of the objects."""
    return [
        *({"configMapRef": {"name": name}} for name in config_maps),
        *({"secretRef": {"name": name}} for name in secrets),
    ]
