"""Runs on scheduler and worker pods: the bits of this machine, whatever is taken away meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from tests.campaign import examples
from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import (
    ON_PODS,
    Driver,
    Here,
    drive,
    left_of_runs,
    profile_text,
    set_profile,
    workers_of,
)
from tests.kubernetes.gpu import RESOURCE, pretended
from tests.kubernetes.overlay import budget
from tests.kubernetes.world import World

pytestmark = pytest.mark.k8s

SLOW = "--host-limit=s3://salt=3,1.5"
"""Scenes come at 1.5 MB/s, so that a run lasts until it has been disturbed."""


_GREEDY = 'kept = [bytes(10**7) + b"1" for _ in range(10**6)]'


@pytest.fixture(autouse=True)
def nothing_left(space: Space) -> Iterator[None]:
    """Whatever a test does to a run, nothing of it is there a minute later."""
    yield
    try:
        space.wait(lambda: not left_of_runs(space), "a run left objects behind", patience_s=90.0)
    finally:
        for name in space.names("Job"):
            space.delete("Job", name)


@pytest.fixture
def profile(space: Space, tmp_path: Path) -> Path:
    """The profile of a small cluster, for drivers on this machine and in pods."""
    return written(space, tmp_path, profile_text(space))


def written(space: Space, folder: Path, text: str) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text)
    set_profile(space, text)
    return path


def await_scenes(world: World, space: Space, name: str, run: Driver | Here) -> None:
    """Wait until a worker writes the product of a scene."""
    space.wait(
        lambda: world.keys(name, "scenes"),
        "no worker maps a scene",
        patience_s=180.0,
        alive=run.is_alive,
    )


def scheduler_of(space: Space) -> str:
    (found,) = [
        each["metadata"]["name"]
        for each in space.all("Pod", component="scheduler")
        if each["status"]["phase"] == "Running"
    ]
    return str(found)


# The same bits


@pytest.mark.usefixtures("profile")
def test_a_run_driven_by_a_pod_gives_the_bits_of_this_machine(world: World, space: Space) -> None:
    ended = drive(world, space, "pods", *ON_PODS).wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("pods")


def test_a_run_driven_from_this_machine_gives_the_same_bits(world: World, profile: Path) -> None:
    with Here(world, "outside", profile) as run:
        ended = run.wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("outside")


@pytest.mark.parametrize("taken", ["worker", "scheduler"])
def test_a_run_that_loses_a_pod_gives_the_same_bits(
    world: World, space: Space, profile: Path, taken: str
) -> None:
    name = f"no-{taken}"
    with Here(world, name, profile, SLOW) as run:
        await_scenes(world, space, name, run)
        space.kill(workers_of(space)[0] if taken == "worker" else scheduler_of(space))
        ended = run.wait()
    assert ended.code == 0, ended.said
    assert world.is_whole(name)


def test_a_run_whose_worker_runs_out_of_memory_gives_the_same_bits(
    world: World, space: Space, profile: Path
) -> None:
    with Here(world, "memory", profile, SLOW) as run:
        await_scenes(world, space, "memory", run)
        worker = workers_of(space)[0]
        # The kernel ends the process that says it can go first: the worker.
        take_all = f"echo 1000 > /proc/1/oom_score_adj; python -c '{_GREEDY}'"
        space.run(worker, "sh", "-c", take_all)
        space.wait(lambda: "OOMKilled" in space.ended(worker), "the worker still has memory")
        ended = run.wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("memory")


@pytest.mark.usefixtures("profile")
def test_a_run_whose_driver_is_evicted_goes_on_in_another_pod_and_gives_the_same_bits(
    world: World, space: Space
) -> None:
    driver = drive(world, space, "evicted", *ON_PODS, SLOW, tries=3)
    await_scenes(world, space, "evicted", driver)
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


@pytest.mark.usefixtures("profile")
def test_a_budget_refuses_to_evict_a_scheduler_or_a_driver_while_a_run_is_on(
    world: World, space: Space
) -> None:
    driver = drive(world, space, "kept", *ON_PODS, SLOW)
    await_scenes(world, space, "kept", driver)
    for pod in (scheduler_of(space), driver.pod):
        with pytest.raises(ApiException) as refused:
            space.evict(pod)
        assert refused.value.status == 429
    assert driver.wait().code == 0
    assert world.is_whole("kept")


@pytest.mark.skipif(not examples(0, 1), reason="takes minutes; DEEPSALT_CAMPAIGN=1 asks for it")
def test_workers_come_with_the_scenes_and_go_when_none_are_left_for_them(
    world: World, space: Space, tmp_path: Path
) -> None:
    path = written(space, tmp_path, profile_text(space, {"least": 0, "most": 3}))
    # One scene comes after the other, so workers have nothing to do long before the run ends.
    with Here(world, "scaled", path, "--host-limit=s3://salt=1,0.25") as run:
        space.wait(lambda: len(workers_of(space)) == 3, "no three workers", patience_s=120.0)
        space.wait(lambda: len(workers_of(space)) < 3, "none is released", patience_s=120.0)
        assert run.is_alive()
        ended = run.wait()
    assert ended.code == 0, ended.said
    assert world.is_whole("scaled")


# What is left


STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", STOPS[: examples(1, 2)], ids=lambda each: each.name)
def test_nothing_is_left_of_a_run_that_is_stopped(
    world: World, space: Space, profile: Path, number: signal.Signals
) -> None:
    name = f"stopped-{number.name.lower()}"
    with Here(world, name, profile, SLOW) as run:
        await_scenes(world, space, name, run)
        run.signal(number)
        assert run.wait(60.0).code != 0
    space.wait(lambda: not left_of_runs(space), "the stopped run left objects", patience_s=40.0)


@pytest.mark.skipif(not examples(0, 1), reason="takes minutes; DEEPSALT_CAMPAIGN=1 asks for it")
def test_nothing_is_left_of_a_run_whose_driver_was_killed(
    world: World, space: Space, tmp_path: Path
) -> None:
    path = written(space, tmp_path, profile_text(space, idle_timeout_s=30))
    with Here(world, "killed", path, SLOW) as run:
        await_scenes(world, space, "killed", run)
        run.signal(signal.SIGKILL)
        run.wait()
    assert left_of_runs(space)
    space.wait(lambda: not left_of_runs(space), "nobody removes the run", patience_s=240.0)


@pytest.mark.usefixtures("profile")
def test_nothing_is_left_of_a_run_whose_driver_job_is_deleted(world: World, space: Space) -> None:
    driver = drive(world, space, "deleted", *ON_PODS, SLOW)
    await_scenes(world, space, "deleted", driver)
    space.delete("Job", "deleted")
    space.wait(lambda: not left_of_runs(space), "the deleted run left objects", patience_s=90.0)


# GPUs


def test_workers_with_a_gpu_wait_without_a_toleration_and_the_run_says_why(
    world: World, space: Space, tmp_path: Path
) -> None:
    group = {"name": "gpu", "gpus": 1}
    tolerates = {"key": RESOURCE, "operator": "Exists"}
    scheduler = {"cpu": 0.1, "memory": "1GB", "tolerations": [tolerates]}
    text = profile_text(space, group, scheduler=scheduler, start_timeout_s=60)
    with (
        pretended(space, 2),
        Here(world, "intolerant", written(space, tmp_path, text)) as run,
    ):
        ended = run.wait()
    assert ended.code == 1
    assert RESOURCE in ended.sentence
    space.wait(lambda: not left_of_runs(space), "the failed run left objects")


def test_workers_with_a_gpu_are_placed_one_for_each(
    world: World, space: Space, tmp_path: Path
) -> None:
    tolerates = {"key": RESOURCE, "operator": "Exists"}
    group = {"name": "gpu", "gpus": 1, "least": 3, "most": 3, "tolerations": [tolerates]}
    scheduler = {"cpu": 0.1, "memory": "1GB", "tolerations": [tolerates]}
    text = profile_text(space, group, scheduler=scheduler)
    with (
        pretended(space, 2) as node,
        Here(world, "gpus", written(space, tmp_path, text), SLOW) as run,
    ):
        space.wait(
            lambda: len(workers_of(space)) == 2 and len(workers_of(space, ready=False)) == 3,
            "there are not two workers and one that waits",
            patience_s=120.0,
            alive=run.is_alive,
        )
        pods = [space.get("Pod", name) for name in workers_of(space, ready=False)]
        ended = run.wait()
    assert sorted(str(pod["spec"].get("nodeName")) for pod in pods) == ["None", node, node]
    assert ended.code == 0, ended.said
    assert world.is_whole("gpus")
