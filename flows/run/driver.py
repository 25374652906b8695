"""Which worker gets which scene, the outcome of each, and what is repeated.

The driver holds reports and a bounded number of submissions: at most two scenes per worker, so that
one is fetched or written while another is mapped. A remote scene starts with a permit for its
hosts, which returns when its files have arrived, or when its worker is lost.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from deepsalt.errors import (
    DeepsaltError,
    DeviceError,
    EngineLostError,
    ReadError,
    RunError,
    StoppedError,
    StoreError,
)
from deepsalt.fetch import hosts_of
from deepsalt.mapping import SceneReport
from deepsalt.progress import Progress
from deepsalt.types import Acquisition
from flows.engines.engine import (
    Call,
    Engine,
    Joined,
    Leaving,
    LostWork,
    Needs,
    WorkerLeft,
    lost,
    refuse_strangers,
    strange,
)
from flows.engines.repeated import repeated
from flows.engines.station import Identity, Station
from flows.permits import Permit, Permits

SCENES_PER_WORKER = 2
_LOSSES_IN_COMPANY = 2
"""Number of lost workers after which a scene runs alone, to tell whether it is the cause."""
TICK_S = 1.0
"""Time between two looks at whether the engine is alive and has workers enough."""
NOBODY_S = 300.0
"""Time without any worker after which a run gives up."""


@dataclass(eq=False, slots=True)
class _Flight:
    """A scene on a worker, or a query of a worker's identity."""

    worker: str
    scene: int | None
    acquisition: Acquisition | None
    began_s: float
    alone: bool = False
    permit: Permit | None = None
    call: Call[Any] | None = None


