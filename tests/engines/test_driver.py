"""The driver, in front of an engine that only keeps books."""

import gc
import pickle
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from deepsalt.access import HostLimit
from deepsalt.errors import DeviceError, EngineLostError, RunError, StoppedError, StoreError
from deepsalt.mapping import SceneReport
from deepsalt.progress import Silent
from deepsalt.scenes.base import read_acquisition
from deepsalt.types import Acquisition
from flows.engines.engine import Joined, Leaving, LostWork, Needs, WorkerLeft
from flows.engines.station import Identity, Station
from flows.permits import Permits
from flows.run import driver as driver_module
from flows.run.driver import Driver
from flows.run.scenes import Scenes
from tests.made.enmap import write_enmap

OWN = Identity("0.1.0", "digest", 1, "", None, 0, "", 0)
WORKER = Identity("0.1.0", "digest", 1, "x86_64 AVX2", 8 * 10**9, 10**12, "there", 7)
FLAGS = (
    "outside",
    "cloud",
    "cirrus",
    "shadow",
    "haze",
    "water",
    "green_vegetation",
    "dry_vegetation",
    "out_of_domain",
)


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory: pytest.TempPathFactory) -> Acquisition:
    return read_acquisition(write_enmap(tmp_path_factory.mktemp("scene"), shape=(40, 40)))


class Books:
    """An engine whose workers do what the test says; counts what is under way on each.

    `given` counts the scenes that each was to map, `shares` has those of fetches under way.

    Parameters
    ----------
    events
        Where the driver hears of workers.
    workers
        Who is there from the beginning.
    """

    label = "the books"
    executor: Any = None

    def __init__(self, events: "SimpleQueue[Any]", *workers: str) -> None:
        self.events = events
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.shares: dict[Future[Any], Any] = {}
        self.submitted = 0
        self.waiting: list[tuple[str, str, Any, Future[Any]]] = []
        self.identities = dict.fromkeys(workers, WORKER)
        self.alive = True
        self.asked: list[tuple[int, dict[str, int]]] = []
        self.released: set[str] = set()
        for worker in workers:
            events.put(Joined(worker))

    def is_alive(self) -> bool:
        return self.alive

    def scale(self, scenes: int, scenes_of: Mapping[str, int], waste: LostWork) -> Collection[str]:
        self.asked.append((scenes, dict(scenes_of)))
        return self.released

    def call(self, worker: str, method: Callable[..., Any], *args: Any) -> "Future[Any]":
        call: Future[Any] = Future()
        if method is Station.introduce:
            call.set_result(self.identities[worker])
            return call
        self.submitted += 1
        self.under_way[worker] += 1
        if method is Station.bring:
            self.shares[call] = args[1]
            call.add_done_callback(self.shares.pop)
        else:
            self.given[worker] += 1
        self.most[worker] = max(self.most[worker], self.under_way[worker])
        call.add_done_callback(lambda _: self.under_way.subtract([worker]))
        self.waiting.append((worker, method.__name__, args[0].key, call))
        return call

    def finish(self, which: int = 0, error: Exception | None = None) -> None:
        """Let a call end, as a worker would report."""
        _, method, key, call = self.waiting.pop(which)
        if error is not None:
            call.set_exception(error)
        elif method == "bring":
            call.set_result(1)
        else:
            call.set_result(report(key))

    def lose(self, worker: str, *, asked: bool = False) -> None:
        """Let a worker be gone."""
        self.waiting = [each for each in self.waiting if each[0] != worker]
        self.events.put(WorkerLeft(worker, asked))


def report(key: str) -> SceneReport:
    """Return a report as they are and come."""
    flags = {name: 1000 + len(key) for name in FLAGS}
    made = SceneReport(key, "written", f"enmap_{key[10:]}-15eeec1445e1", 21000, 16365, flags)
    return pickle.loads(pickle.dumps(made))  # as from another process


class _Turn(SimpleQueue):  # type: ignore[type-arg]
    """The driver's queue: before the driver waits, somebody else has a turn."""

    turn: Callable[[], None] = staticmethod(lambda: None)

    def get(self, *args: Any, **options: Any) -> Any:
        if self.empty():
            self.turn()
        return super().get(*args, **options)


def driver_of(
    turn: Callable[[Books], None], *workers: str, limit: int | None = None
) -> tuple[Driver, Books]:
    """Return a driver that met its workers, and their books."""
    events = _Turn()
    books = Books(events, *workers)
    events.turn = lambda: turn(books)
    permits = Permits(lambda _: HostLimit(limit), 1)
    needs = Needs(10**9, 10**6)
    driver = Driver(books, events, permits, own=OWN, needs=needs, progress=Silent())
    driver.meet()
    return driver, books


