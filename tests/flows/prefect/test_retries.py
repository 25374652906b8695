"""Which failures Prefect tries again."""

import pytest
from prefect.states import Failed, State

from deepsalt.errors import AwayError, DeepsaltError, FormatError, ReadError, StoreError
from flows.prefect.retries import may_pass


def failed(error: DeepsaltError) -> State:
    return Failed(data=error)


@pytest.mark.parametrize("error", [AwayError("a server is away"), StoreError("the disk is full")])
def test_what_can_pass_is_tried_again(error: DeepsaltError) -> None:
    assert may_pass(None, None, failed(error))


@pytest.mark.parametrize("error", [ReadError("truncated"), FormatError("not an EnMAP product")])
def test_what_cannot_pass_is_not(error: DeepsaltError) -> None:
    assert not may_pass(None, None, failed(error))
