"""What `kubectl apply -k` gives a namespace, applied to one of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.infra.rendering import OVERLAYS, written_as
from tests.kubernetes.cluster import Cluster, Manifest, Space

_OWN = ("Namespace", "ConfigMap")
"""What tests have of their own."""


@contextmanager
def applied(space: Space) -> Iterator[None]:
    """Apply the overlay that suits the cluster; with the block goes what no namespace holds."""
    documents = _documents(space, "")
    there = {each["metadata"]["name"] for each in _priorities(space.cluster)}
    for each in documents:
        if each["kind"] not in _OWN:
            space.apply(each)
    try:
        yield
    finally:
        for each in documents:
            name = each["metadata"]["name"]
            if each["kind"] == "PriorityClass" and name not in there:
                space.cluster.kind("PriorityClass").delete(name=name)


def driver_job(space: Space) -> Manifest:
    """Return the Job of a driver, as the overlay has it."""
    (found,) = [each for each in _documents(space, "run") if each["kind"] == "Job"]
    return found


def budget(space: Space, name: str) -> Manifest:
    """Return one of the overlay's PodDisruptionBudgets."""
    return next(
        each
        for each in _documents(space, "")
        if (each["kind"], each["metadata"]["name"]) == ("PodDisruptionBudget", name)
    )


def _documents(space: Space, part: str) -> tuple[Manifest, ...]:
    overlay = "kubernetes-1.20" if space.cluster.version < (1, 21) else "local"
    return written_as({"namespace": space.name, "resources": [OVERLAYS / overlay / part]})


def _priorities(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.kind("PriorityClass").get().to_dict()["items"]
    return found
