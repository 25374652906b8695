"""Workers that die, are stopped, sleep or come late; a scheduler that dies. Nothing is lost."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import pytest

from deepsalt.errors import RunError
from deepsalt.scenes.base import read_acquisition
from flows.config import Compute
from flows.engines.opening import client_of
from flows.run.result import RunResult
from tests.campaign import examples
from tests.engines.clusters import cluster
from tests.engines.runs import Command, command, contents, run_on
from tests.faults.stages import CHUNK, DECODE, PREDICT
from tests.flows.conftest import Scenes
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def hits(tmp_path: Path) -> Path:
    folder = tmp_path / "hits"
    folder.mkdir()
    return folder


@pytest.fixture
def begun() -> Iterator[Callable[..., "Future[RunResult]"]]:
    """Runs in a thread of this process."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda *arguments: pool.submit(run_on, *arguments)


def test_a_scene_that_kills_every_process_is_quarantined_and_the_rest_is_whole(
    catalogue: Path, scenes: Scenes, tmp_path: Path, hits: Path
) -> None:
    killer = read_acquisition(scenes.east)
    with cluster(tmp_path / "cluster") as made:
        trick = {"fatal": [killer.acquisition_id, str(hits)]}
        made.worker("--nanny", preload=trick)
        made.worker(preload={"fatal": [killer.acquisition_id, str(hits)]})
        result = run_on(made.address, catalogue, tmp_path / "store")
    by_scene = {each.scene: each for each in result.scenes}
    assert by_scene[killer.key].status == "quarantined"
    assert "dies of it, even alone on its worker" in str(by_scene[killer.key].reason)
    assert [each.status for each in result.scenes].count("written") == 2
    assert len(list(hits.iterdir())) == 3
    assert result.exit_code == 3
    assert result.begun_again >= 2
    again = command(catalogue, tmp_path / "store", "--retry-quarantined")
    assert again.code == 0


def test_a_worker_without_memory_dies_again_and_again_and_only_its_scene_is_left_out(
    catalogue: Path, scenes: Scenes, tmp_path: Path, hits: Path
) -> None:
    """The nanny restarts it under another address."""
    killer = read_acquisition(scenes.east)
    with cluster(tmp_path / "cluster") as made:
        made.worker(
            "--nanny",
            "--memory-limit=1600MB",
            preload={"greedy": [killer.acquisition_id, str(hits)]},
        )
        result = run_on(made.address, catalogue, tmp_path / "store")
    statuses = {each.scene: each.status for each in result.scenes}
    assert statuses.pop(killer.key) == "quarantined"
    assert set(statuses.values()) == {"written"}
    assert len(list(hits.iterdir())) == 3


@pytest.mark.parametrize("nanny", ["--nanny", "--no-nanny"])
def test_sigterm_lets_a_worker_hand_back_what_it_has(
    nanny: str,
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    hits: Path,
    begun: Callable[..., "Future[RunResult]"],
) -> None:
    """Four times, which is more than a scene may kill its worker."""
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        for number in range(4):
            asked = made.worker(nanny, preload={"slow": [DECODE, 0.03, str(hits)]})
            if not number:
                run = begun(made.address, catalogue, store)
            wait_until(lambda number=number: len(list(hits.iterdir())) > number, "no scene begins")
            asked.signal(signal.SIGTERM)
            began = time.monotonic()
            asked.popen.wait(30)
            assert time.monotonic() - began < 20
            assert not run.done(), run.result()
        made.worker()
        result = run.result(120)
    assert {each.status for each in result.scenes} == {"written"}
    assert result.begun_again >= 4
    assert result.wasted_s > 0
    assert contents(store) == wanted


def test_a_lost_scheduler_ends_the_run_with_a_sentence_and_the_next_one_goes_on(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        made.worker(preload={"slow": [CHUNK, 0.05, str(hits)]})
        run = Command.run(catalogue, store, "--scheduler", made.address)
        wait_until(lambda: any(hits.iterdir()), "no scene is written")
        made.scheduler.kill()
        ended = run.wait()
        assert ended.code == 1
        assert (
            "is no longer reachable; completed work is kept, so restart it and run again"
            in ended.sentence
        )
        assert made.workers[0].popen.wait(60) is not None
    assert run_on(None, catalogue, store).exit_code == 0
    assert contents(store) == wanted


def test_a_scheduler_that_is_lost_before_it_answers_went_away_as_well(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as made:

        def ask_and_lose() -> None:
            with client_of(Compute(scheduler=made.address)) as client:
                Timer(1.0, made.scheduler.kill).start()
                client.run_on_scheduler(time.sleep, 60)

        with pytest.raises(RunError, match="is no longer reachable; completed work is kept"):
            ask_and_lose()


def test_a_worker_that_is_suspended_for_a_while_goes_on(
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    hits: Path,
    begun: Callable[..., "Future[RunResult]"],
) -> None:
    store, seconds = tmp_path / "store", examples(15, 60)
    with cluster(tmp_path / "cluster", workers=1) as made:
        asleep = made.worker(preload={"slow": [PREDICT, 0.2, str(hits)]})
        made.wait_for(2)
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "no scene begins")
        asleep.signal(signal.SIGSTOP)
        time.sleep(seconds)
        asleep.signal(signal.SIGCONT)
        result = run.result(120)
    assert {each.status for each in result.scenes} == {"written"}
    assert contents(store) == wanted


def test_a_suspended_worker_that_was_given_up_wakes_and_spoils_nothing(
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    hits: Path,
    begun: Callable[..., "Future[RunResult]"],
) -> None:
    store = tmp_path / "store"
    with cluster(
        tmp_path / "cluster", workers=1, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s"
    ) as made:
        asleep = made.worker(preload={"slow": [CHUNK, 0.05, str(hits)]})
        made.wait_for(2)
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "nothing is written")
        asleep.signal(signal.SIGSTOP)
        result = run.result(120)
        asleep.signal(signal.SIGCONT)
        asleep.popen.wait(60)
    assert {each.status for each in result.scenes} == {"written"}
    assert result.begun_again >= 1
    assert contents(store) == wanted


def test_a_cluster_that_shrinks_to_one_worker_and_grows_again_loses_nothing(
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    hits: Path,
    begun: Callable[..., "Future[RunResult]"],
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster", workers=1) as made:
        lost = [made.worker(preload={"slow": [DECODE, 0.1, str(hits)]}) for _ in range(2)]
        made.wait_for(3)
        run = begun(made.address, catalogue, store)
        wait_until(lambda: len(list(hits.iterdir())) == 2, "no scene begins")
        lost[0].kill()
        lost[1].kill()
        for _ in range(2):
            made.worker()
        result = run.result(120)
    assert {each.status for each in result.scenes} == {"written"}
    assert result.begun_again >= 2
    assert contents(store) == wanted
