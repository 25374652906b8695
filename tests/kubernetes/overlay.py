"""What `kubectl apply -k` gives a namespace, applied to one of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.infra.rendering import OVERLAYS, written_as
from tests.kubernetes.cluster import MANAGED, Manifest, Space

_OWN = ("Namespace", "ConfigMap")
"""What tests have of their own."""


@contextmanager
def applied(space: Space) -> Iterator[None]:
    """Apply the overlay that suits the cluster.

    Its PriorityClasses are in no namespace; the last session removes those that tests made.
    """
    cluster = space.cluster
    there = {each["metadata"]["name"] for each in cluster.labelled("PriorityClass", {})}
    for each in _documents(space, ""):
        meta = each["metadata"]
        if each["kind"] == "PriorityClass":
            if meta["name"] in there:
                continue
            meta["labels"] = {**meta.get("labels", {}), **MANAGED}
        if each["kind"] not in _OWN:
            space.apply(each)
    try:
        yield
    finally:
        if cluster.all_spaces() == [space.name]:
            for each in cluster.labelled("PriorityClass", MANAGED):
                cluster.kind("PriorityClass").delete(name=each["metadata"]["name"])


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
