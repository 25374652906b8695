"""Runs in one pod: the image, the bucket beside it, full volumes, a server that restarts."""

import pytest

from tests.engines.runs import Ended
from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import drive
from tests.kubernetes.images import WORKER
from tests.kubernetes.pods import pod, pod_spec
from tests.kubernetes.world import World, store

pytestmark = pytest.mark.k8s


def ended_pod(space: Space, name: str, *command: str, **more: object) -> Ended:
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


def test_a_run_in_a_pod_gives_the_bits_of_this_machine(world: World, space: Space) -> None:
    ended = drive(world, space, "plain", store("plain")).wait()
    assert ended.code == 0, ended.said
    assert world.contents(store("plain")) == world.wanted


def test_a_pod_without_keys_ends_with_one_sentence(world: World, space: Space) -> None:
    server = {"AWS_ENDPOINT_URL": world.bucket.inside}
    ended = drive(world, space, "keyless", store("keyless"), secrets=()).wait()
    assert ended.code == 2
    assert "AWS" in ended.sentence


def test_scratch_that_is_too_small_is_one_sentence_and_the_next_run_is_whole(
    world: World, space: Space
) -> None:
    out = store("scratch")
    ended = drive(world, space, "scratch", out, "--scratch-gb=0.001").wait()
    assert ended.code != 0
    assert ended.said.count("raise --scratch-gb") >= 1, ended.said
    assert "Traceback" not in ended.said
    assert drive(world, space, "scratch-again", out).wait().code == 0
    assert world.contents(out) == world.wanted


def test_a_pod_whose_scratch_volume_overflows_is_evicted_and_the_next_run_is_whole(
    world: World, space: Space
) -> None:
    out = store("overflow")
    full = {"emptyDir": {"sizeLimit": "2Mi"}}
    driver = drive(world, space, "overflow", out, "--host-limit=s3://salt=2,0.4", scratch=full)
    space.wait(
        lambda: driver.pod and space.get("Pod", driver.pod)["status"].get("reason") == "Evicted",
        "the kubelet evicts no pod with too much scratch",
        patience_s=120.0,
    )
    assert "scratch" in space.get("Pod", driver.pod)["status"]["message"]
    assert drive(world, space, "overflow-again", out, "--retry-quarantined").wait().code == 0
    assert world.contents(out) == world.wanted


@pytest.mark.parametrize(
    ("moment", "prefix"),
    [("while-scenes-are-mapped", "scenes"), ("while-tiles-are-committed", "mosaic/manifests")],
)
def test_a_server_of_objects_that_restarts_changes_no_bit(
    world: World, space: Space, moment: str, prefix: str
) -> None:
    out = store(moment)
    driver = drive(world, space, moment, out, tries=3)
    before = world.bucket.starts
    space.wait(lambda: world.keys(out, prefix), f"nothing is written to {prefix}")
    world.bucket.kill()
    space.wait(lambda: world.bucket.starts > before, "the S3 server does not start again")
    world.bucket.wait()
    assert driver.wait(300.0).code == 0
    assert world.contents(out) == world.wanted
