"""Every scene counts exactly once, whatever happens in whatever order.

A store lives through arrivals, duplicates, reprocessing, withdrawals, rollbacks, pruning and
kills; what it ends in equals, bit for bit, what one clean run over the final set makes.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from deepsalt.mosaic.sets import published_sets
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deepsalt.errors import UsageError
from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import readmit, readmitted_sets, united_sets, withdraw
from deepsalt.store import (
    Store,
    complete_versions,
    current_version,
    prune,
    read_version,
    tombstone,
    tombstones,
)
from tests.store.builders import build, make_store, roll_back
from tests.store.crash import killed_at
from tests.store.scenarios import (
    ALL,
    GRIDS,
    REF,
    ROOT,
    SCENES,
    Scene,
    assert_clean,
    chosen,
    published_scenes,
    scene,
    scenes_of,
    write,
)


def arrive(store: Store, *scenes: Scene) -> None:
    """Do what a run does with scenes: map those that are not withdrawn, add them."""
    wanted = []
    for each in scenes:
        acq, _ = scene(*each)
        record = tombstone(store, (acq.collection, acq.acquisition_id))
        if record is None or not record.covers(acq.version):
            wanted.append(each)
    names = write(store, wanted)
    if names:
        build(store, united_sets(store, ALL, names))


def withdraw_one(store: Store, each: Scene) -> None:
    withdraw(store, [scene(*each)[0].key])
    if current_version(store) is not None:
        build(store, published_sets(store))


def readmit_one(store: Store, each: Scene) -> None:
    back = readmit(store, [scene(*each)[0].key])
    if current_version(store) is not None:
        build(store, readmitted_sets(store, back))


def refusing(act: Callable[[], None], refusal: Callable[[], str]) -> Callable[[], None]:
    """Return the act with what it is refused for then: what was killed is repeated later."""

    def done() -> None:
        with pytest.raises(UsageError, match=why) if (why := refusal()) else nullcontext():
            act()

    return done


Kill = tuple[int, bool]
"""Step on the file system that does not happen any more, and whether its file is left torn."""
KILLS = st.none() | st.tuples(st.integers(1, 450), st.booleans())


class AnyOrder(RuleBasedStateMachine):
    """A store and what it should hold: what was published, what is withdrawn, what was killed."""

    @initialize(grid=st.sampled_from(GRIDS))
    def start(self, grid: MosaicGrid) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=ROOT))
        self.store = make_store(self.folder / "store", grid, ref=REF)
        self.members: frozenset[Scene] = frozenset()
        self.killed: list[Callable[[], None]] = []

    def withdrawn(self) -> dict[str, int]:
        records = tombstones(self.store).values()
        return {r.acquisition_id: int(r.version) for r in records if r.lifted is None}

    def written(self) -> frozenset[Scene]:
        found = self.store.scenes.glob("*.zarr/complete.json")
        return scenes_of([path.parent.stem for path in found])

    def attempt(
        self,
        act: Callable[[], None],
        after: Callable[[], frozenset[Scene]],
        kill: Kill | None,
    ) -> None:
        """Do an act, perhaps killed at a step, and see that the mosaic is the old or the new."""
        before, finished = self.members, False
        step, torn = kill or (10**9, False)
        with killed_at(self.store.path, step, torn=torn):
            act()
            finished = True
        # Asked when it is done, from the set before: the records tell what is withdrawn by now.
        expected = after()
        self.members = published_scenes(self.store)
        if finished:
            assert self.members == expected
        else:
            self.killed.append(partial(self.attempt, act, after, None))
            assert self.members in {before, expected}

    @rule(each=st.sampled_from(SCENES), kill=KILLS)
    def arrives(self, each: Scene, kill: Kill | None) -> None:
        """Arrive, again or in another version, before or after that one."""

        def after() -> frozenset[Scene]:
            gone = each[1] <= self.withdrawn().get(each[0], 0)
            return self.members if gone else chosen({*self.members, each}, self.withdrawn())

        self.attempt(partial(arrive, self.store, each), after, kill)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), kill=KILLS)
    def is_withdrawn(self, data: st.DataObject, kill: Kill | None) -> None:
        each = data.draw(st.sampled_from(sorted(self.written())))

        def refusal() -> str:
            gone = self.withdrawn()
            gone[each[0]] = max(each[1], gone.get(each[0], 0))
            return "would be empty" if self.members and not chosen(self.members, gone) else ""

        def after() -> frozenset[Scene]:
            return self.members if refusal() else chosen(self.members, self.withdrawn())

        self.attempt(refusing(partial(withdraw_one, self.store, each), refusal), after, kill)

    @precondition(lambda self: self.withdrawn())
    @rule(data=st.data(), kill=KILLS)
    def is_readmitted(self, data: st.DataObject, kill: Kill | None) -> None:
        each = data.draw(st.sampled_from(sorted(self.withdrawn().items())))

        def refusal() -> str:
            records = tombstones(self.store).values()
            known = {(record.acquisition_id, int(record.version)) for record in records}
            return "" if each in known else "is not withdrawn"

        def after() -> frozenset[Scene]:
            if refusal():
                return self.members
            back = {other for other in self.written() if other[0] == each[0]}
            return chosen({*self.members, *back}, self.withdrawn())

        self.attempt(refusing(partial(readmit_one, self.store, each), refusal), after, kill)

    @precondition(lambda self: len(complete_versions(self.store)) > 1 and self.members)
    @rule(data=st.data(), kill=KILLS)
    def is_rolled_back(self, data: st.DataObject, kill: Kill | None) -> None:
        versions = [version.id for version in complete_versions(self.store)]
        target = data.draw(st.sampled_from(versions))
        held = scenes_of(read_version(self.store, target).products)

        def refusal() -> str:
            if target not in {version.id for version in complete_versions(self.store)}:
                return "does not keep"
            return "withdrawn" if held != chosen(held, self.withdrawn()) else ""

        act = refusing(partial(roll_back, self.store, target), refusal)
        self.attempt(act, lambda: self.members if refusal() else held, kill)

    @rule(keep=st.integers(1, 3), kill=KILLS)
    def is_pruned(self, keep: int, kill: Kill | None) -> None:
        def act() -> None:
            prune(self.store, keep=keep)

        self.attempt(act, lambda: self.members, kill)

    @precondition(lambda self: self.killed)
    @rule()
    def is_resumed(self) -> None:
        """Repeat what was killed."""
        self.killed.pop(0)()

    @invariant()
    def the_published_set_is_the_expected_one(self) -> None:
        assert published_scenes(self.store) == self.members

    def teardown(self) -> None:
        try:
            while self.killed:
                self.is_resumed()
            if self.members:
                assert_clean(self.store, self.members, self.folder)
        finally:
            shutil.rmtree(self.folder)


class TestAnyOrder(AnyOrder.TestCase):
    settings = settings(
        max_examples=5,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
class TestAnyOrderDeeply(AnyOrder.TestCase):
    settings = settings(
        max_examples=60,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
