"""A service on a cluster: from an event to the published mosaic, each run a pod."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.archive import Archive, publishing
from tests.kubernetes.cluster import Space
from tests.kubernetes.service import STORE, Deployed, deployed
from tests.kubernetes.world import World

pytestmark = pytest.mark.k8s


@pytest.fixture(scope="module")
def archive(world: World, space: Space) -> Iterator[Archive]:
    with publishing(world.catalogue, space) as made:
        yield made


@pytest.fixture(scope="module")
def service(
    archive: Archive, space: Space, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    with deployed(space, archive, tmp_path_factory.mktemp("service")) as made:
        yield made


def test_an_event_becomes_a_scene_and_the_scene_a_mosaic(
    service: Deployed, archive: Archive, world: World
) -> None:
    for number in range(3):
        service.post({"item": archive.publish(number)})
    service.space.wait(lambda: len(service.runs("process-scene")) == 3, "no run came")
    for run in service.runs("process-scene"):
        service.complete(run["id"], patience_s=300)
    service.complete(service.run("watch/all"), patience_s=120)
    service.space.wait(lambda: service.runs("build-mosaic"), "no build came")
    (build,) = service.runs("build-mosaic")
    service.complete(build["id"], patience_s=300)
    assert world.is_whole(STORE)
