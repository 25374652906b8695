"""The workers of a run: how many each group should have, and has.

A worker is a Job. Those that are missing are created, those without work are retired by their
scheduler and end by themselves. Ones that die are replaced, more slowly the more often they die
before they ever worked.
"""

import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from deepsalt.errors import RunError
from flows.cluster_profile import ClusterProfile, WorkerGroup
from flows.kubernetes.api import GROUP, Cluster
from flows.kubernetes.documents import Owner, worker_job

_LONGEST_WAIT_S = 60.0
_VAIN_STARTS = 5
"""Number of workers that may end before they ever worked, one after another, until a run gives up.
"""


def wanted_workers(groups: Iterable[WorkerGroup], scenes: int, tiles: int) -> dict[str, int]:
    """Return how many workers each group should have.

    One per scene that is not yet mapped, and one per tile that waits, between the bounds of each
    group. Groups that only compose are filled first, with tiles; then the others, in the order of
    the profile.

    Parameters
    ----------
    groups
        The groups.
    scenes, tiles
        Scenes and tiles that wait or are being worked on.
    """
    found: dict[str, int] = {}
    for group in sorted(groups, key=lambda each: each.maps):
        work = scenes + tiles if group.maps else tiles
        number = max(group.least, min(group.most, work))
        mapping = min(number, scenes) if group.maps else 0
        scenes -= mapping
        tiles -= min(tiles, number - mapping)
        found[group.name] = number
    return found


class Workers:
    """The worker Jobs of a run.

    Parameters
    ----------
    cluster
        Where they are.
    owner
        What they belong to.
    profile
        Their groups.
    memory
        Memory of a worker by group, bytes.
    """

    def __init__(
        self,
        cluster: Cluster,
        owner: Owner,
        profile: ClusterProfile,
        memory: Mapping[str, int],
    ) -> None:
        self._cluster = cluster
        self._owner = owner
        self._profile = profile
        self._memory = memory
        self._groups: dict[str, str] = {}  # group of each Job that was created
        self._ended: set[str] = set()
        self._worked: set[str] = set()
        self._vain: Counter[str] = Counter()
        self._wait_until_s: dict[str, float] = {}

    def group_of(self, pod: str) -> str | None:
        """Return the group of a worker by the name of its pod; None if it is not of this run."""
        job = pod.rpartition("-")[0]
        return self._groups.get(job)

    def joined(self, pod: str) -> None:
        """Note that a worker works: its group can start others at once."""
        self._worked.add(pod.rpartition("-")[0])

    def keep(self, wanted: Mapping[str, int]) -> None:
        """Create the workers that are missing.

        Raises
        ------
        RunError
            Workers of a group die before they ever work, or the API server refuses.
        """
        alive = self._alive()
        for group in self._profile.groups:
            if time.monotonic() >= self._wait_until_s.get(group.name, 0.0):
                for _ in range(wanted.get(group.name, 0) - alive[group.name]):
                    self._create(group)

    def why_waiting(self) -> str:
        """Return why the newest worker is not ready, as the cluster says."""
        pods = self._cluster.pods(run=self._owner.run, component="worker")
        return reason_of(pods[-1]) if pods else "it has no pod yet"

    def _create(self, group: WorkerGroup) -> None:
        name = f"{self._owner.run}-{group.name}-{secrets.token_hex(3)}"
        memory = self._memory[group.name]
        self._cluster.create(
            worker_job(self._owner, name, group, self._profile, memory_bytes=memory)
        )
        self._groups[name] = group.name

    def _alive(self) -> Counter[str]:
        """Count the workers that have not ended, by group; take note of those that have."""
        alive: Counter[str] = Counter()
        for job in self._cluster.jobs(run=self._owner.run, component="worker"):
            group, name = job["metadata"]["labels"][GROUP], job["metadata"]["name"]
            if not has_ended(job):
                alive[group] += 1
            elif name not in self._ended:
                self._ended.add(name)
                self._learn(group, name, failed=not job["status"].get("succeeded"))
        return alive

    def _learn(self, group: str, name: str, *, failed: bool) -> None:
        """Wait longer for the next worker if this one died before it ever worked."""
        if not failed or name in self._worked:
            self._vain[group] = 0
            return
        self._vain[group] += 1
        wait_s = min(_LONGEST_WAIT_S, 2.0 ** self._vain[group])
        self._wait_until_s[group] = time.monotonic() + wait_s
        if self._vain[group] >= _VAIN_STARTS:
            pods = self._cluster.pods(job=name)
            why = reason_of(pods[-1]) if pods else "their pods are gone"
            raise RunError(
                f"{self._vain[group]} workers of group {group} ended before they worked ({why}); "
                f"look at `kubectl -n {self._cluster.namespace} logs job/{name}`, then run again"
            )


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether a Job has succeeded or failed."""
    conditions = job.get("status", {}).get("conditions") or ()
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions
    )


def reason_of(pod: Mapping[str, Any]) -> str:
    """Return why a pod is not ready, or has ended, as its cluster says."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        for state in (container.get("state", {}), container.get("lastState", {})):
            told = state.get("terminated") or state.get("waiting")
            if told and told.get("reason") != "ContainerCreating":
                last = (told.get("message") or "").strip().splitlines()[-1:]
                code = f" with code {told['exitCode']}" if "exitCode" in told else ""
                return f"{told.get('reason', 'ended')}{code}{f': {last[0][:300]}' if last else ''}"
    for condition in status.get("conditions") or ():
        if condition["status"] != "True" and condition.get("message"):
            return f"{condition.get('reason', '')}: {condition['message'][:300]}"
    return str(status.get("reason") or status.get("phase") or "unknown").lower()
