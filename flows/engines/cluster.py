"""The engine of many machines: a station on each worker of a Dask cluster.

A scene is one task, placed by us: the scheduler knows neither which archive a worker asks nor how
many scenes one holds. Dask's own scheduling places tiles, which are small and alike.
"""

import asyncio
import secrets
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from distributed import Client, Worker, WorkerPlugin, get_worker, secede

from deepsalt.errors import DeepsaltError, RunError, StoppedError
from deepsalt.naming import named, names
from flows.engines.engine import Call, Event, Joined, WorkerLeft
from flows.engines.station import Station, Task

P = ParamSpec("P")
T = TypeVar("T")

WORKERS_WAIT_S = 30.0
"""Time allowed for the first worker to appear."""
_FAREWELL_S = 10.0
"""Time allowed for workers to learn that a run is over; a suspended one learns it later."""
_LEAVING = "leaving"


class Cluster:
    """Workers of a Dask cluster; see `flows.engines.engine.Engine`.

    Parameters
    ----------
    client
        Of the scheduler.
    name
        Of the run; identifies its stations.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self.label = f"the Dask scheduler at {address_of(client)}"
        self.executor: Executor = Tiles(client)

    def is_alive(self) -> bool:
        """Whether the scheduler answers."""
        return bool(self._client.status == "running")

    def call(
        self,
        worker: str,
        method: Callable[Concatenate[Station, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]:
        """Call a method of a worker's station."""
        call: Call[T] = self._client.submit(
            _at_station,
            self._name,
            method,
            dict(names()),
            _Sealed((args, kwargs)),
            key=f"{self._name}-{secrets.token_hex(6)}",
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            priority=1,
        )
        return call


@contextmanager
def cluster_of(
    client: Client, task: Task, threads: int | None, events: "SimpleQueue[Event | Any]"
) -> Iterator[Cluster]:
    """Put a station on each worker, including later arrivals, until the block ends.

    Parameters
    ----------
    client
        Of the scheduler.
    task
        Task of the stations.
    threads
        Threads that share the chunks of a scene. Default: those of the worker.
    events
        Receives arrivals and departures of workers.

    Raises
    ------
    RunError
        No worker appears.
    """
    name = f"deepsalt-{secrets.token_hex(4)}"
    watch = _Watch(name, events)
    client.subscribe_topic("all", watch.of_cluster)
    client.subscribe_topic(name, watch.of_stations)
    try:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WAIT_S)
        except TimeoutError:
            raise RunError(
                f"the Dask scheduler at {address_of(client)} has no workers; start some with "
                f"`dask worker {address_of(client)}`"
            ) from None
        try:
            client.register_plugin(StationPlugin(name, task, threads), name=name)
        except Exception as error:
            if type(error) is not Exception and not isinstance(error, ImportError):
                raise
            # This is how Dask reports that a worker could not even read what it was sent.
            raise RunError(
                f"a worker of {address_of(client)} cannot load deepsalt ({error}); start workers "
                "from the same installation"
            ) from error
        watch.listed(client.scheduler_info(n_workers=-1)["workers"])
        yield Cluster(client, name)
    finally:
        if client.status == "running":
            client.unsubscribe_topic("all")
            client.unsubscribe_topic(name)
            # Already gone with the scheduler, and absent where it could not be loaded.
            with suppress(OSError, ValueError):
                ask(client, "unregister_worker_plugin", name=name, callback_timeout=_FAREWELL_S)


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
        limit = worker.memory_manager.memory_limit
        threads = self._threads or worker.state.nthreads
        self.station = Station(self._task, threads=threads, memory_bytes=limit)
        if worker.nanny is None and threading.current_thread() is threading.main_thread():
            _close_when_terminated(worker)

    async def teardown(self, worker: Worker) -> None:
        """Cancel the worker's calls: the run is over, or the worker was asked to leave."""
        if worker.status.name == "closing":
            worker.log_event(self.name, {_LEAVING: worker.address})
        if self.station is not None:
            await asyncio.to_thread(self.station.close)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Arguments of a call, hidden since Dask prints those of a failed call: hrefs may be signed."""

    value: Any = field(repr=False)


def _at_station(
    name: str, method: Callable[..., T], for_whom: Mapping[str, str], sealed: _Sealed
) -> T:
    """Run on a worker: call a method of its station."""
    # A worker of one thread may fetch a scene while it maps another; the station keeps order.
    secede()
    plugin = get_worker().plugins.get(name)
    if not isinstance(plugin, StationPlugin) or plugin.station is None:
        raise StoppedError("the worker was asked to leave; another takes over its work")
    args, kwargs = sealed.value
    return _travelling(for_whom, method, plugin.station, *args, **kwargs)


def _travelling(
    for_whom: Mapping[str, str], work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run on a worker: name the work as its caller does, and strip our own errors of their causes.

    A cause from another library that cannot be pickled would turn the error into a bare
    `Exception`.
    """
    try:
        with named(**for_whom):
            return work(*args, **kwargs)
    except DeepsaltError as error:
        error.__cause__ = error.__context__ = None
        raise


