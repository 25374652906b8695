"""Each subject that is judged has a verdict that an operator understands."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.mosaic import Builder, all_period_tiles
from deepsalt.products import product_name
from deepsalt.store import quarantine
from flows.watch.alerts import Alert
from flows.watch.judge import judge, no_longer_watched, reconcile_if_due
from tests.flows.watch.world import World, scene
from tests.store.builders import REF, acquisition, add_product

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, now=datetime.now(UTC))
    world.publish(*map(scene, range(30)))
    world.look()
    return world


def verdicts(world: World, after: timedelta = timedelta()) -> dict[str, Alert]:
    with world.ledger() as ledger:
        found = judge(world.watch, world.store, ledger, now=world.now + after)
    return {each.kind: each for each in found.alerts}


def bad(world: World, after: timedelta = timedelta()) -> set[str]:
    return {kind for kind, each in verdicts(world, after).items() if each.severity != "well"}


def test_a_watch_at_work_is_well(world: World) -> None:
    assert bad(world) == set()


def test_a_collection_with_few_news_has_no_verdict(world: World) -> None:
    assert "late" not in verdicts(world)


def test_a_watch_that_has_not_looked_for_a_day_is_told(world: World) -> None:
    assert bad(world, 2 * DAY) == {"unseen"}


def test_scenes_that_were_given_up_are_told_with_the_reason(world: World) -> None:
    name = product_name(scene(1), REF)
    for _ in range(12):
        world.runs.fail(name, "the archive was away")
        world.look()
    assert bad(world) == {"given-up"}
    assert "gave up 1 scene, the last one" in verdicts(world)["given-up"].sentence
    assert "the archive was away" in verdicts(world)["given-up"].sentence


def test_a_quarantine_that_grows_is_told_for_a_week(world: World) -> None:
    for number in range(3):
        quarantine(world.store, scene(number).key, "its bands are swapped")
    assert bad(world) == set()
    quarantine(world.store, scene(3).key, "its bands are swapped")
    assert "its bands are swapped" in verdicts(world)["quarantine"].sentence
    assert "quarantine" not in bad(world, 8 * DAY)


def test_a_proposal_that_waits_is_told(world: World) -> None:
    world.remove(scene(3))
    world.compare()
    assert bad(world) == {"proposed"}


def test_a_held_version_is_told(world: World) -> None:
    add_product(world.store, acquisition("a", day=1), seed=1)
    with ThreadPoolExecutor(1) as pool:
        Builder(world.store, pool)(all_period_tiles(world.store), why="test", hold=True)
    assert bad(world) == {"held"}
    assert "`deepsalt mosaic publish` or `deepsalt mosaic drop`" in verdicts(world)["held"].sentence


def compared(world: World, after: timedelta = timedelta()) -> Alert | None:
    with world.ledger() as ledger:
        return reconcile_if_due(world.watch, world.store, ledger, now=world.now + after)


def test_a_catalogue_is_compared_once_a_week(world: World) -> None:
    assert compared(world) is not None
    assert compared(world, 6 * DAY) is None
    assert compared(world, 7 * DAY) is not None


def test_a_comparison_that_fails_once_is_not_told(world: World) -> None:
    compared(world)
    for number in range(25):
        world.remove(scene(number))
    assert compared(world, 7 * DAY) is None
    alert = compared(world, 14 * DAY)
    assert alert is not None
    assert "too many to believe" in alert.sentence


def test_the_alerts_of_a_watch_that_is_no_longer_kept_are_taken_back() -> None:
    kinds = {
        "enmap of watch old": "late",
        "enmap of watch new": "late",
        "old": "budget",
        "new": "unseen",
        "/store": "held",
    }
    alerts = [Alert(kind, subject, "bad") for subject, kind in kinds.items()]
    closed = no_longer_watched(alerts, ["new"])
    assert [(each.subject, each.severity) for each in closed] == [
        ("enmap of watch old", "well"),
        ("old", "well"),
    ]
