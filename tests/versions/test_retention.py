import pickle
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.errors import StoreError, UsageError, VersionMissingError
from deepsalt.objects import Objects
from deepsalt.versions import (
    Mosaic,
    held,
    live_builds,
    open_mosaic,
    prune,
    publish,
    records,
    retention,
    roll_back,
)
from deepsalt.versions.commit import Done, Work
from deepsalt.versions.records import BuildRecord
from deepsalt.versions.storage import PREFIX
from tests.versions.world import (
    age,
    build_of,
    check,
    new,
    period_tile_of,
    product,
    put,
    somewhere,
)

LONG_AGO = timedelta(days=30)
_BEFORE_LONG = 29 * 24.0  # hours
NAMES = [product(0, 2**n, shard=n % 4) for n in range(8)]
PERIOD_TILES = [period_tile_of(NAMES[0])]


class World:
    def __init__(self, place: Path | str | None = None) -> None:
        self.mosaic: Mosaic = new(place)
        self.published = 0

    def publish(self, versions: int = 1) -> None:
        for _ in range(versions):
            put(self.mosaic, NAMES[self.published])
            self.published += 1
            build_of(self.mosaic)(PERIOD_TILES)

    def check(self) -> None:
        check(self.mosaic, NAMES[: self.published])

    def prune(self, keep: int, now: datetime | None = None) -> int:
        return prune(self.mosaic, keep=keep, now=now).versions


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def long_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds that begin in the test began long ago, as their objects did."""
    began = datetime.now(UTC) - LONG_AGO
    monkeypatch.setattr(records, "BuildRecord", lambda objects: BuildRecord(objects, now=began))


def repository_of(world: World) -> Path:
    return world.mosaic.objects.path / PREFIX


def later() -> datetime:
    return datetime.now(UTC) + LONG_AGO


def test_the_last_versions_stay_and_can_be_opened(place: str) -> None:
    world = World(place)
    world.publish(4)
    kept = list(world.mosaic.history())[:2]
    assert world.prune(2, later()) == 2
    assert list(world.mosaic.history()) == kept
    for version, names in zip(kept, (NAMES[:4], NAMES[:3]), strict=True):
        ds = open_mosaic(world.mosaic, version=version.id, chunks=None)
        assert float(ds.salinity[0, 0, 0]) == sum(1 << n for n in (0, 4) if NAMES[n] in names)
    world.check()


def test_a_pruned_version_is_missed_in_a_sentence() -> None:
    world = World()
    world.publish(3)
    first = list(world.mosaic.history())[-1]
    world.prune(1, later())
    with pytest.raises(VersionMissingError, match=rf"no version '{first.short}'; it may have been"):
        open_mosaic(world.mosaic, version=first.short)


def test_who_still_reads_a_pruned_version_is_told_so(place: str) -> None:
    world = World(place)
    world.publish(2)
    ds = open_mosaic(world.mosaic, chunks=None)
    world.publish(1)
    world.prune(1, later())
    with pytest.raises(VersionMissingError, match="was pruned while it was read"):
        ds.salinity.load()


def test_who_reads_a_pruned_version_elsewhere_is_told_so(world: World) -> None:
    world.publish(2)
    sent = pickle.dumps(open_mosaic(world.mosaic, chunks=None))
    world.publish(1)
    world.prune(1, later())
    with pytest.raises(VersionMissingError, match="was pruned while it was read"):
        pickle.loads(sent).salinity.load()


def test_what_is_deleted_is_what_no_kept_version_needs(world: World) -> None:
    world.publish(5)

    def files() -> int:
        return sum(path.is_file() for path in (repository_of(world) / "chunks").rglob("*"))

    many = files()
    assert world.prune(1) == 4  # all objects are young
    assert files() == many
    age(repository_of(world), hours=30 * 24)
    world.prune(1)
    assert files() < many
    world.check()


def test_what_was_rolled_back_stays_as_long_as_its_contemporaries() -> None:
    world = World()
    world.publish(2)
    left = world.mosaic.head()
    assert left is not None
    roll_back(world.mosaic)
    world.prune(2, later())
    assert world.mosaic.find(left.id) == left
    world.publish(2)
    world.prune(1, later())
    with pytest.raises(VersionMissingError):
        world.mosaic.find(left.id)
    world.check()


def test_a_held_version_stays_until_it_is_published() -> None:
    world = World()
    world.publish(2)
    put(world.mosaic, NAMES[2])
    (version,) = build_of(world.mosaic)(PERIOD_TILES, hold=True).versions
    world.prune(1, later())
    assert held(world.mosaic) == (version,)
    publish(world.mosaic, version.short)
    check(world.mosaic, NAMES[:3])


def aged_while_composing(world: World, between: Callable[[], object]) -> None:
    """Build while somebody does something, when what was composed is long there."""

    def run(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        done = [work(item) for item in items]
        age(repository_of(world), hours=_BEFORE_LONG)
        between()
        return done

    put(world.mosaic, NAMES[world.published])
    world.published += 1
    build_of(world.mosaic, run=run)(PERIOD_TILES)


@pytest.mark.usefixtures("long_build")
def test_a_prune_beside_a_living_build_deletes_nothing_of_it(world: World) -> None:
    world.publish(2)
    aged_while_composing(world, lambda: world.prune(1))
    world.check()


@pytest.mark.usefixtures("long_build")
def test_a_prune_that_did_not_know_of_builds_would_break_what_they_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(2)
    monkeypatch.setattr(retention, "live_builds", lambda objects: [])
    aged_while_composing(world, lambda: world.prune(1))
    with pytest.raises(StoreError):
        world.check()


@pytest.mark.usefixtures("long_build")
def test_what_a_living_build_began_with_stays(world: World) -> None:
    world.publish(2)

    def run(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        if not over:
            over.append(True)
            for _ in range(3):
                put(world.mosaic, product(1, 1 + len(over)))
                over.append(True)
                build_of(world.mosaic)([period_tile_of(product(1, 0))])
            age(repository_of(world), hours=_BEFORE_LONG)
            world.prune(1)
        forks = [pickle.loads(pickle.dumps(item)) for item in items]  # opened only now
        return [work(fork) for fork in forks]

    over: list[bool] = []
    put(world.mosaic, NAMES[2])
    build_of(world.mosaic, run=run)(PERIOD_TILES)
    check(world.mosaic, [*NAMES[:3], *(product(1, n) for n in (2, 3, 4))])


def test_a_build_that_was_taken_for_dead_does_not_commit(world: World) -> None:
    world.publish(2)
    head = world.mosaic.head()

    def bury() -> None:
        age(world.mosaic.objects.path / "records/builds", hours=7)
        assert prune(world.mosaic, keep=1).builds

    with pytest.raises(StoreError, match="a prune considered build"):
        aged_while_composing(world, bury)
    assert world.mosaic.head() == head
    assert live_builds(world.mosaic.objects) == []


def test_a_build_that_gives_signs_of_life_is_not_taken_for_dead(tmp_path: Path) -> None:
    objects = Objects.of(tmp_path)
    alive = BuildRecord(objects, now=datetime.now(UTC) - LONG_AGO)
    age(tmp_path, hours=7)
    alive.beat()
    alive.check()
    (found,) = live_builds(objects)
    assert datetime.now(UTC) - found.seen < timedelta(minutes=1)
    assert len(found.keys) == 1


def test_a_build_lives_though_its_record_is_not_listed_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive = BuildRecord(Objects.of(somewhere()))
    monkeypatch.setattr(Objects, "list", lambda objects, prefix="", offset=None: iter(()))
    alive.check()
    alive.beat()


def test_a_sign_of_life_after_the_burial_does_not_revive_a_build() -> None:
    objects = Objects.of(somewhere())
    alive = BuildRecord(objects)
    objects.delete([entry.key for entry in objects.list()])
    with pytest.raises(StoreError, match=r"considered build .* dead"):
        alive.beat()
    assert [*objects.list()] == []
    with pytest.raises(StoreError, match=r"considered build .* dead"):
        alive.check()


def test_a_build_that_ends_leaves_no_record(world: World) -> None:
    world.publish()
    assert live_builds(world.mosaic.objects) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": 0}, "cannot keep 0 versions"),
        ({"keep": 1, "margin": timedelta(hours=23)}, "give at least a day"),
    ],
    ids=["none", "margin"],
)
def test_a_prune_that_would_harm_is_refused(options: dict, said: str) -> None:  # type: ignore[type-arg]
    world = World()
    with pytest.raises(UsageError, match=said):
        prune(world.mosaic, **options)


def test_a_mosaic_without_versions_can_be_pruned(world: World) -> None:
    assert world.prune(1, later()) == 0
    world.publish()
    world.check()