class Tiles(Executor):
    """Runs calls on any worker of a client's cluster.

    Parameters
    ----------
    client
        Of the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._executor: Executor = client.get_executor(pure=False)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Submit a call; errors that deepsalt raises there arrive unchanged."""
        return self._executor.submit(partial(_travelling, dict(names()), fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls."""
        self._executor.shutdown(wait)


def _close_when_terminated(worker: Worker) -> None:
    """Let SIGTERM close a worker without a nanny.

    `dask worker --no-nanny` otherwise just exits, and nobody learns that it was asked to.
    """
    before = signal.getsignal(signal.SIGTERM)
    if getattr(before, "closes", None) is worker or not callable(before):
        return

    async def close() -> None:
        await worker.close(timeout=_FAREWELL_S, reason="signal")

    def terminated(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)  # a second signal does not wait
        worker.loop.add_callback_from_signal(close)

    terminated.closes = worker  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, terminated)


def ask(client: Client, question: str, **options: Any) -> Any:
    """Ask a client's scheduler something that the client has no method for.

    Raises
    ------
    OSError
        The scheduler does not answer in time (`callback_timeout`).
    """
    return client.sync(getattr(client.scheduler, question), **options)


def is_expected(message: Mapping[str, Any]) -> bool:
    """Whether a worker left for another reason than the end of its process.

    It was retired, or silent for minutes, as when its machine is suspended.
    """
    return bool(message.get("expected")) or "ttl" in str(message.get("stimulus_id"))


def address_of(client: Client) -> str:
    """Return the address of a client's scheduler."""
    return str(client.scheduler_info(n_workers=0)["address"])


class _Watch:
    """Turns Dask's notifications into events."""

    def __init__(self, name: str, events: "SimpleQueue[Event | Any]") -> None:
        self._name = name
        self._events = events
        self._lock = threading.Lock()
        self._there: set[str] = set()
        self._known: set[str] = set()  # workers heard of since, including those that left
        self._leaving: set[str] = set()

    def listed(self, workers: Iterable[str]) -> None:
        """Register workers that were there before; some may have left since."""
        for worker in workers:
            with self._lock:
                if worker not in self._known:
                    self._joined(worker)

    def _joined(self, worker: str) -> None:
        self._known.add(worker)
        self._there.add(worker)
        self._events.put(Joined(worker))

    def of_cluster(self, event: tuple[float, Any]) -> None:
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action not in ("add-worker", "remove-worker"):
            return
        worker = message["worker"]
        with self._lock:
            if action == "add-worker":
                if worker not in self._there:
                    self._joined(worker)
                return
            self._known.add(worker)
            if worker in self._there:
                self._there.discard(worker)
                asked = worker in self._leaving or is_expected(message)
                self._events.put(WorkerLeft(worker, asked=asked))
                self._leaving.discard(worker)

    def of_stations(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and _LEAVING in message:
            self._leaving.add(str(message[_LEAVING]))
