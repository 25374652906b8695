"""Every scene counts exactly once, whatever happens in whatever order.

A store lives through arrivals, duplicates, reprocessing to other footprints, withdrawals,
roll-backs, pruning, kills and builders that overtake each other. After each act the tiles that were
asked for are made of what the records say, and no other tile changed; in the end the mosaic equals,
bit for bit, what one clean run over the final set makes, on these and on other tiles.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deepsalt.errors import StoreMissingError, UsageError
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.mosaic import (
    Builder,
    all_period_tiles,
    period_tiles_of,
    prune,
    readmit,
    refuse_withdrawn,
    withdraw,
)
from deepsalt.store import Store, tombstone, tombstones
from deepsalt.versions import Mosaic, PeriodTile, open_repository, roll_back
from tests.campaign import examples
from tests.store.builders import make_store
from tests.store.crash import killed_at
from tests.store.scenarios import (
    ALL,
    GRIDS,
    REF,
    SCENES,
    Scene,
    Tiles,
    assert_clean,
    chosen,
    scene,
    tiles_of,
    tiles_under,
    write,
    written,
)


class InTurn(Executor):
    """Does each call when it is submitted; others may do something after the first."""

    def __init__(self, meanwhile: Callable[[], object] | None = None) -> None:
        self.meanwhile = meanwhile

    def submit(self, call: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_result(call(*args, **more))
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return found


def build(
    store: Store, period_tiles: Iterable[PeriodTile], executor: Executor | None = None
) -> set[Tile]:
    """Bring tiles to what they should be; return them."""
    asked = [*period_tiles]
    if asked:
        Builder(store, executor or InTurn())(asked, why="test")
    return {tile for _, tile in asked}


def arrive(store: Store, each: Scene, executor: Executor | None = None) -> set[Tile]:
    """Do what a run does with a scene: map it if it is not withdrawn, and build its tiles."""
    acq, _ = scene(*each)
    record = tombstone(store, (acq.collection, acq.acquisition_id))
    if record is not None and record.covers(acq.version):
        return set()
    return build(store, period_tiles_of(store, write(store, [each]), ALL), executor)


def withdraw_one(store: Store, each: Scene) -> set[Tile]:
    return follow(store, withdraw(store, [scene(*each)[0].key]).tiles)


def readmit_one(store: Store, each: Scene) -> set[Tile]:
    return follow(store, readmit(store, [scene(*each)[0].key]).tiles)


def follow(store: Store, tiles: set[Tile]) -> set[Tile]:
    return build(store, [(ALL, tile) for tile in tiles]) if mosaic_of(store) else set()


def mosaic_of(store: Store) -> Mosaic | None:
    try:
        return open_repository(store.objects)
    except StoreMissingError:
        return None


Act = Callable[[], set[Tile]]
"""Does something and returns the tiles that it brought to what they should be."""
KILLS = st.none() | st.integers(1, 60)
PICKS = st.integers(0, 999)
"""Which of what there is a rule takes, counted around.

