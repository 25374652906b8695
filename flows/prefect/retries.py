"""Which failures are worth a retry, and retries within a flow run."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from deepsalt.errors import AwayError, DeepsaltError, DeviceError, InputError, ReadError

logger = logging.getLogger(__name__)

Made = TypeVar("Made")

_JITTER = 0.3
"""Share by which a wait is longer at most, so that many runs do not come back at once."""


def may_pass(task: object, run: object, state: Any) -> bool:
    """Return whether a failed Prefect task is worth another try; see `is_worth_a_retry`."""
    return is_worth_a_retry(state.result(raise_on_failure=False))


def is_worth_a_retry(failure: object) -> bool:
    """Return whether a later try may succeed.

    Bad input and unreadable pixels stay bad, and a process that lost its device never has it again;
    anything else (a full disk, an unreachable server) may be resolved by the next attempt.
    """
    lasting = InputError | ReadError | DeviceError
    return isinstance(failure, AwayError) or not isinstance(failure, lasting)


def again(
    work: Callable[[], Made],
    waits_s: Sequence[float],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> Made:
    """Do some work, and again after a wait where a failure may pass.

    A task of Prefect would do the same for 30 ms of the server's CPU and 20 kB of its database; a
    run of one scene has no other stage to resume at.

    Parameters
    ----------
    work
        What is done.
    waits_s
        Seconds to wait before each further try, lengthened by up to 30 %.
    wait
        Waits for a number of seconds.
    """
    for wait_s in waits_s:
        try:
            return work()
        except (DeepsaltError, OSError) as error:
            if not is_worth_a_retry(error):
                raise
            logger.warning("%s; another try in about %.0f s", error, wait_s)
        wait(wait_s * (1 + _JITTER * random.random()))
    return work()
