"""The engine of many machines: a station on each worker of a Dask cluster.

A scene is one task, placed by us: the scheduler knows neither which archive a worker asks nor how
many scenes one holds. Dask's own scheduling places tiles, which are small and alike.
"""

import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from distributed import Client, fire_and_forget, get_worker, secede
from distributed import Future as DaskFuture

from deepsalt.errors import DeepsaltError, RunError, StoppedError
from deepsalt.mapping import SceneReport
from deepsalt.naming import named, names
from flows.engines.counters import count_handed_back, count_scene
from flows.engines.engine import (
    Call,
    Event,
    Joined,
    Leaving,
    Load,
    LostWork,
    Present,
    Scaler,
    WorkerLeft,
    lost,
)
from flows.engines.plugin import FAREWELL_S, LEAVING, StationPlugin, leave_when_done
from flows.engines.station import Station, Task

P = ParamSpec("P")
T = TypeVar("T")

WORKERS_WAIT_S = 30.0
"""Time allowed for the first worker to appear."""
_ANSWER_S = 30.0
"""Time allowed for a result to arrive; that of a worker that has just left never does."""


class Cluster:
    """Workers of a Dask cluster; see `flows.engines.engine.Engine`.

    Parameters
    ----------
    client
        Of the scheduler.
    watch
        Knows who is there; its run is that of the stations.
    scaler
        Starts and releases workers. Default: they come and go by themselves.
    """

    def __init__(self, client: Client, watch: "_Watch", scaler: Scaler | None = None) -> None:
        self._client = client
        self._name = watch.name
        self._watch = watch
        self._scaler = scaler
        self._labels: dict[str, str] = {}
        self._told: set[str] = set()
        self.label = f"the Dask scheduler at {address_of(client)}"
        self._tiles = Tiles(client)

    @property
    def executor(self) -> Executor:
        """What composes tiles."""
        return self._tiles

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
        future = self._client.submit(
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
        return _Answer(future, self.label)

    def scale(self, scenes: int, scenes_of: Mapping[str, int], waste: LostWork) -> Collection[str]:
        """Let the scaler decide; workers that it releases leave when they have no scenes."""
        if self._scaler is None:
            return ()
        there = self._watch.there()
        if there - self._labels.keys():
            found = self._client.scheduler_info(n_workers=-1).get("workers", {})
            self._labels |= {worker: str(each["name"]) for worker, each in found.items()}
        # A later worker may have the address of one that has left.
        self._labels = {each: label for each, label in self._labels.items() if each in there}
        self._told &= there
        present = [
            Present(worker, label, scenes_of.get(worker, 0))
            for worker, label in self._labels.items()
        ]
        released = {
            *self._scaler(Load(scenes, self._tiles.left, tuple(present), waste)),
            *self._told,
        }
        for each in present:
            if each.worker in released - self._told and not each.scenes:
                self._told.add(each.worker)
                told = self._client.submit(leave_when_done, workers=[each.worker], pure=False)
                fire_and_forget(told)
        return released


class _Answer(Generic[T]):
    """A call on a worker, whose result is lost if the worker leaves before it was fetched."""

    def __init__(self, future: "DaskFuture[T]", label: str) -> None:
        self._future = future
        self._label = label

    def result(self) -> T:
        try:
            found = self._future.result(timeout=_ANSWER_S)
        except CancelledError:
            raise lost(self._label) from None
        except TimeoutError:
            if self._future.status == "error":
                raise
            raise StoppedError("the worker left with what it did; another does it again") from None
        self._future.release()  # the worker may forget it, and leave
        return found

    def cancel(self) -> Any:
        return self._future.cancel()

    def add_done_callback(self, heard: Callable[[Any], None], /) -> None:
        self._future.add_done_callback(heard)


@contextmanager
def cluster_of(
    client: Client,
    task: Task,
    threads: int | None,
    events: "SimpleQueue[Event | Any]",
    *,
    scaler: Scaler | None = None,
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
    scaler
        Starts and releases workers. Default: they come and go by themselves.

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
        yield Cluster(client, watch, scaler)
    finally:
        if client.status == "running":
            client.unsubscribe_topic("all")
            client.unsubscribe_topic(name)
            # Already gone with the scheduler, and absent where it could not be loaded.
            with suppress(OSError, ValueError):
                ask(client, "unregister_worker_plugin", name=name, callback_timeout=FAREWELL_S)


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
    try:
        found = _travelling(for_whom, method, plugin.station, *args, **kwargs)
    except StoppedError:
        count_handed_back()
        raise
    if isinstance(found, SceneReport):
        count_scene(found)
    return found


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

    Dask's own executor keeps results on workers until all calls are over, so a worker that is lost
    or leaves would take everything with it that it ever did.

    Parameters
    ----------
    client
        Of the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop: Any = client.loop
        self._calls: set[Future[Any]] = set()

    @property
    def left(self) -> int:
        """Number of calls that are not over."""
        return len(self._calls)

    def threads(self) -> int:
        """Return how many calls the workers that are there do at a time.

        Raises
        ------
        EngineLostError
            The scheduler does not answer.
        """
        if self._client.status != "running":
            raise lost("the Dask scheduler")
        workers = self._client.scheduler_info(n_workers=-1).get("workers", {})
        return sum(int(each["nthreads"]) for each in workers.values())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Submit a call; errors that deepsalt raises there arrive unchanged."""
        work = partial(_travelling, dict(names()), fn, *args, **kwargs)
        future: DaskFuture[T] = self._client.submit(work, pure=False)
        call: Future[T] = Future()
        self._calls.add(call)
        call.add_done_callback(lambda call: future.cancel() if call.cancelled() else None)
        call.add_done_callback(self._calls.discard)
        self._loop.add_callback(_collect, future, call)
        return call

    def give_up(self, error: DeepsaltError) -> None:
        """Let all calls that are not over fail with an error."""
        for call in tuple(self._calls):
            _end(call, lambda call: call.set_exception(error))


async def _collect(future: "DaskFuture[T]", call: "Future[T]") -> None:
    """Fetch a result from its worker, which then forgets it."""
    try:
        found = await future
    except Exception as error:  # noqa: BLE001  (the caller gets it, whatever it is)
        failed = error
        _end(call, lambda call: call.set_exception(failed))
    else:
        _end(call, lambda call: call.set_result(found))
    future.release()


def _end(call: "Future[T]", end: "Callable[[Future[T]], None]") -> None:
    """End a call, unless it was cancelled or given up."""
    if call.done() and not call.cancelled():
        return
    with suppress(InvalidStateError, RuntimeError):  # two ended it at once
        if call.set_running_or_notify_cancel():
            end(call)


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
        self.name = name
        self._events = events
        self._lock = threading.Lock()
        self._there: set[str] = set()
        self._known: set[str] = set()  # workers heard of since, including those that left
        self._leaving: set[str] = set()

    def there(self) -> set[str]:
        """Return the workers that are there."""
        with self._lock:
            return set(self._there)

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
        if isinstance(message, dict) and LEAVING in message:
            worker = str(message[LEAVING])
            self._leaving.add(worker)
            self._events.put(Leaving(worker))
