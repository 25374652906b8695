"""What computes the chunks: threads here, local processes, or a Dask cluster that is running."""

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from multiprocessing.resource_tracker import ensure_running
from typing import TYPE_CHECKING

from deepsalt.errors import RunError
from flows.allocator import allocator_environment, keep_freed_memory
from flows.config import Compute

if TYPE_CHECKING:
    from distributed import LocalCluster

_CONNECT_TIMEOUT_S = 30
_opened: ContextVar[tuple[Compute, Executor] | None] = ContextVar("opened", default=None)
"""What the `with` block around computes with, so that a run starts its workers once."""


def threads_per_worker(compute: Compute) -> int:
    """Return how many chunks one worker computes at a time."""
    cores = os.cpu_count() or 1
    return compute.threads or max(1, cores // (compute.workers or 1))


@contextmanager
def computing(compute: Compute) -> Iterator[Executor]:
    """Make the configured workers the ones that Dask uses inside the `with` block.

    Inside a block of the same configuration its workers are used again.

    Yields
    ------
    Executor
        Runs plain functions on the same workers.

    Raises
    ------
    RunError
        No scheduler answers at the given address.
    """
    known = _opened.get()
    if known is not None and known[0] == compute:
        yield known[1]
        return
    with ExitStack() as stack:
        executor = _open(compute, stack)
        token = _opened.set((compute, executor))
        stack.callback(_opened.reset, token)
        yield executor


def _open(compute: Compute, stack: ExitStack) -> Executor:
    import dask

    if compute.scheduler is None and compute.workers is None:
        threads = threads_per_worker(compute)
        keep_freed_memory()
        stack.enter_context(dask.config.set(scheduler="threads", num_workers=threads))
        return stack.enter_context(ThreadPoolExecutor(threads))
    return _connect(compute, stack)


def _connect(compute: Compute, stack: ExitStack) -> Executor:
    from distributed import Client

    # It sets its own level when it is loaded: what its scheduler does is told with --debug only.
    logging.getLogger("distributed").setLevel(logging.getLogger().level)
    address = compute.scheduler or _local_cluster(compute, stack)
    try:
        client = stack.enter_context(Client(address, timeout=_CONNECT_TIMEOUT_S))
    except OSError as error:
        raise RunError(
            f"no Dask scheduler answers at {compute.scheduler} ({error}); "
            "start one with `dask scheduler`, or leave out --scheduler to compute on this machine"
        ) from error
    executor: Executor = stack.enter_context(client.get_executor())
    return executor


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start in the block, or from its threads later, not hear Ctrl-C.

    A terminal sends it to all of them, and each would tell of it at length; this process ends them.
    Here it waits until the block ends.
    """
    ensure_running()  # as part of the first start it would let them hear again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _local_cluster(compute: Compute, stack: ExitStack) -> "LocalCluster":
    import dask
    from distributed import LocalCluster

    memory = {
        f"distributed.nanny.pre-spawn-environ.{name}": value
        for name, value in allocator_environment().items()
    }
    with dask.config.set(memory), _deaf_to_interrupts():
        try:
            cluster = LocalCluster(
                n_workers=compute.workers,
                threads_per_worker=threads_per_worker(compute),
                memory_limit=compute.memory or "auto",
                dashboard_address=None,
            )
        except RuntimeError as error:
            # One that was killed while it started, as the system does where memory is short.
            raise RunError(
                f"a worker process ended while it started ({str(error).rstrip('.')}); see whether "
                "memory is short, take fewer --workers, and run again"
            ) from error
    stack.enter_context(cluster)
    return cluster