class Driver:
    """Distributes scenes over the workers of an engine.

    Parameters
    ----------
    engine
        The workers.
    events
        Queue of the engine's arrivals and departures of workers.
    permits
        Limits how many scenes are fetched from each host at a time.
    own
        Identity of this process; workers that differ are refused.
    needs
        What a scene takes of a worker.
    progress
        Receives progress on scenes.
    patience_s
        Time without any worker after which a run gives up.
    waste
        Counts what is repeated; a driver that goes on where another had to stop adds to the same.
    """

    def __init__(
        self,
        engine: Engine,
        events: "SimpleQueue[Any]",
        permits: Permits,
        *,
        own: Identity,
        needs: Needs,
        progress: Progress,
        waste: LostWork | None = None,
        patience_s: float = NOBODY_S,
    ) -> None:
        self._engine = engine
        self._events = events
        self._permits = permits
        self._own = own
        self._needs = needs
        self._progress = progress
        self._patience_s = patience_s
        self._workers: dict[str, Identity] = {}
        self._platform = ""
        self._released: Collection[str] = ()
        self._leaving: set[str] = set()
        self._scaled_s = 0.0
        self._left: int | None = None
        self._flights: dict[str, list[_Flight]] = defaultdict(list)
        self._losses: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._alone: deque[int] = deque()
        self._waiting: dict[tuple[str, ...], deque[int]] = defaultdict(deque)
        self._alone_since_s = time.monotonic()
        self._counted_s = time.monotonic()
        self._settled_s: dict[str, float] = {}
        self.waste = waste or LostWork()

    @property
    def workers(self) -> int:
        """Number of workers that get scenes."""
        return len(self._workers)

    def meet(self) -> str:
        """Wait for the first workers and ask each for its identity; return their platform.

        Raises
        ------
        RunError
            One differs from this process or from the others, or is too small.
        DeepsaltError
            One cannot open the model or the store.
        """
        met: dict[str, Identity] = {}
        mapping: dict[str, Identity] = {}
        while not mapping or any(self._all()) or not self._events.empty():
            event = self._next_event()
            if isinstance(event, Joined):
                self._greet(event.worker)
            elif isinstance(event, Leaving | WorkerLeft):
                met.pop(event.worker, None)
                self._gone(event.worker)
            elif isinstance(event, _Flight) and self._ends(event):
                with suppress(StoppedError):  # one that was asked to leave
                    met[event.worker] = self._result(event)
            mapping = {worker: identity for worker, identity in met.items() if identity.maps}
        refuse_strangers(met, self._own, self._needs)
        self._workers = mapping
        self._permits.resize(len(self._workers))
        self._platform = next(iter(mapping.values())).platform
        return self._platform

    def work(
        self,
        scenes: Sequence[Acquisition],
        order: Collection[int],
        heard: Callable[[int, SceneReport], None],
        quarantine: Callable[[Acquisition, str], None],
    ) -> None:
        """Have scenes mapped, in this order as far as possible; return when all are.

        Parameters
        ----------
        scenes
            All scenes.
        order
            Indices of those to map.
        heard
            Called with the outcome of each.
        quarantine
            Called with a scene that can never work, and why: its worker died of it.

        Raises
        ------
        EngineLostError
            The engine became unreachable.
        RunError
            No worker was left for minutes, none can be started, or the device of the last one
            failed.
        StoreError
            The store cannot be written.
        """
        rest = iter(order)
        self._left = len(order)

        def counted(scene: int, report: SceneReport) -> None:
            self._left = (self._left or 0) - 1
            heard(scene, report)

        try:
            self._scale()
            self._assign(scenes, rest)
            while self._left:
                event = self._next_event()
                if isinstance(event, Joined):
                    self._greet(event.worker)
                elif isinstance(event, Leaving):
                    self._leaving.add(event.worker)
                    self._leave_out(event.worker)
                elif isinstance(event, WorkerLeft):
                    self._lose(event, counted, quarantine)
                elif isinstance(event, _Flight) and self._ends(event):
                    self._land(event, counted)
                self._scale()
                self._assign(scenes, rest)
        except EngineLostError:
            for flight in self._all():
                if flight.scene is not None:
                    self._waste(flight)
            raise
        finally:
            for flight in self._all():
                if flight.call is not None:
                    flight.call.cancel()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Let the engine fit its workers to the tiles that are left, until the block ends."""

        def scale() -> None:
            if self._engine.is_alive():
                self._engine.scale(0, {}, self.waste)

        def failed(error: DeepsaltError) -> None:  # those that are there go on
            self._progress.note(f"the number of workers stays as it is: {error}")

        with repeated(scale, failed):
            yield

    def _scale(self) -> None:
        now_s = time.monotonic()
        if self._left is not None and now_s - self._scaled_s >= TICK_S:
            self._scaled_s = now_s
            scenes_of = {worker: len(flights) for worker, flights in self._flights.items()}
            self._released = self._engine.scale(self._left, scenes_of, self.waste)

    def _all(self) -> Iterator[_Flight]:
        return (flight for flights in self._flights.values() for flight in flights)

    def _next_event(self) -> Any:
        while True:
            if not self._engine.is_alive():
                raise lost(self._engine.label)
            try:
                return self._events.get(timeout=TICK_S)
            except Empty:
                self._refuse_to_wait()
                self._scale()
            finally:
                self._count_time()

    def _count_time(self) -> None:
        now_s = time.monotonic()
        workers = len(self._workers) + len(self._leaving)
        self.waste.workers_s += workers * (now_s - self._counted_s)
        self._counted_s = now_s

    def _refuse_to_wait(self) -> None:
        if self._workers or any(self._flights.values()):
            return
        if time.monotonic() - self._alone_since_s > self._patience_s:
            raise RunError(
                f"{self._engine.label} had no worker for {self._patience_s / 60:.0f} minutes; "
                f"completed work is kept, so start workers and run again"
            )

    def _call(self, flight: _Flight, method: Callable[..., Any], *args: Any) -> None:
        flight.call = self._engine.call(flight.worker, method, *args)
        self._flights[flight.worker].append(flight)
        flight.call.add_done_callback(lambda _: self._events.put(flight))

    def _ends(self, flight: _Flight) -> bool:
        """Take a flight off the list; False for one that was given up before."""
        if flight not in self._flights[flight.worker]:
            return False
        self._flights[flight.worker].remove(flight)
        if flight.permit is not None:
            self._permits.give_back(flight.permit)
        return True

    def _result(self, flight: _Flight) -> Any:
        if flight.call is None:
            raise RuntimeError("a flight without a call has no result")
        return flight.call.result()

    def _greet(self, worker: str) -> None:
        flight = _Flight(worker, None, None, time.monotonic())
        self._call(flight, Station.introduce)

    def _welcome(self, flight: _Flight) -> None:
        """Let a late worker take part, unless it differs from the others."""
        try:
            identity: Identity = self._result(flight)
        except (DeepsaltError, ImportError, AttributeError, TypeError) as error:
            # Not ours: a worker of another installation, which cannot even be asked.
            self._progress.note(f"worker {flight.worker} is left out: {error}")
            return
        if why := strange(identity, self._own, self._platform, self._needs):
            self._progress.note(f"worker {flight.worker} is left out: it {why}")
            return
        if identity.maps and flight.worker not in self._leaving:
            self._workers[flight.worker] = identity
            self._permits.resize(len(self._workers))

    def _land(self, flight: _Flight, heard: Callable[[int, SceneReport], None]) -> None:
        """Process what a worker has done."""
        if flight.scene is None or flight.acquisition is None:
            self._welcome(flight)
            return
        try:
            found = self._result(flight)
        except EngineLostError:
            self._flights[flight.worker].insert(0, flight)  # lost as the others are
            raise
        except StoppedError:
            # It was asked to leave, and will be gone in a moment.
            self._leave_out(flight.worker)
            self._begin_again(flight)
            return
        except DeviceError as error:
            if not self._workers.keys() - {flight.worker}:
                raise
            self._progress.note(f"worker {flight.worker} is left out: {error}")
            self._leave_out(flight.worker)
            self._begin_again(flight)
            return
        except StoreError as error:
            if flight.permit is None or len(self._workers) < 2:
                raise
            self._progress.note(f"worker {flight.worker} is left out: {error}")
            self._leave_out(flight.worker)
            self._begin_again(flight)
            return
        except ReadError as error:
            key = flight.acquisition.key
            heard(flight.scene, SceneReport(key, "failed", reason=str(error)))
            return
        if flight.permit is None:
            self._settled_s[flight.worker] = time.monotonic()
            heard(flight.scene, found)
            return
        if flight.worker in self._leaving:
            self._begin_again(flight)
            return
        flight.permit = None
        self._call(flight, Station.process, flight.acquisition)

    def _leave_out(self, worker: str) -> None:
        """Give a worker no more scenes."""
        if self._workers.pop(worker, None) is not None and not self._workers:
            self._alone_since_s = time.monotonic()
        self._permits.resize(len(self._workers))

    def _gone(self, worker: str) -> list[_Flight]:
        """Forget a worker; return its unfinished flights."""
        self._leave_out(worker)
        self._leaving.discard(worker)
        flights = self._flights.pop(worker, [])
        for flight in flights:
            if flight.permit is not None:
                self._permits.give_back(flight.permit)
            if flight.call is not None:
                flight.call.cancel()
        return flights

    def _begin_again(self, flight: _Flight, *, alone: bool = False) -> None:
        """Hand unfinished work to another worker."""
        if flight.scene is not None:
            self._waste(flight)
            (self._alone if alone else self._again).append(flight.scene)

    def _waste(self, flight: _Flight) -> None:
        """Count unfinished work: the time since its worker finished something else.

        A worker has one scene in hand; what waits behind it has taken nothing.
        """
        self.waste.scenes += 1
        others = self._flights.get(flight.worker, ())
        if all(flight.began_s <= other.began_s for other in others if other.scene is not None):
            now_s = time.monotonic()
            settled_s = self._settled_s.get(flight.worker, 0.0)
            self.waste.seconds += now_s - max(flight.began_s, settled_s)
            self._settled_s[flight.worker] = now_s

    def _lose(
        self,
        left: WorkerLeft,
        heard: Callable[[int, SceneReport], None],
        quarantine: Callable[[Acquisition, str], None],
    ) -> None:
        """Give the scenes of a lost worker to others."""
        flights = self._gone(left.worker)
        if not self._workers:
            self._progress.note("no worker is left; the run continues when one connects")
        if any(flight.scene is not None for flight in flights):
            how = "was asked to leave" if left.asked else "is lost"
            self._progress.note(f"worker {left.worker} {how}; others take over its work")
        for flight in flights:
            if flight.scene is None or flight.acquisition is None:
                continue
            if left.asked:
                self._begin_again(flight)
            elif flight.alone:
                reason = (
                    f"the process that maps scene {flight.acquisition.scene_id} dies of it, even "
                    f"alone on its worker; give workers more memory, then run with "
                    f"--retry-quarantined"
                )
                quarantine(flight.acquisition, reason)
                key = flight.acquisition.key
                heard(flight.scene, SceneReport(key, "quarantined", reason=reason))
            else:
                losses = self._losses.get(flight.scene, 0) + 1
                self._losses[flight.scene] = losses
                self._begin_again(flight, alone=losses >= _LOSSES_IN_COMPANY)

    def _assign(self, scenes: Sequence[Acquisition], rest: Iterator[int]) -> None:
        """Give workers scenes: one to each before any gets a second."""
        emptied = self._worker_for_one_alone()
        for most in range(1, SCENES_PER_WORKER + 1):
            for worker in self._taking():
                flights = self._flights[worker]
                if worker == emptied:
                    if not flights and self._start(
                        worker, scenes, self._alone.popleft(), alone=True
                    ):
                        emptied = None
                elif len(flights) < most and self._takes_another(flights):
                    self._start_next(worker, scenes, rest)

    def _worker_for_one_alone(self) -> str | None:
        """Return the worker that gets nothing new until a scene can run on it alone."""
        taking = self._taking()
        if not self._alone or not taking or any(flight.alone for flight in self._all()):
            return None
        return min(taking, key=lambda worker: len(self._flights[worker]))

    def _taking(self) -> list[str]:
        """Return the workers that get scenes."""
        return [worker for worker in self._workers if worker not in self._released]

    def _takes_another(self, flights: Sequence[_Flight]) -> bool:
        return not any(flight.alone or flight.permit is not None for flight in flights)

    def _start_next(self, worker: str, scenes: Sequence[Acquisition], rest: Iterator[int]) -> None:
        for hosts, waiting in self._waiting.items():
            if waiting and (permit := self._permits.take(hosts)) is not None:
                self._start(worker, scenes, waiting.popleft(), permit=permit)
                return
        # Scenes of a busy archive do not keep others waiting, within reason.
        while sum(map(len, self._waiting.values())) <= 2 * SCENES_PER_WORKER * len(self._workers):
            scene = self._again.popleft() if self._again else next(rest, None)
            if scene is None:
                return
            hosts = hosts_of(scenes[scene])
            permit = self._permits.take(hosts) if hosts else None
            if hosts and permit is None:
                self._waiting[hosts].append(scene)
                continue
            self._start(worker, scenes, scene, permit=permit)
            return

    def _start(
        self,
        worker: str,
        scenes: Sequence[Acquisition],
        scene: int,
        *,
        permit: Permit | None = None,
        alone: bool = False,
    ) -> bool:
        """Start a scene; False if it has to wait for a permit."""
        acquisition = scenes[scene]
        if alone and (hosts := hosts_of(acquisition)):
            permit = self._permits.take(hosts)
            if permit is None:
                self._alone.appendleft(scene)
                return False
        flight = _Flight(worker, scene, acquisition, time.monotonic(), alone, permit)
        if permit is None:
            self._call(flight, Station.process, acquisition)
        else:
            self._call(flight, Station.bring, acquisition, permit.shares)
        return True
