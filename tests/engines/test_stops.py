"""Ctrl-C: one line, workers stop soon, nothing is left behind, and the next run goes on."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client, Worker

from tests.engines.clusters import cluster
from tests.engines.runs import Command, Ended, contents, run_on
from tests.faults.stages import CHUNK, DECODE
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_LINE = "deepsalt: stopped; run the same command again to resume"


@pytest.fixture
def hits(tmp_path: Path) -> Path:
    folder = tmp_path / "hits"
    folder.mkdir()
    return folder


def interrupted(run: Command, hits: Path) -> tuple[Ended, float]:
    """Press Ctrl-C once a scene is under way; return how the run ended, and after how long."""
    wait_until(lambda: any(hits.iterdir()), "no scene begins")
    time.sleep(0.5)  # so that the stage is met in its midst, of which nothing tells
    pressed = time.monotonic()
    os.killpg(run.popen.pid, signal.SIGINT)  # as a terminal does
    return run.wait(60), time.monotonic() - pressed


def slow(hits: Path, stage: str = DECODE) -> dict[str, str]:
    """Return the environment in which a stage takes long."""
    return {"DEEPSALT_TEST_PRELOAD": json.dumps({"slow": [stage, 0.01, str(hits)]})}


@pytest.mark.parametrize("stage", [DECODE, CHUNK])
def test_ctrl_c_gives_up_what_threads_map(
    stage: str, catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path
) -> None:
    store = tmp_path / "store"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = Command.run(catalogue, store, TMPDIR=str(scratch), **slow(hits, stage))
    ended, took = interrupted(run, hits)
    assert ended.code == 130, ended.said
    assert ended.sentence == _LINE
    print(f"threads: {took:.1f} s")
    assert list(scratch.iterdir()) == []
    assert run_on(None, catalogue, store).exit_code == 0
    assert contents(store) == wanted


def test_ctrl_c_ends_the_workers_that_were_started(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path
) -> None:
    store = tmp_path / "store"
    preload = {"DASK_DISTRIBUTED__WORKER__PRELOAD": '["tests.engines.preload"]'}
    options = ("--workers", "2", "--threads", "1")
    run = Command.run(catalogue, store, *options, **slow(hits), **preload)
    wait_until(lambda: any(hits.iterdir()), "no scene begins")
    children = psutil.Process(run.popen.pid).children(recursive=True)
    ended, took = interrupted(run, hits)
    assert ended.code == 130, ended.said
    assert ended.sentence == _LINE
    print(f"workers: {took:.1f} s")
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert run_on(None, catalogue, store).exit_code == 0
    assert contents(store) == wanted


def test_ctrl_c_stops_the_workers_of_a_cluster_and_leaves_them_clean(
    catalogue: Path, wanted: dict[str, str], tmp_path: Path, hits: Path
) -> None:
    store = tmp_path / "store"
    with cluster(tmp_path / "cluster") as made:
        worker = made.worker(preload={"slow": [DECODE, 0.01, str(hits)]})
        run = Command.run(catalogue, store, "--scheduler", made.address)
        ended, took = interrupted(run, hits)
        assert ended.code == 130, ended.said
        assert ended.sentence == _LINE
        print(f"cluster: {took:.1f} s")
        with Client(made.address, set_as_default=False) as client:
            wait_until(lambda: not any(client.run(_at_work).values()), "the worker goes on")
        assert [path for path in (worker.home / "tmp").iterdir() if "dask" not in path.name] == []
        assert run_on(made.address, catalogue, store).exit_code == 0
    assert contents(store) == wanted


def _at_work(dask_worker: Worker) -> list[str]:
    """Return the threads and plugins of a worker that a run left."""
    threads = [each.name for each in threading.enumerate()]
    left = [name for name in threads if name.startswith(("chunk", "fetch", "scene"))]
    return left + [name for name in dask_worker.plugins if name.startswith("deepsalt")]
