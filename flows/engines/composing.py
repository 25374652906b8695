"""Composes tiles on the workers of a configuration, where no scenes are mapped."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from deepsalt.context import Context
from deepsalt.progress import Progress
from deepsalt.store import Store
from deepsalt.types import ModelRef
from deepsalt.validate import Limits
from flows.config import Compute
from flows.engines.allocator import keep_freed_memory
from flows.engines.engine import Load
from flows.engines.opening import client_of, is_this_process, threads_per_worker
from flows.engines.repeated import repeated

if TYPE_CHECKING:
    from flows.engines.cluster import Tiles
    from flows.kubernetes.pods import Pods

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def composing(
    compute: Compute,
    store: Store,
    limits: Limits,
    progress: Progress,
    *,
    pods: "Pods | None" = None,
) -> Iterator[Context]:
    """Compose tiles on the workers of a configuration, until the block ends.

    Parameters
    ----------
    compute
        Which workers.
    store
        Whose tiles.
    limits
        Limits beyond which a mosaic fails.
    progress
        Receives progress on tiles.
    pods
        Cluster that is made for the run, if the configuration asks for one.

    Raises
    ------
    RunError
        No scheduler answers.
    """
    keep_freed_memory()
    threads = threads_per_worker(compute)
    # Tiles need no weights, and the model of the store may lie elsewhere.
    model = ModelRef("", store.model, "")
    with Context.local(model, threads=threads, limits=limits, progress=progress) as context:
        if is_this_process(compute, pods):
            yield context
            return
        with _Later(lambda: tiles_of(compute, pods, lambda left: Load(0, left, ()))) as executor:
            yield replace(context, executor=executor)


@contextmanager
def tiles_of(
    compute: Compute, pods: "Pods | None", load: Callable[[int], Load]
) -> "Iterator[Tiles]":
    """Run tiles, or other calls that any worker can do, on a Dask cluster until the block ends.

    Parameters
    ----------
    compute
        Which workers.
    pods
        Cluster that is made for the run, if the configuration asks for one.
    load
        Says what is left to do, of the number of calls that are not over; pods follow it.

    Raises
    ------
    RunError
        No scheduler answers, or no worker starts.
    """
    from flows.engines.cluster import Tiles

    with client_of(compute, pods) as client, Tiles(client) as tiles:
        if pods is None:
            yield tiles
            return
        with (
            pods.scaled(client) as scaling,
            repeated(lambda: scaling(load(tiles.left)), tiles.give_up),
        ):
            yield tiles


class _Later(Executor):
    """Opens an executor for the first call: a build that finds nothing to do needs none."""

    def __init__(self, opening: Callable[[], AbstractContextManager[Executor]]) -> None:
        self._opening = opening
        self._open = ExitStack()
        self._lock = Lock()
        self._executor: Executor | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Submit a call."""
        with self._lock:
            if self._executor is None:
                self._executor = self._open.enter_context(self._opening())
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close what was opened."""
        self._open.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened, which turns the loss of a scheduler into a sentence."""
        self._open.__exit__(kind, error, trace)
