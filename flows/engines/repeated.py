"""Calls something every second beside other work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from deepsalt.errors import DeepsaltError

_EVERY_S = 1.0


@contextmanager
def repeated(work: Callable[[], object], failed: Callable[[DeepsaltError], None]) -> Iterator[None]:
    """Call something every second, in a thread of its own, until the block ends.

    Parameters
    ----------
    work
        Called every second.
    failed
        Called with the error of a call that failed; it was the last one.
    """
    over = Event()

    def go_on() -> None:
        try:
            while not over.wait(_EVERY_S):
                work()
        except DeepsaltError as error:
            failed(error)

    thread = Thread(target=go_on, name="repeated", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
