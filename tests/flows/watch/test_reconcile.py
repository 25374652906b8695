"""What a catalogue no longer lists is proposed for withdrawal, never withdrawn silently."""

from dataclasses import replace
from pathlib import Path

import pytest

from deepsalt.errors import RunError
from deepsalt.store import record_withdrawal
from flows.config import Selection
from flows.watch.reconcile import reconcile, undecided
from tests.flows.watch.world import World, scene


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.publish(*map(scene, range(30)))
    world.look()
    return world


def key(number: int) -> tuple[str, str]:
    return scene(number).collection, scene(number).acquisition_id


def test_all_that_is_listed_is_kept(world: World) -> None:
    found = world.compare()
    assert (found.known, found.proposed) == (30, ())


def test_a_scene_that_is_gone_is_proposed_once(world: World) -> None:
    world.remove(scene(3))
    assert world.compare().proposed == (key(3),)
    assert world.compare().proposed == ()


def test_a_scene_that_others_mapped_is_missed_when_it_is_gone(world: World) -> None:
    world.publish(scene(40))
    world.finish(scene(40))
    world.look()
    world.remove(scene(40))
    assert world.compare().proposed == (key(40),)


def test_a_scene_that_is_gone_is_proposed_though_the_ledger_was_lost(world: World) -> None:
    world.finish(*map(scene, range(30)))
    (world.folder / "ledger.sqlite").unlink()
    world.look()
    world.remove(scene(3))
    assert world.compare().proposed == (key(3),)


def test_a_scene_that_comes_back_is_proposed_no_more(world: World) -> None:
    world.remove(scene(3))
    world.compare()
    world.publish(scene(3))
    assert world.compare().back == (key(3),)
    with world.ledger() as ledger:
        assert not ledger.proposals(str(world.store))


def test_a_proposal_that_was_followed_is_proposed_no_more(world: World) -> None:
    world.remove(scene(3))
    world.remove(scene(4))
    world.compare()
    record_withdrawal(world.store, key(3), scene(3).version, "gone")
    with world.ledger() as ledger:
        undecided(world.store, ledger)
        (left,) = ledger.proposals(str(world.store))
    assert (left.collection, left.acquisition) == key(4)


def test_a_catalogue_that_lists_nearly_nothing_is_not_believed(world: World) -> None:
    for number in range(25):
        world.remove(scene(number))
    with pytest.raises(RunError, match="no longer lists 25 of 30 acquisitions"):
        world.compare()
    with world.ledger() as ledger:
        assert not ledger.proposals(str(world.store))


def test_scenes_of_another_watch_of_the_store_are_not_missed(world: World) -> None:
    other = replace(world.watch, name="other")
    with world.ledger() as ledger:
        found = reconcile(other, world.store, ledger, now=world.now)
    assert (found.known, found.proposed) == (0, ())


def test_what_a_person_keeps_is_proposed_no_more(world: World) -> None:
    world.remove(scene(3))
    world.compare()
    with world.ledger() as ledger:
        (proposal,) = undecided(world.store, ledger)
        ledger.keep(proposal, world.now)
        assert undecided(world.store, ledger) == []
    assert world.compare().proposed == ()


def test_an_item_that_is_spoilt_is_not_gone(world: World) -> None:
    (path,) = world.catalogue.rglob(f"{scene(3).scene_id}.json")
    path.write_text(path.read_text().replace('"proj:transform"', '"proj:other"'))
    assert world.compare().proposed == ()


def test_scenes_that_narrower_filters_leave_out_are_not_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.publish(*map(scene, range(10)))
    world.look()
    world.remove(scene(3))
    selection = Selection(catalogue=str(world.catalogue), datetime="1999")
    with world.ledger() as ledger:
        narrow = replace(world.watch, selection=selection)
        found = reconcile(narrow, world.store, ledger, now=world.now)
    assert found.proposed == (key(3),)
