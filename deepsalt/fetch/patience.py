"""Which failures of a server are temporary, and how long to retry."""

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import NoReturn

from deepsalt.access import without_secrets
from deepsalt.effort import Meter, SceneWork
from deepsalt.errors import AwayError, ReadError
from deepsalt.fetch.answers import StatusError

logger = logging.getLogger(__name__)

_PASSING = frozenset({408, 425, 429})  # beside 5xx
_GONE = frozenset({404, 410})
_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to retry a server.

    Parameters
    ----------
    tries
        Consecutive failed attempts at one range before giving up.
    budget
        Such attempts in all, over one scene's files on web servers.
    first_wait_s, longest_wait_s
        Wait after the first failure; doubled after each further one, up to the longest. A random
        part of up to a half is taken off, so that many clients do not come back as one.
    longest_asked_s
        Longest wait that a web server may ask for (Retry-After).
    silence_s
        Time for the next bytes of a bucket, for the next `STEP_BYTES` of a web server; slower is a
        server that is stuck.
    """

    tries: int = 8
    budget: int = 100
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_asked_s: float = 300.0
    silence_s: float = 30.0


def refuse_final(href: str, error: BaseException) -> None:
    """Raise if a retry cannot help.

    Raises
    ------
    ReadError
        The object is gone or is refused.
    """
    if not isinstance(error, StatusError):
        return
    status = error.status
    name = without_secrets(href)
    if status in _GONE:
        raise ReadError(
            f"{name} is gone (HTTP status {status}); search the catalogue again"
        ) from None
    if status in _REFUSED:
        raise ReadError(
            f"{name} is refused (HTTP status {status}): a signed URL has expired or credentials "
            "are missing; search the catalogue again, or see `deepsalt access check`"
        ) from None
    if status < 500 and status not in _PASSING:
        raise ReadError(
            f"{name} cannot be fetched (HTTP status {status}); open the URL in a browser to see why"
        ) from None


def raise_for(href: str, error: BaseException) -> NoReturn:
    """Raise for what has failed for the last time.

    Raises
    ------
    ReadError
        The failure is permanent.
    AwayError
        The failure did not resolve in time.
    """
    refuse_final(href, error)
    raise AwayError(
        f"{without_secrets(href)} could not be fetched ({_cause(error)}); "
        "run again when the server is well, finished scenes are kept"
    ) from None


class RetryBudget:
    """What is left of the patience with one scene's web servers.

    Parameters
    ----------
    patience
        The initial patience.
    meter
        Counts the retries.
    """

    def __init__(self, patience: Patience, meter: Meter) -> None:
        self.patience = patience
        self._meter = meter
        self._spent = 0
        self._not_before = 0.0

    async def wait_or_raise(self, href: str, error: BaseException, failures: int) -> None:
        """Wait after the `failures`-th failure in a row; 0 means that some bytes arrived.

        Raises
        ------
        ReadError
            The failure is permanent.
        AwayError
            The failure did not resolve in time.
        """
        refuse_final(href, error)
        self._spent += failures > 0
        if failures >= self.patience.tries or self._spent > self.patience.budget:
            raise_for(href, error)
        wait = self.patience.first_wait_s * 2 ** max(failures - 1, 0)
        wait = min(wait, self.patience.longest_wait_s) * random.uniform(0.5, 1.0)
        wait = max(wait, self._asked_wait_s(href, error))
        self._meter.add(SceneWork(retries=1))
        logger.info("%s is asked again in %.1f s: %s", without_secrets(href), wait, _cause(error))
        await asyncio.sleep(wait)

    def _asked_wait_s(self, href: str, error: BaseException) -> float:
        """Return how long the server asks to wait, seconds; used once, for all ranges."""
        asked = error.retry_after_s if isinstance(error, StatusError) else 0.0
        self._not_before = max(self._not_before, time.monotonic() + asked)
        left = self._not_before - time.monotonic()
        if left > self.patience.longest_asked_s:
            raise AwayError(
                f"{without_secrets(href)}: the server asks to wait {left:.0f} seconds; run again "
                f"then, finished scenes are kept"
            ) from None
        return left


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it answers too slowly or not at all"
    return without_secrets(str(error).partition("\n")[0]) or type(error).__name__
