"""What computes the chunks: threads here, local processes, or a Dask cluster that is running."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from deepsalt.errors import RunError
from flows.config import Compute

_CONNECT_TIMEOUT_S = 30


def threads_per_worker(compute: Compute) -> int:
    """Return how many chunks one worker computes at a time."""
    cores = os.cpu_count() or 1
    return max(1, cores // (compute.workers or 1))


@contextmanager
def computing(compute: Compute) -> Iterator[Executor]:
    """Make the configured workers the ones that Dask uses inside the `with` block.

    Yields
    ------
    Executor
        Runs plain functions on the same workers.

    Raises
    ------
    RunError
        No scheduler answers at the given address.
    """
    import dask

    with ExitStack() as stack:
        if compute.scheduler is None and compute.workers is None:
            threads = threads_per_worker(compute)
            stack.enter_context(dask.config.set(scheduler="threads", num_workers=threads))
            yield stack.enter_context(ThreadPoolExecutor(threads))
        else:
            yield _connect(compute, stack)


def _connect(compute: Compute, stack: ExitStack) -> Executor:
    from distributed import Client, LocalCluster

    address: object = compute.scheduler
    if address is None:
        address = stack.enter_context(
            LocalCluster(
                n_workers=compute.workers,
                threads_per_worker=threads_per_worker(compute),
                dashboard_address=None,
            )
        )
    try:
        client = stack.enter_context(Client(address, timeout=_CONNECT_TIMEOUT_S))
    except OSError as error:
        raise RunError(
            f"no Dask scheduler answers at {compute.scheduler} ({error}); "
            "start one with `dask scheduler`, or leave out --scheduler to compute on this machine"
        ) from error
    executor: Executor = stack.enter_context(client.get_executor())
    return executor
