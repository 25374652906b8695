"""Publishers that go one at a time, from one verb of the store to the next, by a schedule.

Between two verbs nobody else does anything, so a schedule says in which order the store hears of
all. The same schedule gives the same run.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from deepsalt.objects import Entry, Objects

Choose = Callable[[int | None, Sequence[int]], int]
"""Says who goes on, from who went last (None when it is at its end) and the numbers of who can."""

_here = threading.local()


class Watched(Objects):
    """Objects that let others go first before each verb, where a publisher runs by a schedule."""

    def read(self, key: str) -> bytes:
        _pause(key)
        return super().read(key)

    def write(self, key: str, data: bytes) -> None:
        _pause(key)
        super().write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        _pause(key)
        return super().create(key, data)

    def list(self, prefix: str = "", *, offset: str | None = None) -> Iterator[Entry]:
        _pause(prefix)
        return super().list(prefix, offset=offset)

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        _pause(prefix)
        return super().folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        _pause("")
        super().delete(keys)


class _KilledError(BaseException):
    """Ends a publisher wherever it is."""


class _Publisher:
    """Somebody's work on a thread of its own, which stops before each watched verb."""

    def __init__(self, work: Callable[[], None], watched: Callable[[str], bool]) -> None:
        self.work = work
        self.watched = watched
        self.go = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)
        self.done = self.killed = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def step(self) -> None:
        """Go on to the next verb, or to the end."""
        self.go.release()
        self.stopped.acquire()

    def pause(self, key: str) -> None:
        """Let others go first."""
        if self.watched(key):
            self.stopped.release()
            self.go.acquire()
            if self.killed:
                raise _KilledError

    def end(self) -> None:
        """Wait for the end, and raise what went wrong."""
        self.thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        self.go.acquire()
        _here.publisher = self
        try:
            self.work()
        except _KilledError:
            pass
        except Exception as error:  # noqa: BLE001 - `end` raises it
            self.error = error
        self.done = True
        self.stopped.release()


def run(
    works: Sequence[Callable[[], None]],
    choose: Choose,
    watched: Callable[[str], bool] = lambda key: True,
) -> None:
    """Run publishers to their ends; `watched` tells at which keys others may go first."""
    publishers = [_Publisher(work, watched) for work in works]
    last = None
    while alive := [n for n, each in enumerate(publishers) if not each.done]:
        last = choose(last if last in alive else None, alive)
        publishers[last].step()
    for each in publishers:
        each.end()


def kill(work: Callable[[], None], after: int) -> bool:
    """Run a publisher for some verbs and kill it; return whether it had not come to its end."""
    publisher = _Publisher(work, lambda key: True)
    for _ in range(after + 1):
        if not publisher.done:
            publisher.step()
    running = not publisher.done
    publisher.killed = True
    if running:
        publisher.step()
    publisher.end()
    return running


def every(attempt: Callable[[Choose], None], interruptions: float = math.inf) -> int:
    """Make an attempt by every schedule there is; return how many there are.

    Parameters
    ----------
    attempt
        Runs publishers from the same beginning by what it is given, and checks how it ended.
    interruptions
        How often at most a publisher that could go on has to wait for another one.
    """
    begin: list[int] | None = []
    count = 0
    while begin is not None:
        path = _Path(begin, interruptions)
        attempt(path)
        begin = path.next()
        count += 1
    return count


class _Path:
    """Choices of one schedule: the first are given, after them nobody is interrupted."""

    def __init__(self, begin: list[int], interruptions: float) -> None:
        self.begin = begin
        self.left = interruptions
        self.taken: list[tuple[int, int]] = []  # which of how many

    def __call__(self, last: int | None, alive: Sequence[int]) -> int:
        order = sorted(alive, key=lambda n: n != last)
        if last is not None and self.left == 0:
            order = order[:1]
        place = len(self.taken)
        choice = self.begin[place] if place < len(self.begin) else 0
        if last is not None and choice:
            self.left -= 1
        self.taken.append((choice, len(order)))
        return order[choice]

    def next(self) -> list[int] | None:
        """Return the beginning of the schedule after this one; None after the last."""
        choices = [*self.taken]
        while choices and choices[-1][0] + 1 == choices[-1][1]:
            choices.pop()
        return [c for c, _ in choices[:-1]] + [choices[-1][0] + 1] if choices else None


def _pause(key: str) -> None:
    publisher: _Publisher | None = getattr(_here, "publisher", None)
    if publisher is not None:
        publisher.pause(key)
