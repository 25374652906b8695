"""How long tests of chance look: briefly in CI, long where `make test-campaign` asks for it."""

import os

_IS_LONG = os.environ.get("DEEPSALT_CAMPAIGN") == "1"


def examples(brief: int, long: int) -> int:
    """Return how many examples a slow test of chance tries."""
    return long if _IS_LONG else brief
