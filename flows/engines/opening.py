"""The engine that a configuration asks for: threads, processes started here, or a Dask cluster."""

import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from multiprocessing.resource_tracker import ensure_running
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepsalt.errors import RunError
from flows.config import Compute
from flows.engines.allocator import allocator_environment
from flows.engines.engine import Engine, Event, lost
from flows.engines.station import Station, Task
from flows.engines.threads import local_threads

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    from flows.kubernetes.pods import Pods

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30
"""Time allowed for a scheduler to answer."""


def threads_per_worker(compute: Compute) -> int:
    """Return how many chunks one worker computes at a time, as far as this machine can tell."""
    if compute.cluster is not None:
        return max(each.threads for each in compute.cluster.groups if each.maps)
    cores = os.cpu_count() or 1
    return compute.threads or max(1, cores // (compute.workers or 1))


def is_this_process(compute: Compute, pods: "Pods | None") -> bool:
    """Whether this process computes by itself."""
    return compute.scheduler is None and compute.workers is None and pods is None


@contextmanager
def engine_of(
    compute: Compute,
    task: Task,
    events: "SimpleQueue[Event | Any]",
    station_of: Callable[[int], Station],
    *,
    pods: "Pods | None" = None,
) -> Iterator[Engine]:
    """Start or reach the workers of a configuration, each with a station, until the block ends.

    Parameters
    ----------
    compute
        Which workers.
    task
        Task of their stations.
    events
        Receives arrivals and departures of workers.
    station_of
        Makes the station of this process with so many threads, if it is the worker.
    pods
        Cluster that is made for the run, if the configuration asks for one.

    Raises
    ------
    RunError
        No scheduler answers, or it has no workers.
    """
    if is_this_process(compute, pods):
        with local_threads(station_of(threads_per_worker(compute)), events) as engine:
            yield engine
        return
    from flows.engines.cluster import cluster_of

    with (
        client_of(compute, pods) as client,
        nullcontext() if pods is None else pods.scaled(client) as scaler,
        cluster_of(client, task, compute.threads, events, scaler=scaler) as cluster,
    ):
        yield cluster


@contextmanager
def client_of(compute: Compute, pods: "Pods | None" = None) -> Iterator["Client"]:
    """Connect to a scheduler, or start one with its workers, until the block ends.

    Raises
    ------
    RunError
        No scheduler answers, or it requires certificates that this process lacks.
    EngineLostError
        The scheduler is lost meanwhile.
    """
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError
    from distributed.versions import VersionMismatchWarning

    # Workers identify themselves, and differing ones are refused.
    warnings.simplefilter("ignore", VersionMismatchWarning)
    # It sets its own levels when it is loaded. We report a lost scheduler or worker in one
    # sentence; its own lengthy messages appear only with --debug.
    shown = logging.getLogger().level
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(shown if shown < logging.WARNING else logging.FATAL)
    where = compute.scheduler
    label = "the local cluster" if where is None else f"the Dask scheduler at {where}"
    if pods is not None:
        label = "the Dask scheduler of this run's pods"
    try:
        with _connected(compute) if pods is None else pods.connected() as client:
            yield client
    except (CancelledError, CommClosedError):  # closed: a result was on its way
        raise lost(label) from None
    except KilledWorker:
        raise RunError(
            f"workers of {label} die while composing a tile; completed work is kept, so give them "
            f"more memory and run again"
        ) from None


@contextmanager
def closing(client: "Client") -> Iterator["Client"]:
    """Close a client when the block ends, whatever became of its scheduler meanwhile.

    Its way back to a lost scheduler may end in any error, which closing raises again: that error
    would hide the loss itself.
    """
    try:
        yield client
    finally:
        try:
            client.close(timeout=CONNECT_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 (any, see above)
            logger.debug("the connection to the scheduler ended with: %s", error)
            client.status = "closed"  # else it is closed again when it is collected, for minutes


@contextmanager
def _connected(compute: Compute) -> Iterator["Client"]:
    """Connect; see `client_of`."""
    import dask
    from distributed import Client

    # A client that cannot connect would leave Dask with a default cluster that does not exist.
    with dask.config.set(scheduler=dask.config.get("scheduler", None)):
        if compute.scheduler is None:
            with _local_cluster(compute) as cluster, closing(Client(cluster)) as client:
                yield client
            return
        _warn_of_plain(compute.scheduler)
        try:
            client = Client(compute.scheduler, timeout=CONNECT_TIMEOUT_S)
        except (OSError, TypeError, ValueError) as error:
            # TypeError: tls:// without certificates; ValueError: not an address.
            raise RunError(
                f"no Dask scheduler answers at {compute.scheduler} ({error}); start one with "
                "`dask scheduler`, or leave out --scheduler to compute on this machine"
            ) from error
        with closing(client):
            _refuse_other_version(client, compute.scheduler)
            yield client


def _refuse_other_version(client: "Client", address: str) -> None:
    """Refuse a scheduler whose messages may differ in meaning.

    Raises
    ------
    RunError
        The scheduler runs another version of Dask.
    """
    from distributed.versions import get_versions

    from flows.engines.cluster import ask

    found, own = (
        str(each["packages"]["distributed"]) for each in (ask(client, "versions"), get_versions())
    )
    if found != own:
        raise RunError(
            f"the Dask scheduler at {address} has version {found}, this process {own}; start "
            "the scheduler and its workers from the same installation"
        )


def _warn_of_plain(address: str) -> None:
    """Warn of a scheduler that anybody on its network can control."""
    parts = urlsplit(address)
    near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if near or parts.scheme in ("tls", "wss", "inproc"):
        return
    logger.warning(
        "%s has no encryption, and anybody who reaches it can run code on its workers; use "
        "certificates (distributed.comm.tls in Dask's configuration) and a tls:// address, or "
        "isolate it in a private network",
        address,
    )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Shield processes started in the block, or later from its threads, from Ctrl-C.

    A terminal sends it to all of them, and each would report it at length; this process ends them.
    Here it is delayed until the block ends.
    """
    ensure_running()  # as part of the first start it would lift the shield
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _local_cluster(compute: Compute) -> Iterator["LocalCluster"]:
    import dask
    from distributed import LocalCluster, Security

    memory = {
        f"distributed.nanny.pre-spawn-environ.{name}": value
        for name, value in allocator_environment().items()
    }
    security = Security.temporary() if compute.tls else None
    with dask.config.set(memory), _deaf_to_interrupts():
        try:
            cluster = LocalCluster(
                n_workers=compute.workers,
                threads_per_worker=threads_per_worker(compute),
                memory_limit=compute.memory or "auto",
                dashboard_address=None,
                # On a free port: two runs would compete for the usual one.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                security=security,
                protocol="tls://" if security else "tcp://",
            )
        except RuntimeError as error:
            # One that was killed while it started, as the system does when memory is short.
            raise RunError(
                f"a worker process ended while it started ({str(error).rstrip('.')}); check the "
                f"free memory, use fewer --workers, and run again"
            ) from error
    with cluster:
        yield cluster
