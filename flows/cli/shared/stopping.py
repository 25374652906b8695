"""How Ctrl-C and a scheduler's polite stop end a command."""

import os
import signal
import time
from types import FrameType

_AGAIN_S = 0.02
_IMPATIENT_S = 1.0
"""Signals closer together count as one: a terminal and `timeout` may both send it to a process."""
_IMPORTING = "<frozen importlib._bootstrap>"

_asked_at: list[float] = []
_asked_by: list[int] = []


class Stopped(BaseException):
    """Ctrl-C or a scheduler's polite stop. Not KeyboardInterrupt, which typer would handle."""


def stop_cleanly() -> None:
    """Make SIGINT, SIGTERM and a closed terminal raise `Stopped` in the main thread.

    During an import the stop waits until the import is done: compiled modules, such as torch's,
    would end the process or raise another exception. A second signal meanwhile ends the process at
    once. A process that `nohup` started outlives its terminal.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)


class UntilStopped:
    """A block that SIGINT and SIGTERM can end.

    Once a stop was requested, any exception that ends the block counts as the stop, even a failed
    import, and is not raised further; all others are.
    """

    def __enter__(self) -> None:
        stop_cleanly()

    def __exit__(self, *_: object) -> bool:
        if _asked_at:
            # An alarm still waiting for an import to end would kill the process as it exits.
            signal.setitimer(signal.ITIMER_REAL, 0)
        return bool(_asked_at)


def _stop(signum: int, frame: FrameType | None) -> None:
    if signum != signal.SIGALRM:
        _asked_by.append(signum)
        _asked_at.append(time.monotonic())
    if not _asked_at:
        return  # an alarm set elsewhere
    if not _imports(frame):
        raise Stopped
    if _asked_at[-1] - _asked_at[0] > _IMPATIENT_S:
        # The alarm may interrupt this very handler; the end is still by what was asked for.
        ending = _asked_by[-1]
        signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
