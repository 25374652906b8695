"""The station of a Dask worker, and how the worker leaves when it is asked to.

It is asked by SIGTERM, as when its node is taken away, or by its engine, when there is less to do.
It tells the driver and the scheduler, takes no more scenes and tiles, gives back what it has not
begun, and finishes the rest within its grace period.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from math import inf

from distributed import Status, Worker, WorkerPlugin, get_worker

from deepsalt.errors import UsageError
from flows.engines.station import Station, Task

LEAVING = "leaving"
"""Key of the event by which a worker says that it leaves, on the topic of each run."""
GRACE_VARIABLE = "DEEPSALT_GRACE_S"
"""Seconds between SIGTERM and the end of a worker's process. Default: 0, which gives back all."""
MAPS_VARIABLE = "DEEPSALT_MAPS"
"""``no`` for a worker that only composes tiles."""
FAREWELL_S = 10.0
"""Time allowed for workers to learn that a run is over; a suspended one learns it later."""
_MARGIN_S = 5.0
"""Maximum part of the grace period that is left for abandoning, which ends a chunk or a write."""
_CLOSED = 0.8
"""Part of that after which the process ends, whatever its threads are in the midst of."""
_COLLECTED_S = 5.0
"""Time allowed for others to collect the results that a worker still has."""
_LOOK_S = 0.1


class StationPlugin(WorkerPlugin):
    """Keeps a station on a worker for as long as a run lasts."""

    def __init__(self, name: str, task: Task, threads: int | None) -> None:
        self.name = name
        self._task = task
        self._threads = threads
        self.station: Station | None = None

    def setup(self, worker: Worker) -> None:
        """Make the station of a worker."""
        if self._task.log is not None:
            self._task.log.set_up()
        grace_s = _grace_s()
        self.station = Station(
            self._task,
            threads=self._threads or worker.state.nthreads,
            memory_bytes=worker.memory_manager.memory_limit,
            maps=os.environ.get(MAPS_VARIABLE) != "no",
        )
        if worker.nanny is None and threading.current_thread() is threading.main_thread():
            _leave_when_terminated(worker, grace_s)

    async def teardown(self, worker: Worker) -> None:
        """Cancel the worker's calls: the run is over, or the worker was asked to leave."""
        if worker.status.name == "closing":
            worker.log_event(self.name, {LEAVING: worker.address})
        if self.station is not None:
            await asyncio.to_thread(self.station.close)


def leave_when_done() -> None:
    """Run on a worker: let it finish what it has, then end its process."""
    worker = get_worker()
    worker.loop.add_callback(_leave, worker, inf)


def _grace_s() -> float:
    text = os.environ.get(GRACE_VARIABLE, "0")
    with suppress(ValueError):
        if 0.0 <= float(text) < inf:
            return float(text)
    raise UsageError(f"{GRACE_VARIABLE} of a worker is {text!r}; give it seconds, such as 100")


def _leave_when_terminated(worker: Worker, grace_s: float) -> None:
    """Let SIGTERM make a worker without a nanny leave.

    `dask worker --no-nanny` otherwise just exits, and nobody learns that it was asked to.
    """
    before = signal.getsignal(signal.SIGTERM)
    if getattr(before, "closes", None) is worker or not callable(before):
        return

    def terminated(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)  # a second signal does not wait
        worker.loop.add_callback_from_signal(_leave, worker, grace_s)

    terminated.closes = worker  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, terminated)


async def _leave(worker: Worker, grace_s: float) -> None:
    """Finish what a worker has begun, as far as time allows, then close it."""
    margin_s = min(_MARGIN_S, grace_s / 5)
    deadline_s = time.monotonic() + grace_s - margin_s
    if grace_s and worker.status is Status.running:
        worker.status = Status.closing_gracefully  # no more tiles from the scheduler
        for plugin in _plugins_of(worker):
            worker.log_event(plugin.name, {LEAVING: worker.address})
            if plugin.station is not None:
                await asyncio.to_thread(plugin.station.leave)
    while worker.state.executing or worker.state.long_running:
        if time.monotonic() >= deadline_s:
            _end_in(margin_s * _CLOSED)
            break
        await asyncio.sleep(_LOOK_S)
    else:
        await _hand_over(worker, min(deadline_s, time.monotonic() + _COLLECTED_S))
    await worker.close(timeout=margin_s or FAREWELL_S, reason="asked to leave")


def _end_in(seconds: float) -> None:
    """End this process after a time: a chunk takes seconds, and nothing that it did counts yet."""
    if seconds:
        timer = threading.Timer(seconds, os._exit, (0,))
        timer.daemon = True
        timer.start()


async def _hand_over(worker: Worker, deadline_s: float) -> None:
    """Wait until others have collected a worker's results; copy the rest to other workers."""
    while worker.data and time.monotonic() < deadline_s:
        await asyncio.sleep(_LOOK_S)
    if worker.data:
        with suppress(OSError, TimeoutError):
            moved = worker.scheduler.retire_workers(
                workers=[worker.address], close_workers=False, remove=False
            )
            await asyncio.wait_for(moved, _COLLECTED_S)


def _plugins_of(worker: Worker) -> Iterator[StationPlugin]:
    return (each for each in worker.plugins.values() if isinstance(each, StationPlugin))
