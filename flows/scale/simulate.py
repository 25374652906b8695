"""A run in virtual time: the driver's rules, workers that are taken away, an archive that waits.

Events in order of time, one heap; a scene costs a few of them, so that a hundred thousand scenes
take seconds. Who gets which scene follows `flows.run.driver`; hosts are lent by its `Permits`.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal

import numpy as np

from deepsalt.access import HostLimit
from deepsalt.errors import UsageError
from flows.permits import Permit, Permits
from flows.run.driver import SCENES_PER_WORKER
from flows.scale.figures import FIGURES, Figures
from flows.scale.workload import Workload

_LOSSES_IN_COMPANY = 2
"""As in the driver: a scene that was lost so often runs alone."""
_MOST_AGAIN = 1000
"""How often scenes may be begun again, on average, before a run counts as endless."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers of one kind.

    Parameters
    ----------
    workers
        Number of workers; one that is taken away is replaced.
    pixels_per_s
        Pixels that one maps per second.
    scene_s
        Seconds of each scene besides its pixels, such as its share of composing tiles.
    start_s
        Seconds from asking for a worker until it takes scenes.
    preemptions_per_hour
        How often one is taken away.
    notice_s
        Seconds that it has to finish what it maps, once it is told; 0: it is not told.
    silence_s
        Seconds until the loss of one that was not told is noticed.
    """

    workers: int
    pixels_per_s: float
    scene_s: float = 0.0
    start_s: float = 0.0
    preemptions_per_hour: float = 0.0
    notice_s: float = 0.0
    silence_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a simulated run went.

    Parameters
    ----------
    seconds
        From the order for the first workers to the end of the last scene.
    done
        How often each scene was mapped to its end.
    quarantined
        Scenes given up, because a worker was lost three times under them.
    begun_again, wasted_s
        As `flows.run.RunResult` counts them.
    preemptions
        Workers that were taken away.
    """

    seconds: float
    done: tuple[int, ...]
    quarantined: frozenset[int]
    begun_again: int
    wasted_s: float
    preemptions: int


def simulate(
    work: Workload,
    crews: Sequence[Crew],
    limits: Callable[[str], HostLimit] | None = None,
    *,
    seed: int = 0,
    figures: Figures = FIGURES,
    between_s: float = 0.0,
    scheduler_losses_per_hour: float = 0.0,
    scheduler_start_s: float = 60.0,
) -> Outcome:
    """Simulate a run.

    Parameters
    ----------
    work
        The scenes.
    crews
        The workers.
    limits
        What a host allows to all workers together. Default: anything.
    seed
        Of the moments at which workers are taken away.
    figures
        Rates of connections.
    between_s
        Seconds from one scene to the next that what all workers share (driver, scheduler, object
        store) needs at least.
    scheduler_losses_per_hour, scheduler_start_s
        How often the scheduler is lost, and seconds until another one and the driver are there.

    Raises
    ------
    UsageError
        Workers are taken away so often that scenes would be begun again for ever.
    """
    run = _Run(work, crews, limits or (lambda _: HostLimit()), seed, figures=figures)
    run.between_s = between_s
    run.scheduler_start_s = scheduler_start_s
    run.scheduler_losses_per_s = scheduler_losses_per_hour / _HOUR_S
    return run.whole()


@dataclass(eq=False, slots=True)
class _Flight:
    """A scene on a worker."""

    worker: "_Worker"
    scene: int
    began_s: float
    alone: bool
    permit: Permit | None = None
    stage: Literal["fetch", "wait", "map", "over"] = "wait"


@dataclass(eq=False, slots=True)
class _Worker:
    number: int
    crew: Crew
    flights: list[_Flight] = field(default_factory=list)
    settled_s: float = 0.0
    state: Literal["works", "leaves", "dead", "gone"] = "works"

    @property
    def takes_another(self) -> bool:
        return (
            self.state == "works"
            and len(self.flights) < SCENES_PER_WORKER
            and not any(each.alone or each.permit is not None for each in self.flights)
        )


