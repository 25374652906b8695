"""A cluster that grows and shrinks with the work that is left, without losing any."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest

from deepsalt.errors import UsageError
from flows.config import Compute, HostLimitConfig, Politeness
from flows.engines.cluster import cluster_of
from flows.engines.engine import Engine, Load
from flows.engines.opening import client_of
from flows.engines.station import Station, Task
from flows.run import run as runs
from flows.run.result import RunResult
from flows.run.run import run
from tests.engines.clusters import Cluster, cluster
from tests.engines.runs import config, contents
from tests.flows.conftest import Scenes, remote_items
from tests.servers.ranges import file_server
from tests.servers.stac import serving

pytestmark = pytest.mark.slow

Scale = Callable[[Load], Collection[str]]


@contextmanager
def scaled_by(
    made: Cluster, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path, Path], RunResult]]:
    """Let runs compute on a cluster that a function scales."""

    @contextmanager
    def engine_of(
        _: Compute,
        task: Task,
        events: "SimpleQueue[Any]",
        __: Callable[[int], Station],
        **___: None,
    ) -> Iterator[Engine]:
        with (
            client_of(Compute(scheduler=made.address)) as client,
            cluster_of(client, task, None, events, scaler=scale) as engine,
        ):
            yield engine

    monkeypatch.setattr(runs, "engine_of", engine_of)
    yield lambda catalogue, out: run(config(catalogue, out, scheduler=made.address))


def test_workers_are_started_and_released_and_nothing_is_done_twice(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is released finishes its scenes and ends with exit code 0."""
    store, seen = tmp_path / "store", list[Load]()
    with cluster(tmp_path / "cluster", workers=1) as made:
        first = made.workers[0]

        def scale(load: Load) -> Collection[str]:
            seen.append(load)
            if len(made.workers) == 1:
                made.worker()
            labels = {each.label: each.worker for each in load.workers}
            return [labels["worker-0"]] if "worker-1" in labels and "worker-0" in labels else []

        with scaled_by(made, scale, monkeypatch) as scaled:
            result = scaled(catalogue, store)
        assert first.popen.wait(30) == 0
        assert made.workers[1].is_alive()
    assert {each.status for each in result.scenes} == {"written"}
    assert (result.begun_again, result.wasted_s) == (0, 0.0)
    assert seen[0].scenes == 3
    assert [each.label for each in seen[0].workers] == ["worker-0"]
    assert contents(store) == wanted


def test_workers_that_map_nothing_compose_tiles_on_any_platform(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may come first, and need no model."""
    store, most = tmp_path / "store", list[int]()
    with cluster(tmp_path / "cluster") as made:
        made.worker(DEEPSALT_MAPS="no", preload={"device": ["cuda NVIDIA H200"]})
        made.wait_for(1)

        def scale(load: Load) -> Collection[str]:
            most.extend(each.scenes for each in load.workers if each.label == "worker-0")
            return []

        made.worker()
        with scaled_by(made, scale, monkeypatch) as scaled:
            result = scaled(catalogue, store)
    assert {each.status for each in result.scenes} == {"written"}
    assert set(most) == {0}
    assert contents(store) == wanted


def test_an_archive_is_asked_no_more_when_workers_join(
    scenes: Scenes, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker, then two, then three have its two connections between them."""
    store, there = tmp_path / "store", set[int]()
    with (
        file_server(scenes.west.parent, latency_s=0.3) as files,
        serving(remote_items(scenes.all, files.url)) as api,
        cluster(tmp_path / "cluster", workers=1) as made,
    ):

        def scale(load: Load) -> Collection[str]:
            there.add(len(load.workers))
            if len(made.workers) < 3 and len(made.workers) == len(load.workers):
                made.worker()
            return []

        host = urlsplit(files.url).netloc
        polite = Politeness(hosts={host: HostLimitConfig(connections=2)})
        made.wait_for(1)
        with scaled_by(made, scale, monkeypatch):
            plain = config(api.url, store, scheduler=made.address)
            result = run(plain.model_copy(update={"politeness": polite}))
    assert {each.status for each in result.scenes} == {"written"}
    assert {1, 2, 3} <= there
    assert files.open_most <= 2
    assert contents(store) == wanted


def test_a_grace_period_that_is_no_number_is_refused(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        cluster(tmp_path / "cluster", workers=1, DEEPSALT_GRACE_S="soon") as made,
        scaled_by(made, lambda _: [], monkeypatch) as scaled,
        pytest.raises(UsageError, match="DEEPSALT_GRACE_S of a worker is 'soon'; give it seconds"),
    ):
        scaled(catalogue, tmp_path / "store")
