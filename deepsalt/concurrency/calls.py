"""Concurrent work: coroutines, and calls on an executor."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")


async def run_all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of concurrent coroutines; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


@contextmanager
def submitted(
    executor: Executor, function: Callable[[A], T], arguments: Iterable[A]
) -> Iterator[list[Future[T]]]:
    """Submit a call per argument; calls not started when the block ends are cancelled.

    An executor alone would finish every submitted call before an error or Ctrl-C ends it. On Dask,
    too, started calls continue, but nothing waits for them or commits their work.
    """
    calls = [executor.submit(function, argument) for argument in arguments]
    try:
        yield calls
    finally:
        for call in calls:
            call.cancel()


def in_order(
    executor: Executor, function: Callable[[A], T], arguments: Iterable[A], *, ahead: int = 64
) -> Generator[T, None, None]:
    """Yield the results of calls in the order of their arguments, a limited number of calls ahead.

    Unlike `Executor.map` it neither consumes all arguments at once nor keeps all results.
    """
    waiting = deque[Future[T]]()
    try:
        for argument in arguments:
            waiting.append(executor.submit(function, argument))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for call in waiting:
            call.cancel()
