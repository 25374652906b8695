"""A mosaic is built once when scenes are in, not once per scene."""

from datetime import timedelta
from pathlib import Path

import pytest

from flows.watch.debounce import build_is_due, say_built
from tests.flows.watch.world import World, scene


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.publish(scene(1), scene(2))
    world.look()
    return world


def due(world: World) -> bool:
    with world.ledger() as ledger:
        return build_is_due(world.store, ledger, now=world.now)


def build(world: World) -> None:
    with world.ledger() as ledger:
        say_built(world.store, ledger, now=world.now)


def test_nothing_is_due_before_a_scene_is_in(world: World) -> None:
    assert not due(world)


def test_a_build_waits_for_scenes_that_are_under_way(world: World) -> None:
    world.finish(scene(1))
    world.look()
    assert not due(world)


def test_a_build_is_due_once_when_all_scenes_are_in(world: World) -> None:
    world.finish(scene(1), scene(2))
    world.look()
    assert due(world)
    build(world)
    assert not due(world)


def test_a_build_that_could_not_be_started_stays_due(world: World) -> None:
    world.finish(scene(1), scene(2))
    world.look()
    assert [due(world), due(world)] == [True, True]


def test_a_build_does_not_wait_for_ever(world: World) -> None:
    world.finish(scene(1))
    world.look()
    world.now += timedelta(hours=7)
    assert due(world)


def test_scenes_that_come_later_make_another_build_due(world: World) -> None:
    world.finish(scene(1), scene(2))
    world.look()
    build(world)
    world.publish(scene(3))
    world.look()
    world.finish(scene(3))
    world.look()
    assert due(world)