def copies(acquisition: Acquisition, count: int) -> Scenes:
    """Return scenes that differ in their identity alone."""
    ids = (f"DT{number:010d}_001" for number in range(count))
    return Scenes(replace(acquisition, acquisition_id=each) for each in ids)


def work(driver: Driver, scenes: Any, heard: Callable[[int, SceneReport], None]) -> None:
    def never(each: Acquisition, why: str) -> None:
        raise AssertionError(why)

    driver.work(scenes, range(len(scenes)), heard, never)


def test_at_most_two_scenes_are_submitted_per_worker(acquisition: Acquisition) -> None:
    driver, books = driver_of(lambda books: books.finish(), "a", "b", "c")
    heard: list[int] = []
    work(driver, copies(acquisition, 50), lambda index, _: heard.append(index))
    assert books.most == {"a": 2, "b": 2, "c": 2}
    assert (books.submitted, sorted(heard)) == (50, list(range(50)))


def test_reports_are_taken_as_they_come(acquisition: Acquisition) -> None:
    driver, _ = driver_of(lambda books: books.finish(-1), "a", "b")
    heard: list[int] = []
    work(driver, copies(acquisition, 20), lambda index, _: heard.append(index))
    assert heard[0] == 3
    assert heard[-1] == 0


def test_a_driver_needs_less_than_1_kb_per_scene(acquisition: Acquisition) -> None:
    count = 1000
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        scenes = copies(acquisition, count)
        driver, _ = driver_of(lambda books: books.finish(), "a", "b")
        reports: dict[int, SceneReport] = {}
        work(driver, scenes, reports.__setitem__)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{(after - before) / count:.0f} bytes per scene")
    assert len(reports) == count
    assert (after - before) / count < 1000


def test_scenes_of_a_lost_worker_go_to_others(acquisition: Acquisition) -> None:
    lost: list[str] = []

    def turn(books: Books) -> None:
        if not lost:
            lost.extend(key for worker, _, key, _ in books.waiting if worker == "a")
            books.lose("a")
        else:
            books.finish()

    driver, books = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 10), heard.__setitem__)
    assert {each.status for each in heard.values()} == {"written"}
    assert len(heard) == 10
    assert (len(lost), driver.waste.scenes, books.submitted) == (2, 2, 12)


def test_a_scene_that_kills_its_workers_runs_alone_and_is_quarantined_then(
    acquisition: Acquisition,
) -> None:
    scenes = copies(acquisition, 8)
    killer, number, alone = scenes[3].key, 0, []

    def turn(books: Books) -> None:
        nonlocal number
        if victim := next((worker for worker, _, key, _ in books.waiting if key == killer), None):
            alone.append(books.under_way[victim])
            books.lose(victim)
            number += 1
            books.identities[f"n{number}"] = WORKER
            books.events.put(Joined(f"n{number}"))
        else:
            books.finish()

    driver, _ = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    quarantined: list[tuple[str, str]] = []
    driver.work(
        scenes, range(8), heard.__setitem__, lambda each, why: quarantined.append((each.key, why))
    )
    assert [key for key, _ in quarantined] == [killer]
    assert "dies of it, even alone" in quarantined[0][1]
    assert alone == [2, 2, 1]
    assert [heard[n].status for n in range(8)] == ["written"] * 3 + ["quarantined"] + [
        "written"
    ] * 4


def test_preempted_workers_never_count_against_their_scenes(acquisition: Acquisition) -> None:
    number = 0

    def turn(books: Books) -> None:
        nonlocal number
        if number < 12:
            number += 1
            books.identities[f"n{number}"] = WORKER
            books.events.put(Joined(f"n{number}"))
            books.lose(books.waiting[0][0], asked=True)
        else:
            books.finish()

    driver, books = driver_of(turn, "a")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 1), heard.__setitem__)
    assert heard[0].status == "written"
    assert (driver.waste.scenes, books.submitted) == (12, 13)


def test_what_a_stopped_worker_hands_back_is_done_by_another(acquisition: Acquisition) -> None:
    def turn(books: Books) -> None:
        first = [n for n, each in enumerate(books.waiting) if each[0] == "a"]
        books.finish(*first[:1], error=StoppedError("given up") if first else None)

    driver, books = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 6), heard.__setitem__)
    assert {each.status for each in heard.values()} == {"written"}
    assert books.most["a"] == 2
    assert driver.waste.scenes == 2


