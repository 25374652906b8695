"""Publishers of one store at once: no link is lost, and none leads nowhere."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count, takewhile
from random import Random

import pystac
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from catalog.publish.products import PRODUCTS
from catalog.publish.store_catalog import item_key, publish_items, remove_items, write_item
from deepsalt.objects import Objects, series
from tests.catalog.publish.published import START
from tests.catalog.publish.schedules import Choose, Watched, every, kill, run
from tests.catalog.publish.walking import listed, walk

JUNE = f"collections/{PRODUCTS}/2024-06"
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # no schedule is simpler than another
_numbers = count()


def item(
    name: str, *, collection: str = PRODUCTS, days: int = 0, west: float = 10.0
) -> pystac.Item:
    """Return a small Item; other days and places than the usual ones widen the extent."""
    return pystac.Item(
        name,
        {"type": "Point", "coordinates": [west, 45.0]},
        [west, 45.0, west + 1.0, 46.0],
        START + timedelta(days=days),
        {"deepsalt:simulated": name == "july"},
        collection=collection,
    )


ITEMS = {
    each.id: each
    for each in (
        *(item(name) for name in ("p0", "p1", "p2")),
        item("july", days=10),
        item("far", west=50.0),
        item("source", collection="enmap-l2a"),
    )
}


@pytest.fixture(autouse=True, scope="module")
def _at_once() -> Iterator[None]:
    """Let who was overtaken look again at once: others go on by the schedule alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "LONGEST_WAIT_S", 0.0)
        yield


class Race:
    """A store with two products, of which one may be withdrawn, and what publishers do to it."""

    def __init__(self, *begin: str) -> None:
        self.store = Watched.of(f"memory://publishers/{next(_numbers)}")
        self.withdrawn: set[str] = set()
        for name in begin:
            self.add(name)

    def add(self, name: str) -> None:
        self._publish(write_item(self.store, ITEMS[name]))

    def withdraw(self, name: str) -> None:
        self.withdrawn.add(name)
        self._publish(item_key(ITEMS[name]))

    def remove(self, name: str) -> None:
        keys = [item_key(ITEMS[name])]
        remove_items(self.store, keys, leave_out=self.withdrawn.__contains__)

    def _publish(self, *keys: str) -> None:
        publish_items(self.store, keys, leave_out=self.withdrawn.__contains__)

    def documents(self) -> dict[str, bytes]:
        return {key: self.store.read(key) for key in walk(self.store)}

    def check(self, expected: set[str]) -> None:
        """Hold the catalogue against what it should list, and against a publication of all."""
        assert listed(self.store) == expected
        documents = self.documents()
        self._publish(*(item_key(ITEMS[name]) for name in expected | self.withdrawn))
        assert self.documents() == documents


Work = Callable[[Race], None]
RACES: dict[str, tuple[Sequence[str], Sequence[Work], set[str]]] = {
    "a new store": ((), (lambda r: r.add("p1"), lambda r: r.add("p2")), {"p1", "p2"}),
    "a month that is there": (
        ("p0",),
        (lambda r: r.add("p1"), lambda r: r.add("p2")),
        {"p0", "p1", "p2"},
    ),
    "the same product": ((), (lambda r: r.add("p1"), lambda r: r.add("p1")), {"p1"}),
    "two months": ((), (lambda r: r.add("p1"), lambda r: r.add("july")), {"p1", "july"}),
    "two extents": (
        ("p0",),
        (lambda r: r.add("far"), lambda r: r.add("july")),
        {"p0", "far", "july"},
    ),
    "two collections": ((), (lambda r: r.add("p1"), lambda r: r.add("source")), {"p1", "source"}),
    "one withdraws": (("p0",), (lambda r: r.withdraw("p0"), lambda r: r.add("p1")), {"p1"}),
    "one removes": (("p0",), (lambda r: r.remove("p0"), lambda r: r.add("p1")), {"p1"}),
}


def raced(name: str, choose: Choose, watched: Callable[[str], bool] = lambda key: True) -> None:
    begin, works, expected = RACES[name]
    race = Race(*begin)
    run([lambda work=work: work(race) for work in works], choose, watched)
    race.check(expected)


def at_june(key: str) -> bool:
    """Whether a verb is about the month that most races are about."""
    return key.startswith(JUNE)


def anywhere(key: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("watched", "interruptions"),
    [
        pytest.param(at_june, 2, id="twice at a month"),
        pytest.param(anywhere, 1, id="once anywhere"),
        pytest.param(at_june, 4, id="four times at a month", marks=pytest.mark.slow),
        pytest.param(anywhere, 2, id="twice anywhere", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", RACES)
def test_no_link_is_lost_wherever_two_publishers_interrupt_each_other(
    name: str, watched: Callable[[str], bool], interruptions: int
) -> None:
    assert every(lambda choose: raced(name, choose, watched), interruptions) > 8


@given(st.sampled_from([*RACES]), st.randoms(use_true_random=False))
@settings(max_examples=200, phases=_PHASES)
def test_no_link_is_lost_by_any_schedule(name: str, random: Random) -> None:
    raced(name, lambda last, alive: random.choice(alive))


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, phases=_PHASES)
def test_no_link_is_lost_among_many_publishers(random: Random) -> None:
    names = ("p1", "p2", "july", "far", "source")
    race = Race("p0")
    works = [lambda name=name: race.add(name) for name in names]
    run([*works, lambda: race.withdraw("p0")], lambda last, alive: random.choice(alive))
    race.check({*names})


def test_at_no_time_does_a_link_lead_to_what_is_not_there_yet() -> None:
    def attempt(choose: Choose) -> None:
        race = Race("p0")

        def looking(last: int | None, alive: Sequence[int]) -> int:
            assert "p0" in listed(Objects.of(race.store.uri))
            return choose(last, alive)

        run([lambda: race.add("july"), lambda: race.add("source")], looking)

    assert every(attempt, interruptions=1) > 10


def test_at_no_time_does_a_link_lead_to_what_is_removed() -> None:
    race = Race("p0", "p1")

    def looking(last: int | None, alive: Sequence[int]) -> int:
        assert listed(Objects.of(race.store.uri)) >= {"p1"}
        return alive[0]

    run([lambda: race.remove("p0")], looking)
    race.check({"p1"})


@pytest.mark.parametrize("name", ["p1", "july", "far", "source"])
def test_a_publisher_that_is_killed_leaves_a_catalogue_that_its_repetition_completes(
    name: str,
) -> None:
    def killed(verbs: int) -> bool:
        race = Race("p0")
        running = kill(lambda: race.add(name), verbs)
        assert listed(race.store) >= {"p0"}
        race.add(name)
        race.check({"p0", name})
        return running

    assert len([*takewhile(killed, count())]) > 10
