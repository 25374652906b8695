"""Any order of arrivals, withdrawals, builds, crashes and prunes ends as one clean build."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from deepsalt.errors import OvertakenError, StoreMissingError, UsageError
from deepsalt.versions import Mosaic, held, prune, publish, roll_back
from deepsalt.versions.commit import Done, Work
from tests.campaign import examples
from tests.versions.world import (
    build_of,
    names_of,
    new,
    period_tile_of,
    pixels_of,
    product,
    put,
    withdraw,
)

NAMES = [
    product(0, 1),
    product(0, 2, shard=3),
    product(0, 4),
    product(1, 8, shard=1),
    product(1, 16),
    product(2, 32, shard=2),
]
PERIOD_TILES = sorted({period_tile_of(name) for name in NAMES})


class CrashError(Exception):
    pass


def contents(mosaic: Mosaic, version: str | None = None) -> dict[str, np.ndarray] | None:
    """What a version holds; None for an empty mosaic."""
    try:
        return pixels_of(mosaic, version)
    except StoreMissingError:
        return None


def assert_same(found: dict[str, np.ndarray] | None, wanted: dict[str, np.ndarray] | None) -> None:
    assert (found is None) == (wanted is None)
    for name, values in (wanted or {}).items():
        np.testing.assert_array_equal((found or {})[name], values, err_msg=name)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.mosaic = new()
        # What each version held when it was made: a version never changes.
        self.made: dict[str, dict[str, np.ndarray] | None] = {}

    def note(self) -> None:
        head = self.mosaic.head()
        if head is not None:
            self.made.setdefault(head.id, contents(self.mosaic))

    def check_versions(self) -> None:
        """Every version that is kept is what it was."""
        for version in self.mosaic.history():
            if version.id in self.made:
                assert_same(contents(self.mosaic, version.id), self.made[version.id])

    @rule(name=st.sampled_from(NAMES))
    def arrives(self, name: str) -> None:
        put(self.mosaic, name)

    @rule(name=st.sampled_from(NAMES))
    def is_withdrawn(self, name: str) -> None:
        withdraw(self.mosaic, name)

    @rule()
    def everything_is_built(self) -> None:
        build_of(self.mosaic)(PERIOD_TILES)
        self.note()

    @rule(index=st.integers(0, len(PERIOD_TILES) - 1))
    def a_tile_is_built(self, index: int) -> None:
        build_of(self.mosaic)(PERIOD_TILES[index : index + 1])
        self.note()

    @rule(name=st.sampled_from(NAMES))
    def a_build_is_overtaken_by_the_same_build(self, name: str) -> None:
        def run(work: type, items: Sequence[Work]) -> list[Done]:
            done = [work(item) for item in items]
            put(self.mosaic, name)
            build_of(self.mosaic)(PERIOD_TILES)
            return done

        build_of(self.mosaic, run=run)(PERIOD_TILES)
        self.note()

    @rule(after=st.integers(0, 2))
    def a_build_crashes(self, after: int) -> None:
        def run(work: type, items: Sequence[Work]) -> list[Done]:
            done = [work(item) for item in items[:after]]
            if len(items) > after:
                raise CrashError
            return done

        with suppress(CrashError):
            build_of(self.mosaic, run=run)(PERIOD_TILES)
        self.note()

    @rule()
    def a_build_is_held(self) -> None:
        build_of(self.mosaic)(PERIOD_TILES, hold=True)

    @precondition(lambda self: held(self.mosaic))
    @rule()
    def what_is_held_is_published(self) -> None:
        try:
            publish(self.mosaic, held(self.mosaic)[-1].id)
        except OvertakenError:
            return
        self.note()

    @rule()
    def it_is_rolled_back(self) -> None:
        try:
            roll_back(self.mosaic)
        except UsageError:
            return
        self.note()

    @rule(keep=st.integers(1, 3))
    def it_is_pruned(self, keep: int) -> None:
        later = datetime.now(UTC) + timedelta(days=30)
        prune(self.mosaic, keep=keep, now=later)
        self.check_versions()

    def teardown(self) -> None:
        self.check_versions()
        build_of(self.mosaic)(PERIOD_TILES)
        clean = new()
        put(clean, *names_of(self.mosaic))
        build_of(clean)(PERIOD_TILES)
        assert_same(contents(self.mosaic), contents(clean))
        one, other = self.mosaic.head(), clean.head()
        if one is not None and other is not None:
            assert one.totals.pixels == other.totals.pixels
            assert one.totals.estimated == other.totals.estimated
            assert dict(one.totals.by_flag) == dict(other.totals.by_flag)


AnyOrderTest = AnyOrder.TestCase
AnyOrderTest.settings = settings(
    max_examples=8,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class LongOrder(AnyOrder):
    pass


LongOrderTest = pytest.mark.slow(LongOrder.TestCase)
LongOrderTest.settings = settings(
    max_examples=examples(15, 300),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
