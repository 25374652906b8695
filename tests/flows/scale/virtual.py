"""The real driver in virtual time: an engine whose calls end when a clock of ours says so."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from queue import Empty
from typing import Any

from deepsalt.access import HostLimit
from deepsalt.mapping import SceneReport
from deepsalt.progress import Silent
from deepsalt.types import Acquisition, Asset
from flows.engines.engine import Joined, Needs
from flows.engines.station import Identity, Station
from flows.permits import Permits
from flows.run.driver import Driver
from flows.scale.figures import Figures
from flows.scale.simulate import Crew
from flows.scale.workload import Workload
from tests.benchmarks.scale.continent import continent

_OWN = Identity("1", "model", 1, "cpu", None, 10**12, "host", 1)


class _Call:
    """A call under way."""

    def __init__(self) -> None:
        self._heard: list[Callable[[Any], None]] = []
        self._result: Any = None

    def end(self, result: Any) -> None:
        self._result = result
        for heard in self._heard:
            heard(self)

    def result(self) -> Any:
        return self._result

    def cancel(self) -> None:
        pass

    def add_done_callback(self, heard: Callable[[Any], None], /) -> None:
        self._heard.append(heard)


class _World:
    """The driver's engine, whose workers take the time of a crew, and its queue of events."""

    label = "virtual workers"
    executor: Any = None

    def __init__(
        self, work: Workload, crew: Crew, limits: Callable[[str], HostLimit], figures: Figures
    ) -> None:
        self._work = work
        self._crew = crew
        self._limits = limits
        self._figures = figures
        self._ready: deque[Any] = deque()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turn = count()
        self._busy_until_s: dict[str, float] = {}
        self.now_s = 0.0

    def put(self, event: Any) -> None:
        self._ready.append(event)

    def empty(self) -> bool:
        return not self._ready

    def get(self, timeout: float) -> Any:
        while not self._ready:
            if not self._events:
                raise Empty
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        return self._ready.popleft()

    def is_alive(self) -> bool:
        return True

    def scale(self, *_: Any) -> tuple[str, ...]:
        return ()

    def call(self, worker: str, method: Any, *args: Any) -> _Call:
        call = _Call()
        result: Any = None
        after_s = 0.0
        if method is Station.introduce:
            result = _OWN
        elif method is Station.bring:
            after_s = self._fetch_s(*args)
        else:
            begin_s = max(self.now_s, self._busy_until_s.get(worker, 0.0))
            end_s = begin_s + self._work.pixels[int(args[0].scene_id)] / self._crew.pixels_per_s
            self._busy_until_s[worker] = end_s
            after_s = end_s - self.now_s
            result = SceneReport(args[0].key, "written", product="product")
        event = (self.now_s + after_s, next(self._turn), lambda: call.end(result))
        heapq.heappush(self._events, event)
        return call

    def _fetch_s(self, scene: Acquisition, shares: Any) -> float:
        ((host, share),) = shares.items()
        rate = share.bytes_per_s or share.connections * self._figures.connection_bytes_per_s
        if self._limits(host).connections is None:
            rate = self._figures.worker_bytes_per_s
        return float(self._work.fetched_bytes[int(scene.scene_id)] / rate)


def seconds_of_driver(
    work: Workload, crew: Crew, limits: Callable[[str], HostLimit], *, figures: Figures
) -> float:
    """Return the virtual seconds in which the driver has all scenes mapped by a crew."""
    world = _World(work, crew, limits, figures)
    for number in range(crew.workers):
        world.put(Joined(f"worker-{number}"))
    pattern = next(continent(1))
    scenes = [
        replace(
            pattern,
            scene_id=str(index),
            acquisition_id=str(index),
            assets=(Asset("image", f"https://{hosts[0]}/{index}" if hosts else f"/{index}", 1),),
        )
        for index, hosts in enumerate(work.hosts)
    ]
    driver = Driver(
        world,  # type: ignore[arg-type]
        world,  # type: ignore[arg-type]
        Permits(limits, 1),
        own=_OWN,
        needs=Needs(0),
        progress=Silent(),
    )
    driver.meet()
    done: list[int] = []
    driver.work(scenes, range(len(scenes)), lambda scene, _: done.append(scene), lambda *_: None)
    assert sorted(done) == list(range(len(scenes)))
    return world.now_s
