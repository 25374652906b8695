"""A cluster, a namespace with a bucket and scenes in it, and what every run has to give."""

import os
from collections.abc import Generator, Iterator
from dataclasses import replace

import pytest

from tests.flows.conftest import Scenes, scenes

kubernetes = pytest.importorskip(
    "kubernetes",
    reason="the package kubernetes is not installed: pip install 'deepsalt[kubernetes]'",
)

from tests.kubernetes.bucket import Bucket, serving  # noqa: E402 (they need kubernetes)
from tests.kubernetes.cluster import Cluster, Space  # noqa: E402
from tests.kubernetes.driver import profile_text, set_profile  # noqa: E402
from tests.kubernetes.images import WORKER, stale_files  # noqa: E402
from tests.kubernetes.overlay import applied  # noqa: E402
from tests.kubernetes.world import World, catalogue_manifest, uploaded  # noqa: E402

__all__ = ["scenes"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("no cluster: KUBECONFIG is not set; see docs/kubernetes/testing.md")
    made = Cluster(tmp_path_factory.mktemp("kinds") / "kinds.json")
    yield made
    assert not made.left(), "namespaces of the tests were left behind"


@pytest.fixture(scope="session")
def space(cluster: Cluster) -> Iterator[Space]:
    """The namespace of the tests, once the image of workers is known to hold this checkout."""
    with cluster.space("pods") as made, applied(made):
        stale = stale_files(made, WORKER)
        assert not stale, f"the image {WORKER} is of other sources: {stale[:5]}; build it again"
        set_profile(made, profile_text(made))  # which the Job of a driver mounts
        yield made


@pytest.fixture(scope="session")
def bucket(space: Space) -> Iterator[Bucket]:
    with serving(space) as made:
        yield made


@pytest.fixture(scope="session")
def world(
    scenes: Scenes, bucket: Bucket, space: Space, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Three scenes in the bucket, and what this machine makes of them."""
    made = uploaded(scenes.all, bucket, tmp_path_factory.mktemp("catalogue"))
    ended = made.run_here("here")
    assert ended.code == 0, ended.said
    space.make(catalogue_manifest(made.catalogue))
    return replace(made, wanted=made.contents("here"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the service: its tests follow each other in one process, and take longest."""
    items.sort(key=lambda item: item.path.name != "test_prefect.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what is in the namespace."""
    report = yield
    found = getattr(item, "funcargs", {}).get("space")
    if report.failed and report.when == "call" and isinstance(found, Space):
        report.sections.append(("the namespace", found.state()))
    return report
