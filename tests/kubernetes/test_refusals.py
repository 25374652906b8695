"""Runs that a cluster does not let be: one sentence soon, and nothing left."""

from pathlib import Path

import pytest

from tests.kubernetes.cluster import Space
from tests.kubernetes.driver import ON_PODS, Here, drive, left_of_runs, profile_text, set_profile
from tests.kubernetes.world import World

pytestmark = pytest.mark.k8s

SOON_S = 90.0
"""A minute, and what the command takes to start and to remove."""

REFUSED: dict[str, tuple[dict[str, object], dict[str, object], tuple[str, ...]]] = {
    # Of the profile, of its group of workers, and what the sentence names.
    "no-image": ({"image": "localhost/none:1"}, {}, ("localhost/none:1",)),
    "no-node": ({}, {"node_selector": {"disk": "none"}}, ("node",)),
    "no-quota": ({}, {"memory": "100GB"}, ("quota", "memory")),
    "no-secret": ({"secrets": ["none"]}, {}, ('"none"',)),
    "no-account": ({"service_account": "nobody"}, {}, ("nobody",)),
    "no-namespace": ({"namespace": "deepsalt-none"}, {}, ("deepsalt-none",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_the_cluster_refuses_ends_soon_with_what_is_missing(
    world: World, space: Space, tmp_path: Path, name: str
) -> None:
    changed, group, named = REFUSED[name]
    path = tmp_path / "cluster.toml"
    path.write_text(profile_text(space, group, **{"start_timeout_s": 40, **changed}))
    with Here(world, name, path) as run:
        ended = run.wait(SOON_S)
    assert ended.code in (1, 2)
    assert not [word for word in named if word not in ended.sentence], ended.sentence
    space.wait(lambda: not left_of_runs(space), "the refused run left objects")


def test_a_bucket_that_workers_cannot_reach_is_named(
    world: World, space: Space, tmp_path: Path
) -> None:
    path = tmp_path / "cluster.toml"
    nowhere = {"AWS_ENDPOINT_URL": f"http://none.{space.name}.svc:8333"}
    path.write_text(profile_text(space, environment=nowhere))
    with Here(world, "no-bucket", path) as run:
        ended = run.wait(2 * SOON_S)
    assert ended.code != 0
    assert "does not answer" in ended.said
    space.wait(lambda: not left_of_runs(space), "the failed run left objects")


def test_a_driver_without_rights_says_which_it_lacks(world: World, space: Space) -> None:
    set_profile(space, profile_text(space))
    ended = drive(world, space, "no-rights", *ON_PODS, account="deepsalt-worker").wait(SOON_S)
    assert ended.code == 1
    assert "jobs" in ended.sentence
    assert "create" in ended.sentence


def test_no_cluster_is_one_sentence(world: World, space: Space, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(profile_text(space))
    with Here(world, "no-cluster", path, KUBECONFIG=str(tmp_path / "none")) as run:
        ended = run.wait(SOON_S)
    assert ended.code in (1, 2)
    assert "KUBECONFIG" in ended.sentence
