"""The small scenes, catalogue and store that the flows are tested with."""

from tests.flows.conftest import catalogue, mapped, scenes, store

__all__ = ["catalogue", "mapped", "scenes", "store"]