def test_a_worker_that_leaves_while_it_is_introduced_is_forgotten(acquisition: Acquisition) -> None:
    events: SimpleQueue[Any] = SimpleQueue()
    books = Books(events, "a", "b")
    events.put(WorkerLeft("a", asked=False))
    permits = Permits(lambda _: HostLimit(None), 1)
    driver = Driver(books, events, permits, own=OWN, needs=Needs(10**9), progress=Silent())
    assert driver.meet() == WORKER.platform
    assert driver.workers == 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"version": "9"}, "has deepsalt 9, this run 0.1.0"),
        ({"model": "another"}, "has model another, this run digest"),
        ({"algorithm": 2}, "has algorithm 2, this run 1"),
        ({"platform": "cuda H200"}, "computes on cuda H200, others on x86_64 AVX2"),
        ({"memory_bytes": 10**8}, "has 0.1 GB of memory, but a scene would need about 1.0 GB"),
        ({"scratch_bytes": 10**5}, "has room for 0.0001 GB of scratch files"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_differs_is_refused_before_the_first_scene(other: dict[str, Any], why: str) -> None:
    events: SimpleQueue[Any] = SimpleQueue()
    books = Books(events, "a", "b")
    books.identities["b"] = replace(WORKER, **other)
    permits = Permits(lambda _: HostLimit(None), 1)
    needs = Needs(10**9, 10**6)
    driver = Driver(books, events, permits, own=OWN, needs=needs, progress=Silent())
    with pytest.raises(RunError, match=why):
        driver.meet()
    assert books.submitted == 0


def test_a_stranger_that_comes_later_is_left_out(acquisition: Acquisition) -> None:
    """Also when it comes as all others are gone: the store is of the first ones."""
    steps = iter(["stranger", "loss", "friend"])

    def turn(books: Books) -> None:
        step = next(steps, None)
        if step == "stranger":
            books.identities["s"] = replace(WORKER, platform="x86_64 AVX512")
            books.lose("a")
            books.events.put(Joined("s"))
        elif step == "loss":
            books.identities["f"] = WORKER
            books.events.put(Joined("f"))
        elif step is None:
            books.finish()

    driver, books = driver_of(turn, "a")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 5), heard.__setitem__)
    assert len(heard) == 5
    assert books.most["s"] == 0


def test_a_store_that_cannot_be_written_ends_the_work(acquisition: Acquisition) -> None:
    driver, books = driver_of(lambda books: books.finish(error=StoreError("full")), "a")
    with pytest.raises(StoreError, match="full"):
        work(driver, copies(acquisition, 9), lambda *_: None)
    assert books.submitted == 2


def test_scenes_of_a_worker_whose_device_failed_go_to_others(acquisition: Acquisition) -> None:
    lost = DeviceError("the device failed")

    def turn(books: Books) -> None:
        books.finish(error=lost if books.waiting[0][0] == "a" else None)

    driver, books = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 6), heard.__setitem__)
    assert {each.status for each in heard.values()} == {"written"}
    assert (len(heard), books.submitted, driver.waste.scenes) == (6, 8, 2)


def test_a_device_that_failed_on_the_only_worker_ends_the_work(acquisition: Acquisition) -> None:
    lost = DeviceError("the device failed")
    driver, _ = driver_of(lambda books: books.finish(error=lost), "a")
    with pytest.raises(DeviceError, match="the device failed"):
        work(driver, copies(acquisition, 3), lambda *_: None)


def test_an_engine_that_is_gone_ends_the_work_with_a_sentence(acquisition: Acquisition) -> None:
    def turn(books: Books) -> None:
        books.alive = False

    driver, _ = driver_of(turn, "a")
    with pytest.raises(RunError, match="the books is no longer reachable; completed work is kept"):
        work(driver, copies(acquisition, 3), lambda *_: None)


def test_a_permit_returns_when_its_worker_is_lost(acquisition: Acquisition, tmp_path: Path) -> None:
    assets = tuple(
        replace(asset, href=f"https://data.example.org/{n}")
        for n, asset in enumerate(acquisition.assets)
    )
    scenes = copies(replace(acquisition, assets=assets), 4)
    done: list[str] = []

    def turn(books: Books) -> None:
        if not done:
            done.append(books.waiting[0][1])
            books.lose(books.waiting[0][0])
        else:
            books.finish()

    driver, _ = driver_of(turn, "a", "b", limit=1)
    heard: dict[int, SceneReport] = {}
    work(driver, scenes, heard.__setitem__)
    assert done == ["bring"]
    assert len(heard) == 4


