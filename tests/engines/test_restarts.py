"""A run that makes its own cluster goes on when the scheduler is lost, and counts what it lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deepsalt.errors import EngineLostError
from flows.cluster_profile import ClusterProfile, WorkerGroup
from flows.config import Compute
from flows.engines import composing as engines
from flows.engines import opening
from flows.run import run as runs
from flows.run.run import run
from tests.engines.clusters import Cluster, cluster
from tests.engines.runs import config, contents
from tests.faults.stages import CHUNK, TILE
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

PROFILE = ClusterProfile(image="deepsalt", groups=(WorkerGroup(name="cpu", most=1),))


@pytest.fixture
def losing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Cluster]]:
    """Let runs make clusters of processes, and the first ones lose their schedulers in a stage."""
    made = list[Cluster]()

    @contextmanager
    def anew(stage: str, losses: int) -> Iterator[Compute]:
        number = len(made)
        hits = tmp_path / f"hits-{number}"
        hits.mkdir()
        slow = {"slow": [stage, 0.2, str(hits)]} if number < losses else None
        with cluster(tmp_path / f"cluster-{number}") as one:
            made.append(one)
            one.worker(preload=slow)

            def strike() -> None:
                wait_until(lambda: any(hits.iterdir()), "nothing is lost")
                one.scheduler.kill()

            striking = Thread(target=strike)
            if slow:
                striking.start()
            yield Compute(scheduler=one.address)
        if slow:
            striking.join()

    def lose(stage: str, losses: int) -> list[Cluster]:
        @contextmanager
        def engine_of(_: Compute, *arguments: Any, pods: None) -> Iterator[Any]:
            with anew(stage, losses) as compute, opening.engine_of(compute, *arguments) as engine:
                yield engine

        @contextmanager
        def composing(_: Compute, *arguments: Any, pods: None) -> Iterator[Any]:
            with anew(stage, losses) as compute, engines.composing(compute, *arguments) as context:
                yield context

        monkeypatch.setattr(runs, "pods_of", lambda *_: nullcontext())
        monkeypatch.setattr(runs, "engine_of", engine_of)
        monkeypatch.setattr(runs, "composing", composing)
        monkeypatch.setattr(runs, "PAUSE_S", 0.1)
        return made

    return lose


def test_a_run_goes_on_from_the_store_when_its_scheduler_is_lost(
    losing: Callable[..., list[Cluster]],
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    made = losing(CHUNK, 2)
    result = run(config(catalogue, store, cluster=PROFILE))
    assert len(made) == 3
    assert {each.status for each in result.scenes} == {"written"}
    assert result.begun_again >= 2, result
    assert 0.0 < result.wasted_s < result.effort.workers_s
    assert 0.0 < result.wasted < 1.0
    assert contents(store) == wanted


def test_tiles_that_a_scheduler_lost_are_composed_again(
    losing: Callable[..., list[Cluster]],
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    made = losing(TILE, 2)
    result = run(config(catalogue, store, cluster=PROFILE))
    assert len(made) == 3
    assert {each.status for each in result.scenes} == {"written"}
    assert contents(store) == wanted


def test_a_run_whose_schedulers_are_lost_again_and_again_gives_up(
    losing: Callable[..., list[Cluster]],
    catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = losing(CHUNK, 99)
    monkeypatch.setattr(runs, "ATTEMPTS", 2)
    with pytest.raises(EngineLostError, match="is no longer reachable; completed work is kept"):
        run(config(catalogue, tmp_path / "store", cluster=PROFILE))
    assert len(made) == 2