class _Run:
    between_s = 0.0
    scheduler_start_s = 0.0
    scheduler_losses_per_s = 0.0

    def __init__(
        self,
        work: Workload,
        crews: Sequence[Crew],
        limits: Callable[[str], HostLimit],
        seed: int,
        *,
        figures: Figures,
    ) -> None:
        self._work = work
        self._crews = crews
        self._limits = limits
        self._figures = figures
        self._random = np.random.default_rng(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turn = count()
        self._numbers = count()
        self._now_s = self._last_s = self._gate_s = 0.0
        self._done = [0] * len(work)
        self._left = len(work)
        self._quarantined: set[int] = set()
        self._begun_again = self._preemptions = 0
        self._wasted_s = 0.0
        self._next = 0
        self._workers: dict[int, _Worker] = {}  # that may take scenes
        self._new_driver()

    def _new_driver(self) -> None:
        """Forget what only a driver remembers."""
        self._permits = Permits(self._limits, len(self._workers))
        self._again: deque[int] = deque()
        self._alone: deque[int] = deque()
        self._waiting: dict[tuple[str, ...], deque[int]] = defaultdict(deque)
        self._waiting_count = 0
        self._losses: dict[int, int] = defaultdict(int)
        self._alone_flight: _Flight | None = None
        self._everyone: set[_Worker] = set()
        # Workers by how many scenes they have, the oldest first; entries may be out of date.
        self._free: tuple[list[int], ...] = tuple([] for _ in range(SCENES_PER_WORKER))

    def whole(self) -> Outcome:
        for crew in self._crews:
            for _ in range(crew.workers):
                self._order(crew)
        self._expect_loss_of_scheduler()
        while self._left:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
            # Workers that come together are met together: the first does not get all connections.
            if not (self._events and self._events[0][0] == self._now_s):
                self._assign()
        return Outcome(
            seconds=self._last_s,
            done=tuple(self._done),
            quarantined=frozenset(self._quarantined),
            begun_again=self._begun_again,
            wasted_s=self._wasted_s,
            preemptions=self._preemptions,
        )

    def _after(self, delay_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now_s + delay_s, next(self._turn), happen))

    # Workers come and go.

    def _order(self, crew: Crew, delay_s: float = 0.0) -> None:
        self._after(delay_s + crew.start_s, partial(self._join, crew))

    def _join(self, crew: Crew) -> None:
        worker = _Worker(next(self._numbers), crew)
        self._workers[worker.number] = worker
        self._everyone.add(worker)
        self._permits.resize(len(self._workers))
        self._offer(worker)
        if crew.preemptions_per_hour:
            wait_s = self._random.exponential(_HOUR_S / crew.preemptions_per_hour)
            self._after(wait_s, partial(self._take_away, worker))

    def _take_away(self, worker: _Worker) -> None:
        if worker.state != "works":
            return
        self._preemptions += 1
        if not worker.crew.notice_s:
            worker.state = "dead"
            self._after(worker.crew.silence_s, partial(self._lose, worker))
            return
        worker.state = "leaves"
        self._leave_out(worker)
        for flight in list(worker.flights):
            if flight.stage == "fetch":
                self._hand_back(flight)
        if not worker.flights:
            self._leave(worker)
        else:
            self._after(worker.crew.notice_s, partial(self._leave, worker))

    def _leave(self, worker: _Worker) -> None:
        """End a worker that was told to leave; what it has not finished is handed back."""
        if worker.state != "leaves":
            return
        for flight in list(worker.flights):
            self._hand_back(flight)
        self._replace(worker)

    def _lose(self, worker: _Worker) -> None:
        """Notice that a worker died."""
        if worker.state != "dead":
            return
        self._leave_out(worker)
        for flight in list(worker.flights):
            if flight.alone:
                self._end(flight)
                self._quarantined.add(flight.scene)
                self._finish()
                continue
            self._losses[flight.scene] += 1
            self._hand_back(flight, alone=self._losses[flight.scene] >= _LOSSES_IN_COMPANY)
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.state = "gone"
        self._everyone.discard(worker)
        self._order(worker.crew)

    def _leave_out(self, worker: _Worker) -> None:
        del self._workers[worker.number]
        self._permits.resize(len(self._workers))

    def _expect_loss_of_scheduler(self) -> None:
        if self.scheduler_losses_per_s:
            wait_s = self._random.exponential(1 / self.scheduler_losses_per_s)
            self._after(wait_s, self._lose_scheduler)

    def _lose_scheduler(self) -> None:
        """Lose all that is under way; another driver goes on from the store."""
        everyone = sorted(self._everyone, key=lambda each: each.number)
        flying = [flight for worker in everyone for flight in worker.flights]
        to_do = [*self._again, *self._alone, *(s for each in self._waiting.values() for s in each)]
        for flight in flying:
            self._count_waste(flight)
            flight.stage = "over"
        self._workers.clear()
        self._new_driver()
        self._again.extend([*to_do, *(flight.scene for flight in flying)])
        for worker in everyone:
            worker.state = "gone"
            self._order(worker.crew, self.scheduler_start_s)
        self._expect_loss_of_scheduler()

    # Scenes.

    def _assign(self) -> None:
        emptied = self._worker_for_one_alone()
        kept: list[_Worker] = []
        while (worker := self._next_free()) is not None:
            if worker is emptied:
                kept.append(worker)
            elif not self._start_next(worker):
                kept.append(worker)
                break
        if emptied is not None and not emptied.flights:
            scene = self._alone[0]
            hosts = self._work.hosts[scene]
            permit = self._permits.take(hosts) if hosts else None
            if permit is not None or not hosts:
                self._alone.popleft()
                self._alone_flight = self._start(emptied, scene, permit, alone=True)
        for worker in kept:
            self._offer(worker)

    def _worker_for_one_alone(self) -> _Worker | None:
        if not self._alone or not self._workers or self._alone_flight is not None:
            return None
        return min(self._workers.values(), key=lambda each: len(each.flights))

    def _offer(self, worker: _Worker) -> None:
        if worker.takes_another:
            heapq.heappush(self._free[len(worker.flights)], worker.number)

    def _next_free(self) -> _Worker | None:
        """Return the oldest worker of those with the fewest scenes that takes another."""
        for held, numbers in enumerate(self._free):
            while numbers:
                worker = self._workers.get(heapq.heappop(numbers))
                if worker is not None and worker.takes_another and len(worker.flights) == held:
                    return worker
        return None

    def _start_next(self, worker: _Worker) -> bool:
        for hosts, waiting in self._waiting.items():
            if waiting and (permit := self._permits.take(hosts)) is not None:
                self._waiting_count -= 1
                self._start(worker, waiting.popleft(), permit)
                return True
        while self._waiting_count <= 2 * SCENES_PER_WORKER * len(self._workers):
            if self._again:
                scene = self._again.popleft()
            elif self._next < len(self._work):
                scene = self._next
                self._next += 1
            else:
                return False
            hosts = self._work.hosts[scene]
            permit = self._permits.take(hosts) if hosts else None
            if hosts and permit is None:
                self._waiting[hosts].append(scene)
                self._waiting_count += 1
                continue
            self._start(worker, scene, permit)
            return True
        return False

    def _start(
        self, worker: _Worker, scene: int, permit: Permit | None, *, alone: bool = False
    ) -> _Flight:
        flight = _Flight(worker, scene, self._now_s, alone, permit, "fetch")
        worker.flights.append(flight)
        fetch_s = self._fetch_s(scene, permit) if permit else 0.0
        self._after(fetch_s, partial(self._fetched, flight))
        self._offer(worker)
        return flight

    def _fetch_s(self, scene: int, permit: Permit) -> float:
        """Return the seconds of a fetch; a scene's bytes are even among its hosts."""
        part = self._work.fetched_bytes[scene] / len(permit.shares)
        at_most = self._figures.worker_bytes_per_s
        return max(
            part / min(rate, at_most)
            for rate in (
                share.bytes_per_s
                or (
                    at_most
                    if self._limits(host).connections is None
                    else share.connections * self._figures.connection_bytes_per_s
                )
                for host, share in permit.shares.items()
            )
        )

    def _fetched(self, flight: _Flight) -> None:
        if flight.stage != "fetch" or flight.worker.state == "dead":
            return
        self._give_back(flight)
        flight.stage = "wait"
        self._map_next(flight.worker)
        self._offer(flight.worker)

    def _map_next(self, worker: _Worker) -> None:
        if any(each.stage == "map" for each in worker.flights):
            return
        for flight in worker.flights:
            if flight.stage == "wait":
                flight.stage = "map"
                crew = worker.crew
                map_s = self._work.pixels[flight.scene] / crew.pixels_per_s + crew.scene_s
                self._after(map_s, partial(self._mapped, flight))
                return

    def _mapped(self, flight: _Flight) -> None:
        worker = flight.worker
        if flight.stage != "map" or worker.state == "dead":
            return
        self._end(flight)
        worker.settled_s = self._now_s
        # At the end of a scene: what is begun again would take its turn from others for ever.
        self._gate_s = max(self._gate_s, self._now_s) + self.between_s
        self._done[flight.scene] += 1
        self._finish()
        if worker.state == "leaves":
            self._leave(worker)
            return
        self._map_next(worker)
        self._offer(worker)

    def _finish(self) -> None:
        self._left -= 1
        self._last_s = max(self._now_s, self._gate_s)

    def _hand_back(self, flight: _Flight, *, alone: bool = False) -> None:
        self._end(flight)
        self._count_waste(flight)
        (self._alone if alone else self._again).append(flight.scene)

    def _count_waste(self, flight: _Flight) -> None:
        """Count as the driver does: what waits behind another scene has taken nothing."""
        self._begun_again += 1
        if self._begun_again > _MOST_AGAIN * len(self._work):
            raise UsageError(
                "workers are taken away sooner than they map a scene, so such a run would not end; "
                "take fewer interruptions an hour, a longer notice or faster workers"
            )
        worker = flight.worker
        if all(flight.began_s <= other.began_s for other in worker.flights):
            self._wasted_s += self._now_s - max(flight.began_s, worker.settled_s)
            worker.settled_s = self._now_s

    def _end(self, flight: _Flight) -> None:
        self._give_back(flight)
        flight.stage = "over"
        flight.worker.flights.remove(flight)
        if flight is self._alone_flight:
            self._alone_flight = None

    def _give_back(self, flight: _Flight) -> None:
        if flight.permit is not None:
            self._permits.give_back(flight.permit)
            flight.permit = None
