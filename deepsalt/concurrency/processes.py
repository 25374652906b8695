"""Calls in processes of our own, for work that holds Python's lock.

Not `multiprocessing`: its processes run the user's script again, which must then expect that, and
start with all that this process has loaded or with the locks of its threads. Ours load what a call
needs and nothing else, no signal of a terminal reaches them, and they end when this process does,
however it ends: then nobody holds the other end of their pipe.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from threading import Lock, local
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# `load_beside`, since a user's folder may have packages with the names of ours.
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from deepsalt.own_packages import load_beside; load_beside(); "
    "from deepsalt.concurrency.processes import answer; answer()"
)
_LOST = (EOFError, OSError, pickle.UnpicklingError)


class Processes(Executor):
    """An executor of some processes; they start with their first calls.

    Functions, arguments and results are pickled. What a call raises ends its process, and the call
    is made again in this one, where it raises for its caller; so are the calls of a process that
    cannot start or is lost.

    Parameters
    ----------
    number
        Most processes at a time.
    """

    def __init__(self, number: int) -> None:
        self._threads = ThreadPoolExecutor(number, "processes")
        self._own = local()
        self._started: list[_Process] = []
        self._lock = Lock()
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Make a call in one of the processes."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def _call(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        question = pickle.dumps((function, args, kwargs), pickle.HIGHEST_PROTOCOL)
        try:
            result: T = self._process().ask(question)
        except _LOST:
            if self._ended:
                raise CancelledError from None
            return function(*args, **kwargs)
        return result

    def _process(self) -> "_Process":
        """Return the process of this thread, which starts once."""
        if not hasattr(self._own, "process"):
            with self._lock:
                if self._ended:
                    raise EOFError
                self._own.process = _Process()
                self._started.append(self._own.process)
        process: _Process = self._own.process
        return process

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; calls that were not answered are cancelled if nobody waits for them.

        Parameters
        ----------
        wait
            Whether to let calls be answered that were submitted.
        cancel_futures
            Whether to cancel those that have not begun.
        """
        if wait and not cancel_futures:
            self._threads.shutdown()
        with self._lock:
            self._ended = True
            for process in self._started:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.communicate()

    def __exit__(self, *error: object) -> None:
        """End the processes, at once when the block ends with an error."""
        self.shutdown(cancel_futures=error[0] is not None)


class _Process(subprocess.Popen[bytes]):
    """A process that answers one call after the other."""

    def __init__(self) -> None:
        super().__init__(
            [sys.executable, "-c", _BEGIN, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C goes to all of a terminal's session, and each would tell of it at length.
            start_new_session=True,
        )

    def ask(self, question: bytes) -> Any:
        """Return the result of a call; what `_LOST` names if there is none to come."""
        if self.stdin is None or self.stdout is None:
            raise EOFError
        self.stdin.write(question)
        self.stdin.flush()
        return pickle.load(self.stdout)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere, and fewer than there are in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def answer() -> None:
    """Answer calls until nobody asks any more: the life of a process."""
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while True:
        try:
            function, args, kwargs = pickle.load(questions)
        except EOFError:
            return
        try:
            pickle.dump(function(*args, **kwargs), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:  # it ended meanwhile
            os._exit(0)
