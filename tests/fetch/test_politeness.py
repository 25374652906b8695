"""Many workers, one server: what it sees of a run that has permits."""

import atexit
import dataclasses
import multiprocessing
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from deepsalt.access import HostLimit, Reach
from deepsalt.fetch import Fetcher, Patience, ScratchSpace, Share, hosts_of
from deepsalt.types import Acquisition, Asset
from flows.permits import Permit, Permits
from tests.catalog.scenes import acquisition
from tests.servers.ranges import SOUND, Fault, bucket_server, file_server

LOOPBACK = Reach(frozenset({"loopback"}))
HASTY = Patience(first_wait_s=0.05, longest_wait_s=0.2, budget=10**6)
WINDOW_S = 10.0
_fetchers: dict[str, Fetcher] = {}


def worker(scene: Acquisition, shares: Mapping[str, Share]) -> int:
    """Fetch a scene in a worker, a process or a thread with a fetcher of its own."""
    name = threading.current_thread().name
    if name not in _fetchers:
        space = ScratchSpace(Path(tempfile.gettempdir()), 10**9)
        _fetchers[name] = Fetcher(space, HASTY, reach=LOOPBACK)
        atexit.register(_fetchers[name].close)
    brought = _fetchers[name].bring(scene, shares)
    _fetchers[name].drop(scene)
    return brought


def first_fetch(scene: Acquisition) -> None:
    worker(scene, {})


def close_fetchers() -> None:
    while _fetchers:
        _fetchers.popitem()[1].close()


def scenes_of(place: str, root: Path, count: int, megabytes: float) -> list[Acquisition]:
    """Return scenes of two files each, which lie in a web server's folder or a bucket."""
    folder = root / "files"
    folder.mkdir(exist_ok=True)
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(np.random.default_rng(0).bytes(int(megabytes * 500_000)))
    return [
        dataclasses.replace(
            acquisition(),
            scene_id=f"scene-{number}",
            assets=tuple(
                Asset(name, f"{place}/{name}?scene={number}") for name in ("a.bin", "b.bin")
            ),
        )
        for number in range(count)
    ]


def drive(
    scenes: list[Acquisition], permits: Permits, workers: Executor, slots: int
) -> tuple[int, float]:
    """Bring scenes as a driver does; returns their bytes, and when none waited any more."""
    waiting, brought, busy_until_s = deque(scenes), 0, 0.0
    running: dict[Future[int], Permit] = {}
    while waiting or running:
        while waiting and len(running) < slots:
            permit = permits.take(hosts_of(waiting[0]))
            if permit is None:
                break
            running[workers.submit(worker, waiting.popleft(), permit.shares)] = permit
            busy_until_s = time.monotonic()
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            permits.give_back(running.pop(done))
            brought += done.result()
    return brought, busy_until_s


@contextmanager
def counting_connections(url: str) -> Iterator[list[int]]:
    """Count every 20 ms the connections to a server that were open at this look and the last.

    The kernel's table is not of one moment; what is in it twice was open all the time in between.
    """
    port, found, ended = f":{urlsplit(url).port:04X}", [0], threading.Event()

    def look() -> None:
        before: set[str] = set()
        while not ended.wait(0.02):
            rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            now = {row[2] for row in rows if row[1].endswith(port) and row[3] == "01"}
            found.append(len(now & before))
            before = now

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def most_in_a_window(sent: list[tuple[float, int]]) -> int:
    """Return the most bytes of any `WINDOW_S`."""
    most = held = 0
    window: deque[tuple[float, int]] = deque()
    for moment_s, size_bytes in sorted(sent):
        window.append((moment_s, size_bytes))
        held += size_bytes
        while moment_s - window[0][0] > WINDOW_S:
            held -= window.popleft()[1]
        most = max(most, held)
    return most


def test_threads_that_share_a_server_take_no_more_than_it_allows(tmp_path: Path) -> None:
    limit, slots = HostLimit(4, 4e6), 2
    with file_server(tmp_path) as server, ThreadPoolExecutor(slots) as workers:
        scenes = scenes_of(f"{server.url}/files", tmp_path, 4, 2)
        permits = Permits(lambda host: limit, slots)
        begin_s = time.monotonic()
        with counting_connections(server.url) as connections:
            brought, _ = drive(scenes, permits, workers, slots)
        close_fetchers()
    assert brought == 8_000_000
    assert time.monotonic() - begin_s >= brought / 4e6
    assert max(connections) <= 4


def ill(number: int, path: str) -> Fault:
    """Let every fourth answer go wrong in one way or another."""
    ways = (Fault(status=503), Fault(cut=200_000), Fault(cut=70_000, reset=True), Fault(longer=9))
    return ways[number // 4 % len(ways)] if number % 4 == 3 else SOUND


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "s3://files"], ids=["web", "bucket"])
@pytest.mark.parametrize(
    ("faults", "use"), [(lambda *_: SOUND, 0.8), (ill, 0.0)], ids=["sound", "ill"]
)
def test_processes_that_share_a_server_use_what_it_allows_and_no_more(
    tmp_path: Path, faults: Callable[[int, str], Fault], use: float, place: str
) -> None:
    limit, slots, rate = HostLimit(4, 8e6), 3, 8e6
    fresh = multiprocessing.get_context("spawn")
    with (
        (bucket_server if place else file_server)(tmp_path, faults=faults) as server,
        # The first fetch of a process imports what it needs.
        ProcessPoolExecutor(
            slots,
            fresh,
            first_fetch,
            (scenes_of(place or f"{server.url}/files", tmp_path, 1, 0.1)[0],),
        ) as workers,
    ):
        list(workers.map(time.sleep, [0.5] * slots))  # all are there
        scenes = scenes_of(place or f"{server.url}/files", tmp_path, 12, 12)
        server.sent.clear()
        permits = Permits(lambda host: limit, slots)
        begin_s = time.monotonic()
        with counting_connections(server.url) as connections:
            _, busy_until_s = drive(scenes, permits, workers, slots)
    busy_s = busy_until_s - begin_s
    used = sum(size for moment_s, size in server.sent if moment_s <= busy_until_s) / busy_s / rate
    most = most_in_a_window(server.sent) / WINDOW_S / rate
    print(f"{busy_s:.1f} s: {used:.1%} used, most in 10 s {most:.1%}, {max(connections)} open")
    assert most <= 1
    assert max(connections) <= 4
    assert used >= use
