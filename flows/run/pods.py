"""The pods of a run or a build, if its configuration asks for a cluster on Kubernetes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deepsalt.errors import UsageError
from deepsalt.fetch import hosts_of
from deepsalt.objects import Objects
from deepsalt.progress import Progress
from deepsalt.types import Acquisition
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


def refuse_local(out: str) -> None:
    """Refuse a store that pods cannot reach.

    Raises
    ------
    UsageError
        The store is a folder of this machine.
    """
    if Objects.of(out).is_local:
        raise UsageError(
            f"pods of --cluster have no access to the folder {out}; give a store in a bucket, such "
            "as s3://bucket/prefix"
        )


def refuse_local_scenes(scenes: Iterable[Acquisition]) -> None:
    """Refuse scenes that pods cannot reach.

    Raises
    ------
    UsageError
        The files of a scene lie on this machine.
    """
    for each in scenes:
        if not hosts_of(each):
            raise UsageError(
                f"the files of scene {each.scene_id} lie on this machine, where pods of --cluster "
                "do not reach them; copy them to a bucket and catalogue them there"
            )


def expect(pods: "Pods | None", needs: Needs, scenes: int) -> None:
    """Let pods be made for so many scenes and what these take of a worker."""
    if pods is not None:
        memory = {group.name: memory_of_pod(group, needs) for group in pods.profile.groups}
        pods.expect(memory, scenes)
