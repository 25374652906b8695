"""Waiting for what another thread, process or server does."""

import time
from collections.abc import Callable


def wait_until(
    true: Callable[[], object],
    otherwise: str,
    *,
    alive: Callable[[], bool] = lambda: True,
    patience_s: float = 90.0,
) -> None:
    """Look again and again until something is so; fail with a sentence if it does not come.

    `alive` says whether it may still come, such as whether a process runs.
    """
    until = time.monotonic() + patience_s
    while not true():
        assert alive(), f"{otherwise}: what should do it has ended"
        assert time.monotonic() < until, otherwise
        time.sleep(0.01)
