"""How Ctrl-C and a scheduler's polite stop end a command."""

import signal
from types import FrameType

_AGAIN_S = 0.02
_IMPORTING = "<frozen importlib._bootstrap>"


class Stopped(BaseException):
    """Ctrl-C or a scheduler's polite stop. Not KeyboardInterrupt, which typer would answer."""


def stop_cleanly() -> None:
    """Make SIGINT and SIGTERM raise `Stopped` in the main thread.

    Never in the middle of an import: compiled modules, torch's among them, end the process or turn
    the exception into another one. There the stop waits until the import is done.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)


def _stop(signum: int, frame: FrameType | None) -> None:
    if _imports(frame):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        raise Stopped


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
