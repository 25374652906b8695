"""The pods of a run or a build, if its configuration asks for a cluster on Kubernetes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deepsalt.progress import Progress
from flows.config import Compute
from flows.engines.engine import Needs
from flows.run.memory import memory_of_pod

if TYPE_CHECKING:
    from flows.kubernetes.pods import Pods


@contextmanager
def pods_of(compute: Compute, progress: Progress) -> "Iterator[Pods | None]":
    """Keep the pods that a run makes for itself, if it makes any, until the block ends."""
    if compute.cluster is None:
        yield None
        return
    from flows.kubernetes.pods import Pods

    with Pods(compute.cluster, progress) as pods:
        yield pods


def expect(pods: "Pods | None", needs: Needs, scenes: int) -> None:
    """Let pods be made for so many scenes and what these take of a worker."""
    if pods is not None:
        memory = {group.name: memory_of_pod(group, needs) for group in pods.profile.groups}
        pods.expect(memory, scenes)
