"""The workers of a run: how many each group should have, and has.

A worker is a Job. Those that are missing are created, those without work are retired by their
scheduler and end by themselves. Ones that die are replaced, more slowly the more often they die
before they ever worked.
"""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from deepsalt.errors import RunError
from flows.cluster_profile import ClusterProfile, WorkerGroup
from flows.kubernetes.api import GROUP, AwayError, Cluster
from flows.kubernetes.documents import Owner, worker_job
from flows.kubernetes.reasons import NO_POD, Reason, why

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 60.0
_VAIN_STARTS = 5
"""Number of workers that may end before they ever worked, one after another, until a run gives up.
"""


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
            if time.monotonic() < self._wait_until_s.get(group.name, 0.0):
                continue
            try:
                for _ in range(wanted.get(group.name, 0) - alive[group.name]):
                    self._create(group)
            except AwayError:
                raise
            except RunError as error:  # such as a quota that is used up
                if not alive.total():
                    raise
                self._wait_until_s[group.name] = time.monotonic() + _LONGEST_WAIT_S
                logger.warning("%s; the run goes on with the workers that it has", error)

    def why_waiting(self) -> Reason:
        """Return why the newest worker is not ready, as the cluster says."""
        jobs = self._cluster.jobs(run=self._owner.run, component="worker")
        return why(self._cluster, jobs[-1]["metadata"]["name"]) if jobs else NO_POD

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
            self._groups[name] = group  # its creation may have been answered with a timeout
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
            raise RunError(
                f"{self._vain[group]} workers of group {group} ended before they worked: "
                f"{why(self._cluster, name)}"
            )


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether a Job has succeeded or failed."""
    conditions = job.get("status", {}).get("conditions") or ()
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions
    )
