"""The plan for a cluster: workers of use, what it waits for, what does not fit, what it costs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.items import to_item
from catalog.local import add_items
from flows.cluster_profile import ClusterProfile
from flows.config import HostLimitConfig, Politeness
from flows.engines.engine import Needs
from flows.run.memory import memory_of_pod
from flows.scale.figures import FIGURES, Figures
from flows.scale.plan import ClusterPlan, plan_cluster
from flows.scale.workload import Workload
from tests.benchmarks.scale.month import month
from tests.flows.conftest import deepsalt

PIXELS, SCENE_BYTES = 1_440_000, 380_000_000
HOST = "archive.example.org"
NEEDS = Needs(1_000_000_000, SCENE_BYTES, threads=2, thread_bytes=200_000_000)


def work(scenes: int = 1000, hosts: tuple[str, ...] = (HOST,), tiles: int = 0) -> Workload:
    sent = SCENE_BYTES if hosts else 0
    return Workload.alike(scenes, pixels=PIXELS, fetched_bytes=sent, hosts=hosts, tiles=tiles)


def profile(**more: Any) -> ClusterProfile:
    group = {"name": "cpu", "most": 100, "threads": 4, "start_s": 0.0, **more.pop("group", {})}
    return ClusterProfile.model_validate({"image": "image", "groups": [group], **more})


def politeness(connections: int, mb_per_s: float | None = None) -> Politeness:
    return Politeness(hosts={HOST: HostLimitConfig(connections=connections, mb_per_s=mb_per_s)})


def planned(
    what: Workload,
    cluster: ClusterProfile | None = None,
    polite: Politeness | None = None,
    figures: Figures = FIGURES,
) -> ClusterPlan:
    found = cluster or profile()
    return plan_cluster(what, found, polite or politeness(10), NEEDS, figures=figures)


def test_an_archive_is_first_and_says_what_it_gives() -> None:
    found = planned(work(), polite=politeness(4, 80))
    assert found.first == f"archive {HOST}"
    assert found.bounds[0].seconds == pytest.approx(1000 * SCENE_BYTES / 80e6)
    assert "80 MB/s: its limit" in found.advice


def test_no_more_workers_are_of_use_than_keep_up_with_the_archive() -> None:
    # A worker maps a scene in 3.6 s; the archive gives one each 4.75 s, or each 1.1875 s.
    for rate, workers in ((80, 1), (320, 4)):
        found = planned(work(), polite=politeness(10, rate))
        assert found.pods[0].workers == workers
        assert f"workers beyond {workers} gain nothing" in found.advice


def test_the_workers_of_use_take_no_longer_than_all_that_the_profile_allows() -> None:
    few = planned(work(), polite=politeness(10, 320))
    all_of_them = planned(work(), profile(group={"least": 100}), politeness(10, 320))
    assert few.calm.seconds == pytest.approx(all_of_them.calm.seconds, rel=0.02)


def test_workers_are_first_where_nothing_else_is_busy() -> None:
    found = planned(work(hosts=()), profile(group={"most": 10}))
    assert found.first == "workers"
    assert found.pods[0].workers == 10
    assert found.workers_s == pytest.approx(1000 * PIXELS / (FIGURES.pixels_per_thread_s * 4) / 10)
    assert "more workers shorten it" in found.advice


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"writes_per_s": 1.0}, "object store"),
        ({"reads_per_s": 1.0}, "object store"),
        ({"calls_per_s": 0.1}, "scheduler"),
        ({"driver_s_per_scene": 10.0}, "driver"),
        ({"server_s_per_scene": 1000.0}, "workers"),
    ],
    ids=["writes", "reads", "scheduler", "driver", "Prefect, which a run does not need"],
)
def test_whatever_is_slowest_is_first(change: dict[str, float], first: str) -> None:
    found = planned(work(hosts=()), figures=replace(FIGURES, **change))
    assert found.first == first
    slowest = found.workers_s if first == "workers" else found.bounds[0].seconds
    assert found.calm.seconds >= slowest


def test_tiles_are_composed_by_the_threads_of_the_workers() -> None:
    plain, tiled = (planned(work(hosts=(), tiles=tiles)) for tiles in (0, 500))
    more_s = 500 * FIGURES.tile_thread_s / (100 * 4)
    assert tiled.workers_s - plain.workers_s == pytest.approx(more_s)


def test_preemptions_make_it_longer_and_are_given_with_their_spread() -> None:
    often = {"most": 4, "preemptions_per_hour": 20.0, "start_s": 60.0, "notice_s": 2.0}
    taken = profile(group=often)
    found = planned(work(300, hosts=()), taken)
    assert found.expected.runs > 1
    assert found.calm.seconds < found.expected.earliest_s < found.expected.latest_s
    assert found.expected.earliest_s < found.expected.seconds < found.expected.latest_s
    assert found.expected.wasted_s > 0


def test_money_is_the_sum_of_its_parts() -> None:
    prices = {
        "per_gb_fetched": 0.01,
        "per_million_requests": 5.0,
        "per_gb_month": 0.02,
        "scheduler_per_hour": 0.5,
    }
    found = plan_cluster(
        work(),
        profile(group={"price_per_hour": 2.0}, prices=prices),
        politeness(10, 80),
        NEEDS,
    )
    hours = found.expected.seconds / 3600
    money = found.money
    assert money.workers == pytest.approx(found.pods[0].workers * hours * 2.0)
    assert money.scheduler == pytest.approx(hours * 0.5)
    assert money.fetched == pytest.approx(380 * 0.01)
    assert money.requests == pytest.approx((found.reads + found.writes) / 1e6 * 5)
    assert money.stored_per_month == pytest.approx(1000 * PIXELS * 29 / 1e9 * 0.02)


def test_pods_ask_for_a_margin_over_the_memory_that_is_predicted() -> None:
    (group,) = profile().groups
    assert memory_of_pod(group, NEEDS) == 1.25 * NEEDS.memory_with(4)
    (given,) = profile(group={"memory": "3GB"}).groups
    assert memory_of_pod(given, NEEDS) == 3_000_000_000


def test_what_does_not_fit_is_said_with_what_to_do() -> None:
    assert planned(work()).notes == ()
    tight = profile(group={"memory": "500MB"}, scratch_gb=0.5)
    memory, scratch = sorted(planned(work(), tight).notes)
    assert "needs 0.76 GB of scratch" in memory + scratch
    assert "raise it to at least 0.76" in memory + scratch
    assert "would need about 1.4 GB on its 4 threads but has 0.5 GB" in memory + scratch


def test_a_notice_shorter_than_a_scene_is_said() -> None:
    spot = {"preemptions_per_hour": 1.0, "threads": 1, "notice_s": 10.0}
    (note,) = planned(work(10, hosts=()), profile(group=spot)).notes
    assert "go 10 s after the notice" in note
    assert planned(work(10, hosts=()), profile(group=spot | {"notice_s": 60.0})).notes == ()


def test_a_run_longer_than_its_cluster_may_last_is_said() -> None:
    (note,) = planned(work(), profile(longest_h=1.0), politeness(1, 10)).notes
    assert "would take 11 h, but its cluster is removed after longest_h (1)" in note


def test_a_complete_store_leaves_nothing_to_do() -> None:
    found = planned(work(0))
    assert found.expected.seconds == FIGURES.build_s
    assert found.pods[0].workers == 0


def test_groups_are_filled_in_their_order() -> None:
    groups = [
        {"name": "cheap", "most": 3, "threads": 4},
        {"name": "dear", "most": 50, "threads": 4},
        {"name": "composes", "most": 2, "threads": 4, "maps": False},
    ]
    found = planned(
        work(),
        ClusterProfile.model_validate({"image": "image", "groups": groups}),
        politeness(10, 1000),
    )
    assert [each.workers for each in found.pods] == [3, 7, 2]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("month")
    add_items(folder, map(to_item, month(40, "central-asia", "download.geoservice.dlr.de")))
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.toml"
    path.write_text(
        'image = "image"\n'
        "[[groups]]\n"
        'name = "spot"\nmost = 64\nprice_per_hour = 0.1\npreemptions_per_hour = 1.0\n'
    )
    return path


def test_the_command_prints_workers_bottlenecks_times_and_money(
    catalogue: Path, cluster: Path, tmp_path: Path
) -> None:
    args = ("plan", "--catalogue", catalogue, "--out", tmp_path / "store")
    told = deepsalt(*args, "--cluster-profile", cluster)
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    first = next(line for line in lines if line.startswith("waits for"))
    assert "archive download.geoservice.dlr.de" in first
    assert "<- first" in first
    assert "2 connections of 5 MB/s each, which is assumed" in first
    assert any(line.strip().startswith("spot") for line in lines)
    assert any("with preemptions" in line and "8 of 10 runs" in line for line in lines)
    assert any(line.startswith("money     EUR workers") for line in lines)
    assert not (tmp_path / "store").exists()


def test_json_has_the_plan_for_the_cluster(catalogue: Path, cluster: Path, tmp_path: Path) -> None:
    args = ("plan", "--catalogue", catalogue, "--out", tmp_path / "store", "--json")
    assert "cluster" not in json.loads(deepsalt(*args).stdout)
    found = json.loads(deepsalt(*args, "--cluster-profile", cluster).stdout)["cluster"]
    assert found["first"] == "archive download.geoservice.dlr.de"
    assert found["fetched_bytes"] > 40 * 380_000_000


def test_a_cluster_may_have_more_memory_than_this_machine(
    catalogue: Path, cluster: Path, tmp_path: Path
) -> None:
    cluster.write_text(cluster.read_text() + "threads = 64\n")
    args = ("plan", "--catalogue", catalogue, "--out", tmp_path / "store", "--json")
    (pod,) = json.loads(deepsalt(*args, "--cluster-profile", cluster).stdout)["cluster"]["pods"]
    assert pod["memory_bytes"] > 8e9
