"""What all pods of a run have in common: security, volumes, environment, certificates.

They meet the restricted Pod Security Standard, and write to volumes only.
"""

from collections.abc import Mapping
from typing import Any

from flows.cluster_profile import SCRATCH, ClusterProfile, Toleration
from flows.engines.allocator import allocator_environment
from flows.kubernetes.restricted import (
    CONTAINER_SECURITY,
    POD_SECURITY,
    TMP_BYTES,
    variables_from,
)

CERTIFICATE, KEY = "tls.crt", "tls.key"
"""Keys of a run's Secret."""

_CERTIFICATES = "/certificates"
_MODELS = "/models"


def pod(
    profile: ClusterProfile,
    *,
    container: Mapping[str, Any],
    placed: Mapping[str, Any],
    secret: str,
    scratch_bytes: int = 0,
    grace_s: int = 30,
) -> dict[str, Any]:
    """Return the specification of a pod.

    Parameters
    ----------
    profile
        The cluster.
    container
        Its container: name, command, ports, resources, probes; ``env`` as a mapping.
    placed
        Where it may run: node selector, tolerations, priority, topology.
    secret
        Secret with the certificates of the run.
    scratch_bytes
        Size limit of its scratch volume; 0: it has none, and none of the profile's settings and
        secrets either: it reads no scenes.
    grace_s
        Time that it has to end.
    """
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": str(TMP_BYTES)}},
        {"name": "certificates", "secret": {"secretName": secret, "defaultMode": 0o440}},
    ]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "certificates", "mountPath": _CERTIFICATES, "readOnly": True},
    ]
    environment = _encryption() | allocator_environment() | dict(container["env"])
    if scratch_bytes:
        volumes.append({"name": "scratch", "emptyDir": {"sizeLimit": str(scratch_bytes)}})
        mounts.append({"name": "scratch", "mountPath": SCRATCH})
        environment["DEEPSALT_MODEL_CACHE"] = f"{SCRATCH}/models"
        environment["TMPDIR"] = SCRATCH
    if scratch_bytes and profile.model_cache:
        volumes.append(
            {"name": "models", "persistentVolumeClaim": {"claimName": profile.model_cache}}
        )
        mounts.append({"name": "models", "mountPath": _MODELS})
        environment["DEEPSALT_MODEL_CACHE"] = _MODELS
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "restartPolicy": "Never",
        "serviceAccountName": profile.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": POD_SECURITY,
        **placed,
        "volumes": volumes,
        "containers": [
            {
                **container,
                "image": profile.image,
                "imagePullPolicy": profile.image_pull_policy,
                "env": [*variables, _own("POD_NAME", "metadata.name")],
                "envFrom": variables_from(profile.config_maps, profile.secrets)
                if scratch_bytes
                else [],
                "volumeMounts": mounts,
                "securityContext": CONTAINER_SECURITY,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }


def placement(
    node_selector: Mapping[str, str],
    tolerations: tuple[Toleration, ...],
    priority_class: str | None,
) -> dict[str, Any]:
    """Return where a pod may run, and before which others."""
    found: dict[str, Any] = {
        "nodeSelector": dict(node_selector),
        "tolerations": [each.model_dump(exclude_none=True) for each in tolerations],
    }
    return found | ({"priorityClassName": priority_class} if priority_class else {})


def _own(variable: str, field: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": field}}}


def _encryption() -> dict[str, str]:
    """Return the variables by which Dask speaks to holders of the run's certificate only."""
    certificate, key = f"{_CERTIFICATES}/{CERTIFICATE}", f"{_CERTIFICATES}/{KEY}"
    found = {"HOME": "/tmp", "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    found[f"{tls}CA_FILE"] = certificate
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        found |= {f"{tls}{role}__CERT": certificate, f"{tls}{role}__KEY": key}
    return found
