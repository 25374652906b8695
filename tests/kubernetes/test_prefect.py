"""A service on a cluster: from an event to the published mosaic, each run a pod."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.campaign import at_length
from tests.kubernetes.archive import Archive, publishing
from tests.kubernetes.cluster import Space
from tests.kubernetes.service import STORE, Deployed, deployed
from tests.kubernetes.world import World, export_of

pytestmark = [pytest.mark.k8s, pytest.mark.xdist_group("prefect")]


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


@pytest.fixture(autouse=True)
def _nothing_is_left(service: Deployed) -> Iterator[None]:
    yield
    service.space.wait(
        lambda: not service.left(), f"something is left: {service.left()}", patience_s=120
    )


def test_an_event_becomes_a_scene_and_scenes_become_a_mosaic(
    service: Deployed, archive: Archive, world: World
) -> None:
    for number in range(3):
        service.post({"item": archive.publish(number)})
    service.space.wait(lambda: len(service.runs("process-scene")) == 3, "no run came")
    for run in service.runs("process-scene"):
        service.complete(run["id"], patience_s=300)
    service.complete(service.run("watch/all"), patience_s=300)
    service.space.wait(lambda: builds(service), "no build came")
    (build,) = builds(service)
    service.complete(build, patience_s=300)
    assert world.is_whole(STORE)


def test_a_run_of_many_scenes_makes_a_cluster_and_removes_it(
    service: Deployed, archive: Archive, world: World
) -> None:
    run = map_scenes(service, archive, world, "many")
    service.space.wait(
        lambda: service.space.all("Pod", component="worker"), "no worker came", patience_s=300
    )
    service.complete(run, patience_s=300)
    assert world.is_whole("many")


@at_length
def test_a_cancelled_run_removes_its_cluster_and_the_next_one_is_whole(
    service: Deployed, archive: Archive, world: World
) -> None:
    run = map_scenes(service, archive, world, "cancelled")
    service.space.wait(
        lambda: service.space.all("Pod", component="worker"), "no worker came", patience_s=300
    )
    service.cancel(run)
    assert service.wait_for(run, patience_s=180)["state_type"] == "CANCELLED"
    service.space.wait(lambda: not service.left(), "something is left", patience_s=120)
    service.complete(map_scenes(service, archive, world, "cancelled"), patience_s=300)
    assert world.is_whole("cancelled")


def test_a_run_whose_pod_is_evicted_goes_on_in_another(
    service: Deployed, archive: Archive, world: World
) -> None:
    run = process_scene(service, archive, world, "evicted")
    service.wait_for(run, "RUNNING", patience_s=180)
    first = service.pod_of(run)
    service.space.evict(first)
    service.complete(run, patience_s=300)
    assert len(world.keys("evicted", "records/done")) == 1
    assert service.times(run) > 1


@at_length
def test_a_run_that_has_no_room_is_cancelled_with_its_job(
    service: Deployed, archive: Archive, world: World
) -> None:
    run = process_scene(service, archive, world, "waiting", job_variables={"cpu": "1000"})
    service.space.wait(lambda: service.jobs_of(run), "no Job came", patience_s=120)
    service.cancel(run)
    assert service.wait_for(run, patience_s=120)["state_type"] == "CANCELLED"


def test_a_scene_that_cannot_be_used_fails_in_one_sentence(service: Deployed, world: World) -> None:
    nowhere = "http://127.0.0.1/nowhere"
    run = service.run("process-scene/local", item_uri=nowhere, out=world.store("failed"))
    ended = service.wait_for(run, patience_s=300)
    assert ended["state_type"] == "FAILED"
    assert nowhere in ended["state"]["message"]


def process_scene(service: Deployed, archive: Archive, world: World, name: str, **more: Any) -> str:
    """Start a run of the first scene into another store; its id."""
    usual = service.usual("process-scene/local")["config"]
    config = {**usual, "access": {"networks": [archive.address]}}
    item, out = archive.publish(0), world.store(name)
    return service.run("process-scene/local", item_uri=item, out=out, config=config, **more)


def builds(service: Deployed) -> list[str]:
    """Return the ids of the builds that are not of a schedule."""
    return [each["id"] for each in service.runs("build-mosaic") if not each["auto_scheduled"]]


def map_scenes(service: Deployed, archive: Archive, world: World, name: str) -> str:
    """Start a run of all scenes of the service's catalogue into another store; its id."""
    for number in range(3):
        archive.publish(number)
    out = world.store(name)
    config = service.usual("map-scenes/local")["config"]
    mosaic = {"export": {"to": export_of(out)}}
    return service.run("map-scenes/local", config={**config, "out": out, "mosaic": mosaic})
