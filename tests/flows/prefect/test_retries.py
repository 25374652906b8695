"""Which failures Prefect tries again."""

import pytest
from prefect.states import Failed, State

from deepsalt.errors import (
    AwayError,
    DeepsaltError,
    DeviceError,
    FormatError,
    ReadError,
    StoreError,
)
from flows.prefect.retries import again, may_pass


def failed(error: DeepsaltError) -> State:
    return Failed(data=error)


@pytest.mark.parametrize("error", [AwayError("a server is away"), StoreError("the disk is full")])
def test_what_can_pass_is_tried_again(error: DeepsaltError) -> None:
    assert may_pass(None, None, failed(error))


@pytest.mark.parametrize(
    "error",
    [ReadError("truncated"), FormatError("not an EnMAP product"), DeviceError("the GPU is gone")],
)
def test_an_error_that_cannot_pass_is_not_retried(error: DeepsaltError) -> None:
    assert not may_pass(None, None, failed(error))


def tried(*failures: DeepsaltError) -> list[float]:
    """Return the waits before some work that fails a few times was done."""
    left, waits = list(failures), list[float]()

    def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    assert again(work, (10, 60), wait=waits.append) == "done"
    return waits


def test_a_run_waits_longer_each_time_and_never_as_long_as_another() -> None:
    waits = tried(AwayError("away"), AwayError("away"))
    assert [10 <= waits[0] <= 13, 60 <= waits[1] <= 78] == [True, True]
    assert tried(AwayError("away")) != tried(AwayError("away"))


def test_a_run_gives_up_after_its_last_wait() -> None:
    with pytest.raises(AwayError):
        tried(*[AwayError("away")] * 3)


def test_a_run_does_not_wait_for_what_cannot_pass() -> None:
    with pytest.raises(FormatError):
        tried(FormatError("not an EnMAP product"))
