"""A node that pretends to have GPUs: resource, taint and label as of NVIDIA's device plugin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.cluster import Cluster, Space
from tests.waiting import wait_until

RESOURCE = "nvidia.com/gpu"
TAINT = {"key": RESOURCE, "value": "present", "effect": "NoSchedule"}
LABEL = "nvidia.com/gpu.present"


@contextmanager
def pretended(space: Space, count: int) -> Iterator[str]:
    """Give a node so many GPUs, and a namespace the right to more, until the block ends.

    The node's name. Its taint keeps pods away that do not tolerate it, those of others too.
    """
    cluster = space.cluster
    node = cluster.nodes()[0]["metadata"]["name"]
    _allow(space, 2 * count)
    _change(cluster, node, capacity=str(count), taint=True, label="true")
    try:
        wait_until(lambda: _gpus(cluster, node) == count, "the node does not offer its GPUs")
        yield node
    finally:
        _change(cluster, node, capacity=None, taint=False, label=None)
        _allow(space, 0)


def _allow(space: Space, count: int) -> None:
    """Change how many GPUs the namespace's quota allows."""
    for name in space.names("ResourceQuota"):
        space.cluster.kind("ResourceQuota").patch(
            name=name,
            namespace=space.name,
            body={"spec": {"hard": {f"requests.{RESOURCE}": str(count)}}},
            content_type="application/merge-patch+json",
        )


def _gpus(cluster: Cluster, node: str) -> int:
    (found,) = [each for each in cluster.nodes() if each["metadata"]["name"] == node]
    return int(found["status"]["allocatable"].get(RESOURCE, 0))


def _change(
    cluster: Cluster, node: str, *, capacity: str | None, taint: bool, label: str | None
) -> None:
    kind = cluster.kind("Node")
    resources = {RESOURCE: capacity}
    status = {"status": {"capacity": resources, "allocatable": resources}}
    kind.status.patch(name=node, body=status, content_type="application/merge-patch+json")
    (found,) = [each for each in cluster.nodes() if each["metadata"]["name"] == node]
    others: list[dict[str, Any]] = [
        each for each in found["spec"].get("taints", ()) if each["key"] != RESOURCE
    ]
    body = {
        "metadata": {"labels": {LABEL: label}},
        "spec": {"taints": [*others, TAINT] if taint else others},
    }
    kind.patch(name=node, body=body, content_type="application/merge-patch+json")
