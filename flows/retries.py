"""Which failures may pass when tried again."""

from typing import Any

from deepsalt.errors import InputError, ReadError


def may_pass(task: object, run: object, state: Any) -> bool:
    """Say whether a failed Prefect task is worth another try.

    Bad input and unreadable pixels stay bad; anything else (a full disk, a lost connection) may
    have gone by the next attempt.
    """
    failure = state.result(raise_on_failure=False)
    return not isinstance(failure, InputError | ReadError)
