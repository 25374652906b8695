"""Small scenes, their catalogue and an undisturbed store, as the tests of flows have them."""

from pathlib import Path

import pytest

from tests.engines.runs import contents
from tests.flows.conftest import catalogue, mapped, scenes

__all__ = ["catalogue", "mapped", "scenes", "wanted"]


@pytest.fixture(scope="session")
def wanted(mapped: Path) -> dict[str, str]:
    """What a store holds after an undisturbed run with threads."""
    return contents(mapped)
