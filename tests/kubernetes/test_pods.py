"""Runs in one pod: the image, the bucket beside it, full volumes, a server that restarts."""

from typing import Any

import pytest

from tests.campaign import at_length
from tests.engines.runs import Ended
from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import drive
from tests.kubernetes.images import WORKER
from tests.kubernetes.pods import pod, pod_spec
from tests.kubernetes.world import World

pytestmark = pytest.mark.k8s


def ended_pod(space: Space, name: str, *command: str, **more: Any) -> Ended:
    """Run a command in a pod of its own, to its end."""
    space.make(pod(name, pod_spec(WORKER, command=command, **more)))
    space.wait(
        lambda: space.get("Pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
        f"the pod {name} does not end",
    )
    (status,) = space.get("Pod", name)["status"]["containerStatuses"]
    return Ended(status["state"]["terminated"]["exitCode"], space.said(name), 0.0)


def test_the_command_of_the_image_says_its_version(space: Space) -> None:
    ended = ended_pod(space, "version", "deepsalt", "--version")
    assert ended.code == 0
    assert "0.1.0" in ended.said


@at_length
def test_a_run_in_a_pod_gives_the_bits_of_this_machine(world: World, space: Space) -> None:
    ended = drive(world, space, "plain").wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("plain")


def test_a_pod_without_keys_ends_with_one_sentence(world: World, space: Space) -> None:
    ended = drive(world, space, "keyless", secrets=()).wait()
    assert ended.code == 2
    assert "AWS" in ended.sentence


def test_scratch_that_is_too_small_is_one_sentence_and_the_next_run_is_whole(
    world: World, space: Space
) -> None:
    ended = drive(world, space, "scratch", "--scratch-gb=0.001").wait()
    assert ended.code == 2
    assert "raise --scratch-gb" in ended.sentence
    space.delete("Job", "scratch")
    assert drive(world, space, "scratch").wait().code == 0
    assert world.is_whole("scratch")


@at_length
def test_a_pod_whose_scratch_volume_overflows_is_evicted_and_the_next_run_is_whole(
    world: World, space: Space
) -> None:
    full = {"emptyDir": {"sizeLimit": "1Mi"}}
    # The kubelet measures a volume once a minute.
    driver = drive(world, space, "overflow", "--host-limit=s3://salt=2,0.1", scratch=full)
    space.wait(
        lambda: driver.pod and space.get("Pod", driver.pod)["status"].get("reason") == "Evicted",
        "the kubelet evicts no pod with too much scratch",
        patience_s=180.0,
    )
    assert "scratch" in space.get("Pod", driver.pod)["status"]["message"]
    space.delete("Job", "overflow")
    assert drive(world, space, "overflow", "--retry-quarantined").wait().code == 0
    assert world.is_whole("overflow")


@pytest.mark.parametrize(
    ("moment", "prefix"),
    [
        pytest.param("mapping", "scenes", marks=at_length),
        ("committing", "mosaic/manifests"),
    ],
)
def test_a_server_of_objects_that_restarts_changes_no_bit(
    world: World, space: Space, moment: str, prefix: str
) -> None:
    driver = drive(world, space, moment, tries=3)
    before = world.bucket.starts
    space.wait(lambda: world.keys(moment, prefix), f"nothing is written to {prefix}")
    world.bucket.kill()
    space.wait(lambda: world.bucket.starts > before, "the S3 server does not start again")
    world.bucket.wait()
    assert driver.wait(300.0).code == 0
    assert world.is_whole(moment)
