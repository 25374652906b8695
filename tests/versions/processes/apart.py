"""Processes of their own, with the environment of the test: forks of one that has imported all."""

import multiprocessing as mp
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from queue import Empty
from typing import Any

CONTEXT = mp.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.versions.processes.drivers", "tests.versions.processes.victims"]
)


def start(work: Callable[..., None], *args: Any, **options: Any) -> BaseProcess:
    """Run it in a process of its own."""
    process = CONTEXT.Process(
        target=_as_here, args=(user(), work, *args), kwargs=options, daemon=True
    )
    process.start()
    return process


def user() -> dict[str, str]:
    """Who we are here."""
    return {name: text for name, text in os.environ.items() if name.startswith("AWS_")}


def become(user: Mapping[str, str]) -> None:
    """Be somebody, and nobody else: the process that is forked was started by another test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(user)


def _as_here(
    user: Mapping[str, str], work: Callable[..., None], *args: Any, **options: Any
) -> None:
    become(user)
    work(*args, **options)


@contextmanager
def running(work: Callable[..., None], count: int, *args: Any, **options: Any) -> Iterator[Any]:
    """Run it in some processes, which are told who they are first and a queue; tell the queue."""
    queue = CONTEXT.Queue()
    processes = [start(work, me, queue, *args, **options) for me in range(count)]
    try:
        yield _Told(queue, processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


class _Told:
    """What processes put into their queue."""

    def __init__(self, queue: Any, processes: list[BaseProcess]) -> None:
        self._queue, self._processes = queue, processes

    def by_all(self) -> list[Any]:
        """Return what each told, in their order."""
        told: list[Any] = []
        while len(told) < len(self._processes):
            try:
                told.append(self._queue.get(timeout=1))
            except Empty:
                # Its traceback is in the captured output.
                assert not any(process.exitcode for process in self._processes), "one failed"
        return [what for _, what in sorted(told, key=lambda each: each[0])]


def in_two_processes(work: Callable[..., None], *args: Any, **options: Any) -> list[Any]:
    """Run it twice at once, with a barrier for both; what each told, in their order."""
    with running(work, 2, CONTEXT.Barrier(2), *args, **options) as told:
        return told.by_all()
