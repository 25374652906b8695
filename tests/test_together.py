"""Calls on an executor: those that have not begun when the block is left never do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepsalt.together import submitted


class Stopped(BaseException):
    """Ctrl-C."""


@pytest.mark.parametrize("error", [Stopped, ValueError])
def test_calls_that_have_not_begun_are_dropped_when_the_block_fails(
    error: type[BaseException],
) -> None:
    begun: list[int] = []
    first, go = threading.Event(), threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        first.set()
        go.wait()

    def leave() -> None:
        with submitted(pool, call, range(20)):
            first.wait()
            raise error

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(error):
            leave()
        go.set()
    assert begun == [0]


def test_all_calls_are_done_and_in_order() -> None:
    with ThreadPoolExecutor(3) as pool, submitted(pool, str, range(9)) as calls:
        assert [call.result() for call in calls] == [str(number) for number in range(9)]
