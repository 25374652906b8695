"""Runs on scheduler and worker pods: the bits of this machine, whatever is taken away meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import (
    drive,
    drive_here,
    left_of_runs,
    profile_text,
    set_profile,
    workers_of,
)
from tests.kubernetes.gpu import RESOURCE, pretended
from tests.kubernetes.overlay import budget
from tests.kubernetes.world import World

pytestmark = pytest.mark.k8s

ON_PODS = ("--cluster=kubernetes", "--cluster-profile=/etc/deepsalt/cluster.toml")
SLOW = "--host-limit=s3://salt=3,1.5"
"""Scenes come at 1.5 MB/s, so that a run lasts until it has been disturbed."""


@pytest.fixture
def profile(space: Space, tmp_path: Path) -> Path:
    """The profile of a small cluster, for drivers on this machine and in pods."""
    return written(space, tmp_path, profile_text(space))


@pytest.fixture(autouse=True)
def nothing_left(space: Space) -> Iterator[None]:
    """Whatever a test does to a run, nothing of it is there a minute later."""
    yield
    space.wait(lambda: not left_of_runs(space), "a run left objects behind")


def written(space: Space, folder: Path, text: str) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text)
    set_profile(space, text)
    return path


def workers_map(space: Space, world: World, name: str) -> None:
    """Wait until workers are mapping scenes and not all are mapped."""
    space.wait(lambda: world.keys(name, "scenes"), "no worker maps a scene", patience_s=180.0)


def scheduler_of(space: Space) -> str:
    (found,) = [
        each["metadata"]["name"]
        for each in space.all("Pod", component="scheduler")
        if each["status"]["phase"] == "Running"
    ]
    return str(found)


@pytest.mark.usefixtures("profile")
def test_a_run_driven_by_a_pod_gives_the_bits_of_this_machine(world: World, space: Space) -> None:
    ended = drive(world, space, "pods", *ON_PODS).wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("pods")


def test_a_run_driven_from_this_machine_gives_the_same_bits(
    world: World, space: Space, profile: Path
) -> None:
    ended = drive_here(world, "outside", profile).wait(240.0)
    assert ended.code == 0, ended.said
    assert world.is_whole("outside")


@pytest.mark.parametrize("taken", ["worker", "scheduler"])
def test_a_run_that_loses_a_pod_gives_the_same_bits(
    world: World, space: Space, profile: Path, taken: str
) -> None:
    run = drive_here(world, f"no-{taken}", profile, SLOW)
    workers_map(space, world, f"no-{taken}")
    space.kill(workers_of(space)[0] if taken == "worker" else scheduler_of(space))
    ended = run.wait(300.0)
    assert ended.code == 0, ended.said
    assert world.is_whole(f"no-{taken}")


def test_a_run_whose_worker_runs_out_of_memory_gives_the_same_bits(
    world: World, space: Space, profile: Path
) -> None:
    run = drive_here(world, "memory", profile, SLOW)
    workers_map(space, world, "memory")
    worker = workers_of(space)[0]
    # The kernel ends the process that says it can go first: the worker.
    take_all = "echo 1000 > /proc/1/oom_score_adj; python -c 'b\"1\" * 10**11'"
    space.run(worker, "sh", "-c", take_all)
    space.wait(lambda: "OOMKilled" in space.ended(worker), "the worker was not ended for memory")
    ended = run.wait(300.0)
    assert ended.code == 0, ended.said
    assert world.is_whole("memory")


@pytest.mark.usefixtures("profile")
def test_a_budget_refuses_to_evict_a_scheduler_or_a_driver_while_a_run_is_on(
    world: World, space: Space
) -> None:
    driver = drive(world, space, "kept", *ON_PODS, SLOW)
    workers_map(space, world, "kept")
    for pod in (scheduler_of(space), driver.pod):
        with pytest.raises(ApiException) as refused:
            space.evict(pod)
        assert refused.value.status == 429
    assert driver.wait().code == 0
    assert world.is_whole("kept")


@pytest.mark.usefixtures("profile")
def test_a_run_whose_driver_is_evicted_goes_on_in_another_pod_and_gives_the_same_bits(
    world: World, space: Space
) -> None:
    driver = drive(world, space, "evicted", *ON_PODS, SLOW, tries=3)
    workers_map(space, world, "evicted")
    first = driver.pod
    # A node that runs out of room asks no budget.
    space.delete("PodDisruptionBudget", "driver")
    try:
        space.evict(first)
    finally:
        space.apply(budget(space, "driver"))
    space.wait(lambda: driver.pod != first, "no other driver starts")
    ended = driver.wait(300.0)
    assert ended.code == 0, ended.said
    assert world.is_whole("evicted")


def test_workers_come_with_the_scenes_and_go_when_none_are_left_for_them(
    world: World, space: Space, tmp_path: Path
) -> None:
    path = written(space, tmp_path, profile_text(space, {"least": 0, "most": 3}))
    # One scene comes after the other, so workers have nothing to do long before the run ends.
    run = drive_here(world, "scaled", path, "--host-limit=s3://salt=1,0.25")
    space.wait(lambda: len(workers_of(space)) == 3, "there are not three workers", patience_s=120.0)
    space.wait(lambda: len(workers_of(space)) < 3, "no worker is released", patience_s=120.0)
    assert run.popen.poll() is None
    ended = run.wait(300.0)
    assert ended.code == 0, ended.said
    assert world.is_whole("scaled")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_nothing_is_left_of_a_run_that_is_stopped(
    world: World, space: Space, profile: Path, how: str
) -> None:
    name = "stopped-" + how.lower()
    run = drive_here(world, name, profile, SLOW)
    workers_map(space, world, name)
    run.popen.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
    assert run.wait(60.0).code != 0
    space.wait(lambda: not left_of_runs(space), "the stopped run left objects", patience_s=40.0)


def test_nothing_is_left_of_a_run_whose_driver_was_killed(
    world: World, space: Space, tmp_path: Path
) -> None:
    path = written(space, tmp_path, profile_text(space, idle_timeout_s=30))
    run = drive_here(world, "killed", path, SLOW)
    workers_map(space, world, "killed")
    run.popen.kill()
    run.wait()
    assert left_of_runs(space)
    space.wait(lambda: not left_of_runs(space), "nobody removes a run", patience_s=240.0)


@pytest.mark.usefixtures("profile")
def test_nothing_is_left_of_a_run_whose_driver_job_is_deleted(world: World, space: Space) -> None:
    drive(world, space, "deleted", *ON_PODS, SLOW)
    workers_map(space, world, "deleted")
    space.delete("Job", "deleted")
    space.wait(lambda: not left_of_runs(space), "the deleted run left objects", patience_s=90.0)


def test_nothing_is_left_of_a_run_that_fails(world: World, space: Space, tmp_path: Path) -> None:
    path = written(space, tmp_path, profile_text(space, image="localhost/no-such-image:1"))
    ended = drive_here(world, "imageless", path).wait(180.0)
    assert ended.code == 1
    assert "localhost/no-such-image:1" in ended.sentence
    space.wait(lambda: not left_of_runs(space), "the failed run left objects", patience_s=30.0)


def test_workers_with_a_gpu_wait_without_a_toleration_and_the_run_says_why(
    world: World, space: Space, tmp_path: Path
) -> None:
    group = {"name": "gpu", "gpus": 1}
    path = written(space, tmp_path, profile_text(space, group, start_timeout_s=20))
    with pretended(space.cluster, 2):
        ended = drive_here(world, "intolerant", path).wait(120.0)
    assert ended.code == 1
    assert "nvidia.com/gpu" in ended.sentence
    space.wait(lambda: not left_of_runs(space), "the failed run left objects", patience_s=30.0)


def test_workers_with_a_gpu_are_placed_one_for_each(
    world: World, space: Space, tmp_path: Path
) -> None:
    tolerates = {"key": RESOURCE, "operator": "Exists"}
    group = {"name": "gpu", "gpus": 1, "least": 3, "most": 3, "tolerations": [tolerates]}
    scheduler = {"cpu": 0.1, "memory": "1GB", "tolerations": [tolerates]}
    path = written(space, tmp_path, profile_text(space, group, scheduler=scheduler))
    with pretended(space.cluster, 2) as node:
        run = drive_here(world, "gpus", path, SLOW)
        space.wait(lambda: len(workers_of(space)) == 2, "not two workers", patience_s=120.0)
        pods = [space.get("Pod", name) for name in workers_of(space, ready=False)]
        placed = [pod["spec"].get("nodeName") for pod in pods]
        ended = run.wait(300.0)
    assert sorted(placed, key=str) == [None, node, node]
    assert ended.code == 0, ended.said
    assert world.is_whole("gpus")
