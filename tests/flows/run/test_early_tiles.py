"""Tiles that no scene is to come for are composed while others are mapped."""

import threading
from collections.abc import Collection, Iterable
from typing import Any

from deepsalt.grid import Tile
from deepsalt.store import Period
from flows.run.early_tiles import Ahead

A, B, C = Tile(0, 0), Tile(1, 0), Tile(2, 0)
SCENES = [(A,), (A, B), (B, C)]


class Listening:
    """Stands for the builder: says which tiles it was asked for, and with which products."""

    def __init__(self) -> None:
        self.asked: list[tuple[set[Tile], set[str], int]] = []
        self.heard = threading.Event()

    def ahead(self, period_tiles: Iterable[Any], *, known: Collection[str], tiles: int) -> int:
        self.asked.append(({tile for _, tile in period_tiles}, set(known), tiles))
        self.heard.set()
        return len(self.asked)


def started(builder: Listening, to_come: Iterable[int]) -> Ahead:
    return Ahead(builder, Period.all(), SCENES, to_come, at_once=lambda: 4)  # type: ignore[arg-type]


def test_a_tile_begins_with_the_last_of_its_scenes() -> None:
    builder = Listening()
    with started(builder, range(3)) as ahead:
        ahead.done(0, "first")
        assert not builder.heard.wait(0.05)
        ahead.done(1, "second")
        assert builder.heard.wait(10)
    assert builder.asked == [({A}, {"first", "second"}, 3)]


def test_the_last_tiles_are_left_to_the_build_that_publishes() -> None:
    builder = Listening()
    with started(builder, [2]) as ahead:
        ahead.done(2, "third")
    assert builder.asked == []


def test_a_scene_without_a_product_keeps_no_tile_waiting() -> None:
    builder = Listening()
    with started(builder, range(3)) as ahead:
        ahead.done(0, "")
        ahead.done(1, "second")
        assert builder.heard.wait(10)
    assert builder.asked == [({A}, {"second"}, 3)]
