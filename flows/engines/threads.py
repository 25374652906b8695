"""The engine of one machine without worker processes: threads of this process."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from deepsalt.naming import NamedThreads
from flows.engines.allocator import keep_freed_memory
from flows.engines.engine import Event, Joined, LostWork
from flows.engines.station import Station

THIS_PROCESS = "this process"
_SCENES = 4
"""Scenes in progress: one is fetched, one mapped, one written, and one waits."""

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """One worker, which is this process; see `flows.engines.engine.Engine`.

    Parameters
    ----------
    station
        Its station.
    calls
        Threads in which its methods run.
    """

    def __init__(self, station: Station, calls: ThreadPoolExecutor) -> None:
        self._station = station
        self._calls = calls
        self.label = THIS_PROCESS

    def is_alive(self) -> bool:
        """Whether it still takes calls; always true."""
        return True

    @property
    def executor(self) -> Executor:
        """What composes tiles: the threads that map scenes."""
        return self._station.context.pool

    def call(
        self,
        worker: str,
        method: Callable[Concatenate[Station, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T]:
        """Call a method of the station."""
        return self._calls.submit(method, self._station, *args, **kwargs)

    def scale(self, scenes: int, scenes_of: Mapping[str, int], waste: LostWork) -> Collection[str]:
        """Keep this process, whatever is left."""
        return ()


@contextmanager
def local_threads(station: Station, events: "SimpleQueue[Event | Any]") -> Iterator[Threads]:
    """Compute with threads of this process until the block ends; write mapped scenes first."""
    keep_freed_memory()
    calls = NamedThreads(_SCENES, "scene")
    events.put(Joined(THIS_PROCESS))
    try:
        yield Threads(station, calls)
    finally:
        station.stop()
        calls.shutdown(cancel_futures=True)
        station.close()
