"""How long tests of chance look: briefly in CI, long where `make test-campaign` asks for it."""

import os

import pytest

_IS_LONG = os.environ.get("DEEPSALT_CAMPAIGN") == "1"

at_length = pytest.mark.skipif(
    not _IS_LONG, reason="takes minutes, and a shorter one is near it; DEEPSALT_CAMPAIGN=1 asks"
)
"""Mark of tests that only a campaign has the time for."""


def examples(brief: int, long: int) -> int:
    """Return how many examples a slow test of chance tries."""
    return long if _IS_LONG else brief
