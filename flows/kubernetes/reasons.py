"""Why a pod does not start or has ended, as its cluster says, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.kubernetes.api import Cluster

_VAGUE = ("ContainerCreating", "PodInitializing", "ContainersNotReady", "ContainersNotInitialized")
_TEXT = 300


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a pod is not ready.

    Parameters
    ----------
    text
        What its cluster says.
    advice
        What to do about it.
    is_final
        Whether waiting does not help.
    """

    text: str
    advice: str = "look at the cluster's nodes"
    is_final: bool = False

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}"


NO_POD = Reason("it has no pod yet")

_IMAGE = "check `image` in the cluster profile, and that nodes may pull it"
_ADVICE = {
    "ErrImagePull": (_IMAGE, True),
    "ImagePullBackOff": (_IMAGE, True),
    "InvalidImageName": (_IMAGE, True),
    "ErrImageNeverPull": (_IMAGE, True),
    "CreateContainerConfigError": (
        "check `secrets` and `config_maps` in the cluster profile",
        True,
    ),
    "Unschedulable": (
        "no node fits: check memory, cpu, node_selector and tolerations in the cluster profile, or "
        "wait for the autoscaler",
        False,
    ),
    "FailedCreate": (
        "ask for fewer or smaller workers in the cluster profile, or more quota",
        False,
    ),
    "OOMKilled": ("give the group more `memory` in the cluster profile", False),
}


def why(cluster: Cluster, job: str) -> Reason:
    """Return why the pod of a Job is not ready.

    Parameters
    ----------
    cluster
        Where it is.
    job
        Name of the Job.
    """
    pods = cluster.pods(job=job)
    found = reason_of(pods[-1]) if pods else NO_POD
    if pods and not found.text.startswith(_VAGUE):
        return found
    warnings = cluster.warnings(pods[-1]["metadata"]["name"] if pods else job)
    if not warnings:
        return found
    last = warnings[-1]
    return _reason(last["reason"], str(last.get("message", "")))


def reason_of(pod: Mapping[str, Any]) -> Reason:
    """Return why a pod is not ready, or has ended, as far as the pod itself says."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        for state in (container.get("state", {}), container.get("lastState", {})):
            told = state.get("terminated") or state.get("waiting")
            if told and told.get("reason") not in _VAGUE:
                code = f" with code {told['exitCode']}" if "exitCode" in told else ""
                last = (told.get("message") or "").strip().splitlines()[-1:]
                return _reason(told.get("reason") or "ended", *last, after=code)
    for condition in status.get("conditions") or ():
        if condition["status"] != "True" and condition.get("message"):
            return _reason(condition.get("reason") or "", condition["message"])
    return Reason(str(status.get("reason") or status.get("phase") or "unknown").lower())


def _reason(name: str, message: str = "", *, after: str = "") -> Reason:
    text = f"{name}{after}{f': {message[:_TEXT]}' if message else ''}"
    return Reason(text, *_ADVICE[name]) if name in _ADVICE else Reason(text)
