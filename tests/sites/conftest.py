"""Scenes to look at, as the flows have them."""

from tests.flows.conftest import catalogue, scenes

__all__ = ["catalogue", "scenes"]
