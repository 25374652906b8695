"""Calls on an executor: those that have not begun when the block is left never do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepsalt.concurrency import in_order, submitted


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


def test_results_come_in_the_order_of_their_arguments() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(pool, str, range(99), ahead=4)) == [str(n) for n in range(99)]


def test_arguments_are_taken_as_results_are() -> None:
    taken: list[int] = []

    def arguments() -> Iterator[int]:
        for number in range(99):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, str, arguments(), ahead=4)
        assert next(results) == "0"
        assert len(taken) == 5
        results.close()


def test_an_error_ends_calls_that_have_not_begun() -> None:
    done: list[int] = []

    def call(number: int) -> None:
        done.append(number)
        if number == 3:
            raise ValueError("three")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="three"):
        list(in_order(pool, call, range(99), ahead=4))
    assert max(done) < 10
