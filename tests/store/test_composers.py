"""Two composers of one store, step by step in any order, over a store that changes under them.

Each runs `flows.pipeline.run` as the command does, up to the build; the build then goes on tile by
tile while the other one tries, scenes arrive late, are withdrawn or quarantined, and one dies.
"""

import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deepsalt.mosaic.sets import published_sets
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from catalog.items import parse_item, to_item
from catalog.local import add_items
from deepsalt.errors import FormatError, StoreError, UsageError
from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import Build, begin_build, compose_tile, united_sets, withdraw
from deepsalt.store import Store, tombstones
from flows.config import MosaicConfig, RunConfig, SceneConfig, Selection
from flows.pipeline import RunResult, run
from flows.stage1 import SceneResult
from flows.stage2 import MosaicResult
from tests.store.builders import build, make_store
from tests.store.crash import killed_at
from tests.store.machines import elsewhere
from tests.store.scenarios import (
    ALL,
    GRIDS,
    PRODUCTS,
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

COMPOSERS = st.sampled_from(["one", "two"])


class Composers(RuleBasedStateMachine):
    """A store, its open builds by composer, and what the operators asked for."""

    @initialize(grid=st.sampled_from(GRIDS))
    def start(self, grid: MosaicGrid) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=ROOT))
        self.store = make_store(self.folder / "store", grid, ref=REF)
        self.open: dict[str, tuple[ExitStack, Build, list[int], frozenset[Scene]]] = {}
        self.ordered: set[Scene] = set()
        self.broken: set[Scene] = set()
        self.members: frozenset[Scene] = frozenset()

    def catalogue(self, each: Scene) -> Path:
        folder = self.folder / f"catalogue-{each[0]}-{each[1]}"
        if not folder.exists():
            add_items(folder, [to_item(scene(*each)[0])])
        return folder

    def process(self, item: dict[str, Any], out: str, config: SceneConfig) -> SceneResult:
        """Stage 1 without a model: seeded layers, or the error of a scene that cannot work."""
        acq = parse_item(item)
        each = acq.acquisition_id, int(acq.version)
        if each in self.broken:
            raise FormatError(f"scene {acq.scene_id} has no METADATA.XML")
        (name,) = write(Store.open(out), [each])
        return SceneResult(scene=acq.key, status="written", product=name)

    def begin(self, who: str, out: str, config: MosaicConfig) -> MosaicResult:
        """Stage 2 up to its first tile; the rules go on with it."""
        store = Store.open(out)
        stack = ExitStack()
        sets = partial(united_sets, store, ALL, config.products or ())
        plan = stack.enter_context(begin_build(store, sets, why="run"))
        asked = scenes_of(config.products or ())
        members = chosen({*self.members, *asked}, self.withdrawn())
        self.open[who] = (stack, plan, list(range(len(plan.tasks))), members)
        return MosaicResult(plan.version, len(members), len(plan.tiles), len(plan.tasks))

    def is_mapped(self, each: Scene) -> bool:
        return (self.store.scenes / f"{PRODUCTS[each]}.zarr").exists()

    def withdrawn(self) -> dict[str, int]:
        records = tombstones(self.store).values()
        return {record.acquisition_id: int(record.version) for record in records}

    def run(self, who: str, each: Scene, *, retry: bool = False) -> RunResult:
        config = RunConfig(
            selection=Selection(catalogue=str(self.catalogue(each)), max_quality=2),
            out=self.store.path,
            retry_quarantined=retry,
        )
        return run(config, process=self.process, build=partial(self.begin, who))

    @rule(who=COMPOSERS, each=st.sampled_from(SCENES), retry=st.booleans())
    def begins(self, who: str, each: Scene, retry: bool) -> None:
        """Map a scene, or find it quarantined or withdrawn; then begin a build, or be refused."""
        if who in self.open:
            return
        self.ordered.add(each)
        name, version = each
        key = scene(*each)[0].key
        if version <= self.withdrawn().get(name, 0):
            expected = "withdrawn"
        elif each in self.broken or (key in self.store.quarantined() and not retry):
            expected = "quarantined"
        else:
            expected = "written"
        if expected == "written" and self.open:
            with pytest.raises(StoreError, match="is building in this store"):
                self.run(who, each, retry=retry)
            return
        result = self.run(who, each, retry=retry)
        assert [one.status for one in result.scenes] == [expected]
        assert (who in self.open) == (expected == "written")

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def composes(self, data: st.DataObject) -> None:
        """Compose one of the tiles that are left, any; again, perhaps."""
        (_, plan, left, _) = next(iter(self.open.values()))
        if plan.tasks:
            index = data.draw(st.integers(0, len(plan.tasks) - 1))
            compose_tile(plan.tasks[index])
            if index in left:
                left.remove(index)

    @precondition(lambda self: self.open)
    @rule(kill=st.none() | st.tuples(st.integers(1, 40), st.booleans()))
    def publishes(self, kill: tuple[int, bool] | None) -> None:
        """Publish, refused while tiles are left; or die on the way."""
        who, (stack, plan, left, members) = next(iter(self.open.items()))
        if left:
            with pytest.raises(StoreError, match="is not done"):
                plan.publish()
            return
        step, torn = kill or (10**9, False)
        with killed_at(self.store.path, step, torn=torn):
            plan.publish()
        del self.open[who]
        stack.close()
        possible = {members} if kill is None else {members, self.members}
        assert published_scenes(self.store) in possible
        self.members = published_scenes(self.store)

    @precondition(lambda self: self.open)
    @rule()
    def dies(self) -> None:
        """Die between two tiles: the operating system drops the lock, the tiles stay."""
        who = next(iter(self.open))
        self.open.pop(who)[0].close()

    @precondition(lambda self: self.open)
    @rule(each=st.sampled_from(SCENES))
    def sleeps_and_is_taken_over(self, each: Scene) -> None:
        """Be suspended while another machine builds with a further scene; wake, and be refused."""
        who, (stack, plan, _, _) = next(iter(self.open.items()))
        self.arrives_late(each)
        asked = [each] if self.is_mapped(each) else []
        members = chosen({*self.members, *asked}, self.withdrawn())
        if not members:
            return
        with elsewhere(waits_s=0.0):
            build(self.store, united_sets(self.store, ALL, [PRODUCTS[one] for one in asked]))
        self.members = members
        for task in plan.tasks[:1]:
            with pytest.raises(StoreError, match="taken over"):
                compose_tile(task)
        with pytest.raises(StoreError, match="taken over"):
            plan.publish()
        self.open.pop(who)
        stack.close()

    @rule(each=st.sampled_from(SCENES))
    def arrives_late(self, each: Scene) -> None:
        """Be mapped while others build, by a run that never came to its own build."""
        name, version = each
        if each not in self.broken and version > self.withdrawn().get(name, 0):
            self.ordered.add(each)
            write(self.store, [each])

    @rule(each=st.sampled_from(SCENES))
    def breaks_or_mends(self, each: Scene) -> None:
        """Let the provider's files of a scene be damaged or replaced, before it was mapped."""
        if not self.is_mapped(each):
            self.broken ^= {each}

    @rule(each=st.sampled_from(SCENES))
    def is_withdrawn(self, each: Scene) -> None:
        """Be withdrawn: refused during a build, unknown, or the last; else at once."""
        gone = self.withdrawn()
        gone[each[0]] = max(each[1], gone.get(each[0], 0))
        key = scene(*each)[0].key
        if self.open:
            with pytest.raises(StoreError, match="is building"):
                withdraw(self.store, [key])
        elif not self.is_mapped(each):
            with pytest.raises(UsageError, match="has no scene"):
                withdraw(self.store, [key])
        elif self.members and not chosen(self.members, gone):
            with pytest.raises(UsageError, match="would be empty"):
                withdraw(self.store, [key])
        else:
            withdraw(self.store, [key])
            if self.members:
                build(self.store, published_sets(self.store))
                self.members = chosen(self.members, gone)

    @invariant()
    def readers_see_the_expected_set(self) -> None:
        assert published_scenes(self.store) == self.members

    def teardown(self) -> None:
        try:
            while self.open:
                self.dies()
            for each in sorted(self.ordered):
                self.begins("one", each, retry=True)
                if self.open:
                    stack, plan, _, members = self.open.pop("one")
                    for task in reversed(plan.tasks):
                        compose_tile(task)
                    plan.publish()
                    stack.close()
                    self.members = members
            assert self.members == chosen(self.ordered - self.broken, self.withdrawn())
            if self.members:
                assert_clean(self.store, self.members, self.folder)
        finally:
            shutil.rmtree(self.folder)


class TestComposers(Composers.TestCase):
    settings = settings(
        max_examples=5,
        stateful_step_count=16,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
class TestComposersDeeply(Composers.TestCase):
    settings = settings(
        max_examples=150,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
