"""Each new acquisition becomes one run, whatever is announced how often and whoever is killed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deepsalt.products import product_name
from deepsalt.store import quarantine, record_withdrawal
from flows.watch.ledger import State, Submission
from flows.watch.watch import Outcome
from tests.flows.watch.world import World, scene
from tests.store.builders import REF


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_new_acquisition_is_submitted_once(world: World) -> None:
    world.publish(scene(1), scene(2))
    assert len(world.look().submitted) == 2
    assert world.look().active == 2
    assert len(world.runs.asked) == 2


def test_a_scene_with_a_product_is_not_submitted(world: World) -> None:
    world.publish(scene(1))
    world.finish(scene(1))
    report = world.look()
    assert (report.present, report.submitted) == (1, [])


def test_a_lost_ledger_maps_nothing_twice(world: World) -> None:
    world.publish(scene(1), scene(2))
    world.look()
    world.finish(scene(1))
    (world.folder / "ledger.sqlite").unlink()
    world.look()
    assert len(world.runs.by_key) == 2  # the run of scene 2 is found by its key


def test_only_what_was_updated_since_is_looked_at(world: World) -> None:
    world.publish(scene(1))
    world.look()
    world.now += timedelta(days=10)
    world.publish(scene(2))
    world.look()
    assert world.look().seen == 1


def test_a_late_listing_within_the_overlap_is_found(world: World) -> None:
    world.publish(scene(1))
    world.look()
    world.publish(scene(2), updated=world.now - timedelta(days=1))
    assert len(world.look().submitted) == 1


def test_an_item_from_the_future_hides_nothing(world: World) -> None:
    world.publish(scene(1), updated=world.now + timedelta(days=900))
    assert world.look().watermark == world.now
    world.publish(scene(2))
    assert len(world.look().submitted) == 1


def test_a_watcher_killed_in_the_middle_submits_the_rest_and_nothing_twice(world: World) -> None:
    world.publish(*map(scene, range(5)))
    submit, count = world.runs.submit, iter(range(3))

    def dies(submission: object) -> str:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return submit(submission)  # type: ignore[arg-type]

    world.runs.submit = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.look()
    world.runs.submit = submit  # type: ignore[method-assign]
    world.look()
    assert len(world.runs.by_key) == 5


def test_a_reprocessed_scene_takes_the_place_of_the_older_one(world: World) -> None:
    world.publish(scene(1))
    world.look()
    newer = scene(1, "01.05.02")
    world.publish(newer)
    assert world.look().submitted == [product_name(newer, REF)]
    with world.ledger() as ledger:
        (older,) = ledger.find(str(world.store), [product_name(scene(1), REF)]).values()
    assert older.state is State.SUPERSEDED


def test_an_older_version_that_comes_late_is_left(world: World) -> None:
    world.publish(scene(1, "01.05.02"))
    world.look()
    world.now += timedelta(days=10)
    world.publish(scene(2))
    world.look()
    world.publish(scene(1))
    report = world.look()
    assert (report.older, report.submitted) == (1, [])


def test_a_failed_scene_waits_and_is_tried_again(world: World) -> None:
    name = product_name(scene(1), REF)
    world.publish(scene(1))
    world.look()
    world.runs.fail(name, "the archive was away")
    assert (world.look(after=timedelta(minutes=1)).failed, world.look().submitted) == (1, [name])
    assert [each.attempt for each in world.runs.asked] == [1, 2]


def test_a_failed_scene_is_tried_again_when_its_catalogue_tells_of_it_no_more(
    world: World,
) -> None:
    name = product_name(scene(1), REF)
    world.publish(scene(1))
    world.look()
    world.now += timedelta(days=10)
    world.publish(scene(2))
    world.look()
    world.runs.fail(name, "the archive was away")
    world.look()
    report = world.look()
    assert (report.seen, report.submitted) == (1, [name])


def test_a_scene_that_is_mapped_while_its_run_is_asked_for_has_not_failed(world: World) -> None:
    world.publish(scene(1))
    world.look()

    def ends(run: str) -> tuple[Outcome, str]:
        world.finish(scene(1))
        return Outcome.COMPLETED, ""

    world.runs.outcome = ends  # type: ignore[method-assign]
    report = world.look()
    assert (report.finished, report.failed) == (1, 0)


def test_a_scene_that_is_mapped_before_it_is_submitted_is_done_at_the_next_pass(
    world: World,
) -> None:
    submit = world.runs.submit

    def late(submission: Submission) -> str:
        world.finish(scene(1))
        return submit(submission)

    world.runs.submit = late  # type: ignore[method-assign]
    world.publish(scene(1))
    world.look()
    report = world.look()
    assert (report.finished, report.failed, report.active) == (1, 0, 0)


def test_a_scene_that_was_given_up_and_mapped_by_hand_is_done(world: World) -> None:
    name = product_name(scene(1), REF)
    world.publish(scene(1))
    for _ in range(12):
        world.look()
        world.runs.fail(name, "the archive was away")
    world.now += timedelta(days=10)
    world.publish(scene(2))
    world.look()
    world.finish(scene(1))
    world.look()
    with world.ledger() as ledger:
        assert not ledger.in_state(str(world.store), State.FAILED)


def test_a_scene_that_fails_each_time_is_given_up(world: World) -> None:
    name = product_name(scene(1), REF)
    world.publish(scene(1))
    for _ in range(12):
        world.look()
        world.runs.fail(name, "the archive was away")
    assert len(world.runs.asked) == world.watch.attempts
    assert "failed 3 times" in world.look().given_up[scene(1).key]


def test_a_quarantined_scene_is_not_submitted(world: World) -> None:
    world.publish(scene(1))
    quarantine(world.store, scene(1).key, "its bands are swapped")
    assert world.look().given_up == {scene(1).key: "its bands are swapped"}


def test_a_withdrawn_scene_is_not_submitted(world: World) -> None:
    world.publish(scene(1))
    acquisition = scene(1).collection, scene(1).acquisition_id
    record_withdrawal(world.store, acquisition, scene(1).version, "clouds")
    report = world.look()
    assert (report.withdrawn, report.submitted) == (1, [])


def test_an_item_that_cannot_be_used_is_said_and_stops_nothing(world: World) -> None:
    world.publish(scene(1), scene(2))
    path = next(world.catalogue.rglob("*0000000001*.json"))
    path.write_text(path.read_text().replace('"proj:transform"', '"proj:other"'))
    report = world.look()
    assert (len(report.refused), len(report.submitted)) == (1, 1)


def test_the_watermark_waits_for_what_is_postponed(world: World) -> None:
    world.publish(*map(scene, range(3)))
    world.most = 2
    report = world.look()
    assert (report.postponed, report.watermark) == (1, None)
    assert len(world.look().submitted) == 1


def test_a_scene_that_is_announced_twenty_times_by_both_ways_has_one_run(world: World) -> None:
    for number in range(20):
        if number % 2:
            world.tell(scene(1))
        else:
            world.publish(scene(1), updated=world.now)
            world.look()
    assert len(world.runs.by_key) == 1


def test_a_wider_selection_sees_what_was_published_before(world: World) -> None:
    world.publish(scene(1))
    world.look()
    world.now += timedelta(days=30)
    world.publish(scene(2))
    world.look()
    wider = replace(
        world.watch, selection=world.watch.selection.model_copy(update={"max_quality": 2})
    )
    with world.ledger() as ledger:
        watcher = replace(world.watcher(ledger), watch=wider)
        assert watcher.pass_over(world.now).seen == 2


def test_a_run_that_was_stopped_wears_its_scene_out_ten_times_slower(world: World) -> None:
    name = product_name(scene(1), REF)
    world.publish(scene(1))
    for _ in range(30):
        world.look()
        world.runs.end(name, Outcome.STOPPED, "its node went away")
    assert len(world.runs.asked) > 3 * world.watch.attempts