What is drawn must not depend on the store: threads do not run alike twice, and Hypothesis would
then say that the test draws differently, and hide what failed. So no rule has a precondition; one
that finds nothing to act on does nothing.
"""


Thing = TypeVar("Thing")


def pick_from(things: Sequence[Thing], pick: int) -> Thing | None:
    """Return one of some things; None if there is none."""
    return things[pick % len(things)] if things else None


class AnyOrder(RuleBasedStateMachine):
    """A store and what each tile of its published version should be made of."""

    def location(self) -> str:
        return f"memory://{secrets.token_hex(8)}"

    @initialize(grid=st.sampled_from(GRIDS))
    def start(self, grid: MosaicGrid) -> None:
        self.store = make_store(self.location(), grid, ref=REF)
        self.tiles: Tiles = {}
        self.killed: list[Act] = []
        # What each version was made of when it was published: a version never changes.
        self.versions: dict[str, Tiles] = {}

    def withdrawn(self) -> dict[str, int]:
        records = tombstones(self.store).values()
        return {r.acquisition_id: int(r.version) for r in records if r.lifted is None}

    def members(self) -> frozenset[Scene]:
        """The scenes that should count by now, if all tiles followed."""
        return chosen(written(self.store), self.withdrawn())

    def wanted(self, tile: Tile) -> frozenset[Scene]:
        return frozenset(e for e in self.members() if tile in tiles_under(self.store.grid, e))

    def expected(self, built: Iterable[Tile]) -> Tiles:
        found = self.tiles | {tile: self.wanted(tile) for tile in built}
        return {tile: members for tile, members in found.items() if members}

    def attempt(self, act: Act, kill: int | None = None) -> None:
        """Do an act, perhaps killed at a step, and see what the tiles are made of then."""
        built: set[Tile] | None = None
        with killed_at(kill):
            built = act()
        found = tiles_of(self.store)
        if built is not None:
            assert found == self.expected(built)
        else:
            self.killed.append(act)
            for tile in found.keys() | self.tiles.keys():
                possible = (self.tiles.get(tile, frozenset()), self.wanted(tile))
                assert found.get(tile, frozenset()) in possible
        self.keep(found)

    def keep(self, found: Tiles) -> None:
        self.tiles = found
        mosaic = mosaic_of(self.store)
        if mosaic is None:
            return
        head = mosaic.head()
        if head is not None:
            self.versions[head.id] = found
        # Of what a roll-back leaves, the newest has a name.
        named = {v.id for v in (*mosaic.history(), *mosaic.tagged("").values())}
        self.versions = {id: tiles for id, tiles in self.versions.items() if id in named}

    @rule(each=st.sampled_from(SCENES), kill=KILLS)
    def arrives(self, each: Scene, kill: int | None) -> None:
        """Arrive, again or in another version, before or after that one."""
        self.attempt(partial(arrive, self.store, each), kill)

    @rule(each=st.sampled_from(SCENES))
    def arrives_and_waits(self, each: Scene) -> None:
        """Be mapped by a run that never came to its own build."""
        write(self.store, [each])

    @rule(pick=PICKS, kill=KILLS)
    def is_withdrawn(self, pick: int, kill: int | None) -> None:
        each = pick_from(sorted(written(self.store)), pick)
        if each is None:
            return
        self.attempt(partial(withdraw_one, self.store, each), kill)

    @rule(pick=PICKS, kill=KILLS)
    def is_readmitted(self, pick: int, kill: int | None) -> None:
        each = pick_from(sorted(self.withdrawn().items()), pick)
        if each is None:
            return

        def act() -> set[Tile]:
            records = tombstones(self.store).values()
            if each in {(record.acquisition_id, int(record.version)) for record in records}:
                return readmit_one(self.store, each)
            with pytest.raises(UsageError, match="is not withdrawn"):
                readmit_one(self.store, each)
            return set()

        self.attempt(act, kill)

    @rule(first=st.sampled_from(SCENES), second=st.sampled_from(SCENES))
    def is_overtaken(self, first: Scene, second: Scene) -> None:
        """Build while another one arrives, and be built, between the first tile and the commit."""
        built: set[Tile] = set()
        other = InTurn(lambda: built.update(arrive(self.store, second)))
        self.attempt(lambda: arrive(self.store, first, other) | built)

    @rule(pick=PICKS, first=st.sampled_from(SCENES), lifted=st.booleans())
    def records_change_during_a_build(self, pick: int, first: Scene, lifted: bool) -> None:
        """Build while somebody withdraws a scene, and has not come to the build that follows."""
        each = pick_from(sorted(written(self.store)), pick)
        if each is None:
            return
        key = scene(*each)[0].key

        def change() -> None:
            withdraw(self.store, [key])
            if lifted and self.withdrawn()[each[0]] == each[1]:
                readmit(self.store, [key])

        self.attempt(lambda: arrive(self.store, first, InTurn(change)))

    @rule(scenes=st.lists(st.sampled_from(SCENES), min_size=2, max_size=3))
    def builders_run_at_once(self, scenes: list[Scene]) -> None:
        """Map and build in threads, all at the same time."""
        ready = Barrier(len(scenes))

        def run(each: Scene) -> set[Tile]:
            ready.wait()
            return arrive(self.store, each)

        def act() -> set[Tile]:
            with ThreadPoolExecutor(len(scenes)) as pool:
                return set().union(*pool.map(run, scenes))

        self.attempt(act)

    @rule(kill=KILLS)
    def everything_is_built(self, kill: int | None) -> None:
        self.attempt(self.build_all, kill)

    def build_all(self) -> set[Tile]:
        period_tiles = all_period_tiles(self.store)
        if not self.members() and mosaic_of(self.store) is None:
            with pytest.raises(UsageError, match="no scene products"):
                Builder(self.store, InTurn())(period_tiles, why="test")
            return set()
        return build(self.store, period_tiles)

    @rule(pick=PICKS, kill=KILLS)
    def is_rolled_back(self, pick: int, kill: int | None) -> None:
        """Go back to a version, or forward to one that was left, unless it holds what may not."""
        target = pick_from([*self.versions], pick)
        if target is None:
            return
        mosaic = open_repository(self.store.objects)
        head = mosaic.head()
        assert head is not None
        if target == head.id:
            return
        gone = {(n, v) for n, v in SCENES if v <= self.withdrawn().get(n, 0)}
        held = set().union(*self.versions[target].values())
        version = mosaic.find(target)
        if held & gone & written(self.store):
            with pytest.raises(UsageError, match="readmit it"):
                refuse_withdrawn(self.store, mosaic, version)
            return
        refuse_withdrawn(self.store, mosaic, version)
        with killed_at(kill):
            roll_back(mosaic, target)
        found = tiles_of(self.store)
        possible = [self.versions[target]] + ([self.tiles] if kill else [])
        assert found in possible
        self.keep(found)

    @rule(keep=st.integers(1, 3), kill=KILLS)
    def is_pruned(self, keep: int, kill: int | None) -> None:
        """Forget versions, and products that count no more and that no kept version names."""
        if not self.versions:
            return
        later = datetime.now(UTC) + timedelta(days=60)
        mosaic, members = open_repository(self.store.objects), self.members()
        with killed_at(kill):
            prune(self.store, mosaic, keep=keep, now=later)
        assert self.members() == members
        assert tiles_of(self.store) == self.tiles
        self.keep(self.tiles)

    @rule()
    def is_resumed(self) -> None:
        """Repeat what was killed."""
        if self.killed:
            self.attempt(self.killed.pop(0))

    @invariant()
    def a_version_that_is_kept_is_made_of_what_it_was(self) -> None:
        for id, tiles in self.versions.items():
            assert tiles_of(self.store, id) == tiles

    def teardown(self) -> None:
        while self.killed:
            self.is_resumed()
        if mosaic_of(self.store) is None and not self.members():
            return
        self.attempt(self.build_all)
        assert_clean(self.store, self.members())


# Threads do not run alike twice, so that what fails cannot be made smaller.
HURRIED = settings(
    deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


class TestAnyOrder(AnyOrder.TestCase):
    settings = settings(HURRIED, max_examples=5, stateful_step_count=12)


@pytest.mark.slow
class TestAnyOrderDeeply(AnyOrder.TestCase):
    settings = settings(HURRIED, max_examples=examples(25, 300), stateful_step_count=18)


class AnyOrderInABucket(AnyOrder):
    def location(self) -> str:
        return f"s3://salt/{secrets.token_hex(8)}"


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
class TestAnyOrderInABucket(AnyOrderInABucket.TestCase):
    settings = settings(HURRIED, max_examples=examples(3, 300), stateful_step_count=14)
