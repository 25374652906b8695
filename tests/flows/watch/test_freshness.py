"""A collection is judged by what it usually takes, and a mosaic by the scenes that are in."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.products import product_name
from deepsalt.store import record_withdrawal
from deepsalt.types import Acquisition, Asset
from flows.watch.freshness import Freshness, MosaicFreshness, fresh, fresh_mosaic
from flows.watch.ledger import News
from tests.flows.watch.world import DAWN, World, scene
from tests.store.builders import REF, add_product, build
from tests.store.builders import acquisition as small

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def steady(days: int, *, every: timedelta = 6 * HOUR, latency: timedelta = 12 * HOUR) -> list[News]:
    count = int(days * DAY / every)
    return [News(DAWN + n * every, DAWN + n * every + latency) for n in range(count)]


def judged(news: list[News], after: timedelta) -> Freshness:
    """Judge so long after the last news."""
    return fresh("c", news, news[-1].announced + after, began=DAWN)


def test_a_source_as_slow_as_ever_is_fresh() -> None:
    found = judged(steady(30), 6 * HOUR)
    assert (found.late, found.unjudged) == ("", "")


def test_what_is_usual_is_learned() -> None:
    usual = judged(steady(30), HOUR).usual
    assert usual is not None
    assert (usual.latency, usual.wait, usual.age) == (12 * HOUR, 6 * HOUR, 18 * HOUR)


def test_a_source_that_is_silent_for_long_is_late() -> None:
    found = judged(steady(30), 30 * HOUR)
    assert "has no news since 2026-03-31" in found.late
    assert "30 h, and usually waits 6 h at most" in found.late


def test_a_source_that_is_slow_is_given_its_time() -> None:
    slow = steady(60, every=2 * DAY, latency=10 * DAY)
    assert not judged(slow, 2.9 * DAY).late
    assert judged(slow, 3.1 * DAY).late


def test_a_source_whose_news_get_old_is_late() -> None:
    news = steady(30)
    old = [News(news[-1].acquired, news[-1].announced + n * 6 * HOUR) for n in range(1, 20)]
    assert "has nothing newer than" in judged(news + old, HOUR).late


def test_with_few_news_nothing_is_judged() -> None:
    found = judged(steady(10), 90 * DAY)
    assert found.late == ""
    assert found.unjudged == "40 times of news in 10 days are too few; 20 in 14 days are needed"


def test_an_archive_that_is_filled_says_nothing_of_latency() -> None:
    old = [News(DAWN - n * DAY, DAWN + HOUR) for n in range(1, 500)]
    found = judged(old + steady(30), HOUR)
    assert found.usual is not None
    assert found.usual.long_latency == 12 * HOUR


def test_two_outages_do_not_make_a_silence_usual() -> None:
    news = steady(56)
    kept = [
        n for n in news if not any(d * DAY < n.announced - DAWN < (d + 1) * DAY for d in (9, 30))
    ]
    usual = judged(kept, HOUR).usual
    assert usual is not None
    assert usual.wait == 6 * HOUR


def test_a_weekend_without_news_is_usual() -> None:
    news = [each for each in steady(60) if each.announced.weekday() < 5]
    friday = [each for each in news if each.announced.weekday() == 4][-1]
    past = [each for each in news if each.announced <= friday.announced]
    assert not judged(past, 2.5 * DAY).late


def test_a_silence_of_the_year_before_is_plausible() -> None:
    season = [each for each in steady(380) if not 10 * DAY < each.acquired - DAWN < 30 * DAY]
    until = [each for each in season if each.acquired < DAWN + 375 * DAY]
    assert not judged(until, 20 * DAY).late
    assert judged(until, 30 * DAY).late


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_pass_over_the_catalogue_tells_the_ledger_what_is_new(world: World) -> None:
    world.publish(scene(1), scene(1, "01.05.02"), scene(2))
    world.look()
    with world.ledger() as ledger:
        assert ledger.looked(world.watch.name) == world.now
        news = ledger.news(str(world.store), world.watch.name, DAWN)
    assert news == {"enmap-l2a": [News(scene(1).start, world.now)] * 2}


def test_a_reprocessed_scene_is_no_news(world: World) -> None:
    world.publish(scene(1))
    world.look()
    world.publish(scene(1, "01.05.02"))
    first = world.now
    world.look()
    with world.ledger() as ledger:
        assert ledger.news(str(world.store), world.watch.name, DAWN) == {
            "enmap-l2a": [News(scene(1).start, first)]
        }


class Built(World):
    """A world whose scenes have pixels, so that its mosaic can be built."""

    def take(self, *names: str) -> None:
        """Let scenes come in."""
        files = (Asset("image", "/data/image.tif", None),)
        taken = [replace(small(name, day=1), assets=files, nodata=-1.0) for name in names]
        self.publish(*taken)
        self.look()
        for number, each in enumerate(taken):
            add_product(self.store, each, seed=number)
        self.look()

    def judged(self, after: timedelta) -> MosaicFreshness:
        with self.ledger() as ledger:
            return fresh_mosaic(self.store, ledger, now=self.now + after)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(tmp_path)


def test_scenes_wait_for_a_build(built: Built) -> None:
    built.take("a")
    assert built.judged(6 * HOUR).waiting == ()


def test_a_mosaic_without_scenes_that_are_long_in_is_stale(built: Built) -> None:
    built.take("a")
    assert built.judged(8 * HOUR).waiting == (product_name(small("a", day=1), REF),)


def test_a_mosaic_with_the_scenes_is_not_stale(built: Built) -> None:
    built.now = now()
    built.take("a")
    build(built.store)
    assert built.judged(90 * DAY).waiting == ()


def test_a_scene_that_no_version_needs_is_not_missed(built: Built) -> None:
    built.now = now()
    built.take("a")
    build(built.store)
    built.take("b")
    key: Acquisition = small("b", day=1)
    assert len(built.judged(8 * HOUR).waiting) == 1
    record_withdrawal(built.store, (key.collection, key.acquisition_id), key.version, "clouds")
    assert built.judged(8 * HOUR).waiting == ()


def now() -> datetime:
    """The time of this machine, which versions have."""
    return datetime.now(DAWN.tzinfo)
