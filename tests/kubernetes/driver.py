"""Runs on a cluster: their profile, their driver as a Job or on this machine, what they leave."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.runs import Command, Ended
from tests.kubernetes.bucket import SECRET
from tests.kubernetes.cluster import Space
from tests.kubernetes.images import WORKER
from tests.kubernetes.overlay import driver_job
from tests.kubernetes.world import World, catalogue_volume, export_of

OF_A_RUN = ("Job", "Pod", "Service", "Secret")
"""Kinds of objects that a run makes."""

ON_PODS = ("--cluster=kubernetes", "--cluster-profile=/etc/deepsalt/cluster.toml")
"""Options of drivers in a pod whose run makes a cluster; see `set_profile`."""

_SCRATCH = "/scratch"


@dataclass(frozen=True)
class Driver:
    """The Job of a driver.

    Parameters
    ----------
    space
        Its namespace.
    name
        Of the Job.
    """

    space: Space
    name: str

    @property
    def pod(self) -> str:
        """The newest pod of the Job; "" where there is none yet."""
        return self.space.pod_of(self.name)

    def wait(self, patience_s: float = 240.0) -> Ended:
        """Wait until the Job has ended; how its last pod did."""
        self.space.wait(
            lambda: not self.is_alive(),
            f"the driver {self.name} does not end",
            patience_s=patience_s,
        )
        (status,) = self.space.get("Pod", self.pod)["status"]["containerStatuses"]
        said = self.space.said(self.pod)
        return Ended(int(status["state"]["terminated"]["exitCode"]), said, 0.0)

    def is_alive(self) -> bool:
        """Whether its Job has not ended."""
        conditions = self.space.get("Job", self.name).get("status", {}).get("conditions") or ()
        return not any(each["type"] in ("Complete", "Failed") for each in conditions)


def drive(
    world: World,
    space: Space,
    name: str,
    *options: str,
    tries: int = 1,
    **changed: Any,
) -> Driver:
    """Start a run of all scenes by the Job that the manifests have for it.

    Its store is the world's of the same name. Without `--cluster` among the options its pod maps
    the scenes by itself.

    Parameters
    ----------
    world, space, name
        What is mapped; where the Job is made, and its name.
    options
        Of the command.
    tries
        How many pods the Job may start.
    changed
        `scratch`: the volume of that name; `secrets`: which Secrets the pod has; `account`: its
        service account.
    """
    out = world.store(name)
    made = driver_job(space)
    made["metadata"]["name"] = name
    made["spec"]["backoffLimit"] = tries - 1
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    container |= {
        "image": WORKER,
        "command": ["deepsalt"],
        "args": [
            *("run", "--catalogue=/catalogue", f"--out={out}", f"--export={export_of(out)}"),
            *(f"--scratch={_SCRATCH}", *options),
        ],
        "envFrom": [{"secretRef": {"name": each}} for each in changed.get("secrets", [SECRET])],
    }
    container["env"] = [
        *container["env"],
        {"name": "COLUMNS", "value": "200"},
    ]
    container["resources"]["requests"]["cpu"] = "100m"
    spec["serviceAccountName"] = changed.get("account", spec["serviceAccountName"])
    volumes = {
        "catalogue": ("/catalogue", catalogue_volume(world.catalogue)),
        "scratch": (_SCRATCH, changed.get("scratch", {"emptyDir": {}})),
    }
    for volume, (path, source) in volumes.items():
        spec["volumes"].append({"name": volume, **source})
        container["volumeMounts"].append({"name": volume, "mountPath": path})
    space.make(made)
    return Driver(space, name)


class Here:
    """The same run with its driver on this machine; a context manager that kills it.

    Parameters
    ----------
    world, name
        What is mapped, and the name of its store.
    profile
        The cluster's profile.
    options, environment
        Of the command.
    """

    def __init__(
        self, world: World, name: str, profile: Path, *options: str, **environment: str
    ) -> None:
        out = world.store(name)
        told = ("--cluster=kubernetes", f"--cluster-profile={profile}", "--export", export_of(out))
        known = {"COLUMNS": "200", **world.bucket.environment, **environment}
        self._command = Command.run(world.catalogue, out, *told, *options, **known)

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_alive():
            self.signal(signal.SIGKILL)
            self.wait()

    def signal(self, number: signal.Signals) -> None:
        self._command.popen.send_signal(number)

    def is_alive(self) -> bool:
        return self._command.popen.poll() is None

    def wait(self, patience_s: float = 300.0) -> Ended:
        """Wait until it has ended."""
        return self._command.wait(patience_s)


def profile_text(space: Space, *groups: Mapping[str, object], **changed: object) -> str:
    """Return the profile of a small cluster in a namespace; each group is what differs from one."""
    common: dict[str, object] = {
        "image": WORKER,
        "namespace": space.name,
        "secrets": [SECRET],
        "scratch_gb": 1,
        "grace_s": 20,
        "idle_timeout_s": 60,
        "start_timeout_s": 120,
        "scheduler": {"cpu": 0.1, "memory": "1GB"},
        **changed,
    }
    group = {"name": "cpu", "most": 2, "threads": 1, "cpu": 0.1}
    common["groups"] = [{**group, **each} for each in groups or ({},)]
    return "".join(f"{name} = {_toml(value)}\n" for name, value in common.items())


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def set_profile(space: Space, text: str) -> None:
    """Give drivers in the cluster a profile, as the ConfigMap that their Job mounts."""
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "deepsalt-cluster"},
            "data": {"cluster.toml": text},
        }
    )


def left_of_runs(space: Space) -> list[str]:
    """Return all objects of runs that are there, each with its kind."""
    return [
        f"{kind} {each['metadata']['name']}"
        for kind in OF_A_RUN
        for each in space.all(kind)
        if "deepsalt.io/run" in (each["metadata"].get("labels") or {})
    ]


def workers_of(space: Space, *, ready: bool = True, **labels: str) -> list[str]:
    """Return the worker pods that are there and not asked to end."""
    return [
        each["metadata"]["name"]
        for each in space.all("Pod", component="worker", **labels)
        if "deletionTimestamp" not in each["metadata"]
        and each["status"]["phase"] in ("Pending", "Running")
        and (not ready or space.is_ready(each["metadata"]["name"]))
    ]
