"""A node that pretends to have GPUs: resource, taint and label as of NVIDIA's device plugin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.cluster import Cluster
from tests.waiting import wait_until

RESOURCE = "nvidia.com/gpu"
TAINT = {"key": RESOURCE, "value": "present", "effect": "NoSchedule"}
LABEL = "nvidia.com/gpu.present"


@contextmanager
def pretended(cluster: Cluster, count: int) -> Iterator[str]:
    """Give a node so many GPUs until the block ends; its name.

    Its taint keeps pods away that do not tolerate it, those of others too.
    """
    node = cluster.nodes()[0]["metadata"]["name"]
    _change(cluster, node, capacity=str(count), taint=True, label="true")
    try:
        wait_until(lambda: _gpus(cluster, node) == count, "the node does not offer its GPUs")
        yield node
    finally:
        _change(cluster, node, capacity=None, taint=False, label=None)


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
