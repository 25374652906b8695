"""Small scenes, their catalogue and an undisturbed store, as the tests of flows have them."""

from tests.flows.conftest import catalogue, mapped, scenes

__all__ = ["catalogue", "mapped", "scenes"]
