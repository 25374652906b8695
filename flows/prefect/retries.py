"""Which failures are worth a retry."""

from typing import Any

from deepsalt.errors import AwayError, InputError, ReadError


def may_pass(task: object, run: object, state: Any) -> bool:
    """Return whether a failed Prefect task is worth another try.

    Bad input and unreadable pixels stay bad; anything else (a full disk, an unreachable server) may
    be resolved by the next attempt.
    """
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, AwayError) or not isinstance(failure, InputError | ReadError)
