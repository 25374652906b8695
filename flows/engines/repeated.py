"""Calls something every second beside other work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

_EVERY_S = 1.0


@contextmanager
def repeated(work: Callable[[], object]) -> Iterator[None]:
    """Call something every second, in a thread of its own, until the block ends."""
    over = Event()

    def go_on() -> None:
        while not over.wait(_EVERY_S):
            work()

    thread = Thread(target=go_on, name="repeated", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
