"""Workers that are asked to leave by SIGTERM, as spot nodes are, with time to finish."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.run.result import RunResult
from tests.engines.clusters import Process, cluster
from tests.engines.runs import contents, run_on
from tests.faults.stages import CHUNK, DECODE, PREDICT, TILE
from tests.flows.conftest import Scenes, remote_items
from tests.servers.ranges import file_server
from tests.servers.stac import serving
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

Begun = Callable[..., "Future[RunResult]"]


@pytest.fixture
def hits(tmp_path: Path) -> Path:
    folder = tmp_path / "hits"
    folder.mkdir()
    return folder


@pytest.fixture
def begun() -> Iterator[Begun]:
    """Runs in a thread of this process."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda *arguments: pool.submit(run_on, *arguments)


def asked(worker: Process) -> float:
    """Ask a worker to leave; return how long it takes, once it has ended without an error."""
    worker.signal(signal.SIGTERM)
    began_s = time.monotonic()
    assert worker.popen.wait(100) == 0, worker.said
    return time.monotonic() - began_s


def left_by(worker: Process) -> list[str]:
    return [path.name for path in (worker.home / "tmp").iterdir() if "dask" not in path.name]


@pytest.mark.parametrize("stage", [PREDICT, CHUNK])
def test_a_worker_finishes_its_scene_within_the_grace_period(
    stage: str,
    catalogue: Path,
    wanted: dict[str, str],
    tmp_path: Path,
    hits: Path,
    begun: Begun,
) -> None:
    """It gives back the one that waited, on which it has not spent anything."""
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        first = made.worker(preload={"slow": [stage, 0.1, str(hits)]}, DEEPSALT_GRACE_S="100")
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "no scene begins")
        asked(first)
        done = len(list((store / "records" / "done").iterdir()))
        made.worker()
        result = run.result(200)
    assert done >= 1
    assert result.begun_again <= 1
    assert result.wasted_s < 1.0
    assert {each.status for each in result.scenes} == {"written"}
    assert left_by(first) == []
    assert contents(store) == wanted


def test_a_scene_that_takes_longer_than_the_grace_period_is_handed_back_before_its_end(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path, begun: Begun
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        first = made.worker(preload={"slow": [DECODE, 0.3, str(hits)]}, DEEPSALT_GRACE_S="20")
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "no scene begins")
        took_s = asked(first)
        made.worker()
        result = run.result(200)
    assert took_s < 20
    assert result.begun_again >= 1
    assert result.wasted_s > 10.0
    assert {each.status for each in result.scenes} == {"written"}
    assert contents(store) == wanted


def test_scenes_that_are_being_fetched_are_given_back_at_once(
    scenes: Scenes, wanted: dict[str, str], tmp_path: Path, begun: Begun
) -> None:
    store = tmp_path / "store"
    with (
        file_server(scenes.west.parent, latency_s=1.0) as files,
        serving(remote_items(scenes.all, files.url)) as api,
        cluster(tmp_path / "cluster") as made,
    ):
        first = made.worker(DEEPSALT_GRACE_S="300")
        run = begun(made.address, api.url, store)
        wait_until(lambda: files.asked, "no fetch begins")
        took_s = asked(first)
        made.worker()
        result = run.result(200)
    assert took_s < 60
    assert result.begun_again >= 1
    assert {each.status for each in result.scenes} == {"written"}
    assert left_by(first) == []
    assert contents(store) == wanted


def test_a_second_sigterm_ends_a_worker_at_once(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path, begun: Begun
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        first = made.worker(preload={"slow": [PREDICT, 2.0, str(hits)]}, DEEPSALT_GRACE_S="300")
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "no scene begins")
        first.signal(signal.SIGTERM)
        time.sleep(2.0)
        assert first.is_alive()
        took_s = asked(first)
        made.worker()
        result = run.result(200)
    assert took_s < 30
    assert result.begun_again >= 1
    assert contents(store) == wanted


def test_a_tile_that_is_being_composed_is_finished_and_the_rest_goes_to_others(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path, begun: Begun
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        trick = {"slow": [TILE, 3.0, str(hits)]}
        first = made.worker(preload=trick, DEEPSALT_GRACE_S="100")
        run = begun(made.address, catalogue, store)
        wait_until(lambda: any(hits.iterdir()), "no tile begins")
        asked(first)
        composed = (hits / str(first.pid)).stat().st_size
        made.worker(preload=trick)
        result = run.result(200)
    tiles = sum(each.stat().st_size for each in hits.iterdir())
    assert composed == 1
    assert result.mosaic is not None
    assert tiles == result.mosaic.composed == 4
    assert contents(store) == wanted