def test_a_worker_that_leaves_gets_no_more_scenes_and_what_it_finishes_counts(
    acquisition: Acquisition,
) -> None:
    told: list[int] = []

    def turn(books: Books) -> None:
        if not told:
            books.events.put(Leaving("a"))
            told.append(books.most["a"])
        else:
            books.finish()

    driver, books = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 9), heard.__setitem__)
    assert len(heard) == 9
    assert books.given["a"] == 2
    assert (driver.workers, driver.waste.scenes) == (1, 0)


def test_a_released_worker_gets_no_more_scenes_until_it_is_wanted_again(
    acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "TICK_S", 0.0)
    steps: list[int] = []

    def turn(books: Books) -> None:
        steps.append(books.given["a"])
        books.released = {"a"} if len(steps) < 8 else set()
        books.finish()

    driver, books = driver_of(turn, "a", "b")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 20), heard.__setitem__)
    assert len(heard) == 20
    assert set(steps[1:8]) == {2}
    assert steps[-1] > 2
    lefts = [left for left, _ in books.asked]
    assert (lefts[0], lefts[-1]) == (20, 0)
    assert books.asked[1][1] == {"a": 1, "b": 2}


def test_a_run_waits_for_a_worker_when_all_are_released(
    acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenes that nobody has begun are not forgotten."""
    monkeypatch.setattr(driver_module, "TICK_S", 0.0)

    def turn(books: Books) -> None:
        books.released = {"a"}
        if books.waiting:
            books.finish()
        else:
            books.identities["b"] = WORKER
            books.events.put(Joined("b"))

    driver, books = driver_of(turn, "a")
    heard: dict[int, SceneReport] = {}
    work(driver, copies(acquisition, 6), heard.__setitem__)
    assert len(heard) == 6
    assert books.given == {"a": 2, "b": 4}


def test_workers_that_map_nothing_get_no_scenes_and_may_be_of_any_kind(
    acquisition: Acquisition,
) -> None:
    events: SimpleQueue[Any] = _Turn()
    books = Books(events, "tiles", "a")
    events.turn = books.finish
    books.identities["tiles"] = replace(
        WORKER, maps=False, platform="", model="", memory_bytes=1, scratch_bytes=0
    )
    permits = Permits(lambda _: HostLimit(None), 1)
    needs = Needs(10**9, 10**6)
    driver = Driver(books, events, permits, own=OWN, needs=needs, progress=Silent())
    assert driver.meet() == WORKER.platform
    work(driver, copies(acquisition, 5), lambda *_: None)
    assert books.given == {"a": 5}
    assert driver.workers == 1


def test_a_worker_that_maps_nothing_is_of_the_runs_version_all_the_same() -> None:
    events: SimpleQueue[Any] = SimpleQueue()
    books = Books(events, "tiles", "a")
    books.identities["tiles"] = replace(WORKER, maps=False, version="9")
    permits = Permits(lambda _: HostLimit(None), 1)
    driver = Driver(books, events, permits, own=OWN, needs=Needs(10**9), progress=Silent())
    with pytest.raises(RunError, match=r"worker tiles has deepsalt 9, this run 0\.1\.0"):
        driver.meet()


def test_what_an_engine_loses_counts_as_waste_once_per_worker(acquisition: Acquisition) -> None:
    """A worker with two scenes has one in hand: its time counts once."""

    def turn(books: Books) -> None:
        time.sleep(0.2)
        books.alive = False

    driver, _ = driver_of(turn, "a", "b")
    with pytest.raises(EngineLostError):
        work(driver, copies(acquisition, 9), lambda *_: None)
    assert driver.waste.scenes == 4
    assert 0.4 <= driver.waste.seconds <= driver.waste.workers_s


def test_workers_that_join_share_what_a_host_allows(acquisition: Acquisition) -> None:
    """The first one had all of it; nobody gets more before that is given back."""
    assets = tuple(
        replace(asset, href=f"https://data.example.org/{n}")
        for n, asset in enumerate(acquisition.assets)
    )
    scenes = copies(replace(acquisition, assets=assets), 30)
    joining, most = ["b", "c"], []

    def turn(books: Books) -> None:
        shares = [s["data.example.org"] for s in books.shares.values()]
        most.append((sum(each.connections for each in shares), len(shares)))
        if joining and len(most) % 5 == 0:
            books.identities[joining[0]] = WORKER
            books.events.put(Joined(joining.pop(0)))
        else:
            books.finish()

    driver, books = driver_of(turn, "a", limit=6)
    heard: dict[int, SceneReport] = {}
    work(driver, scenes, heard.__setitem__)
    assert len(heard) == 30
    assert max(connections for connections, _ in most) == 6
    assert {number for _, number in most} == {0, 1, 2, 3}
    assert all(books.given[each] > 4 for each in "abc")
