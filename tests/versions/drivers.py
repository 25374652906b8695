"""Drivers in processes of their own that meet at barriers, for the races of `test_races.py`."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import icechunk

from deepsalt.errors import OvertakenError
from deepsalt.grid import Tile
from deepsalt.store.periods import Period
from deepsalt.versions import Build, open_repository, roll_back, storage
from deepsalt.versions.commit import Done, Work
from tests.versions.world import FolderRecords, compose, place_of, product, put, wanted_of

LONG_S = 120.0


@dataclass
class Meeting:
    """Lets a driver wait for the other once a round, before its first commit of the round.

    Where commits are excluded by a lock they meet before it; in a bucket they meet again when both
    have a session open, so that one of the two commits must be refused.
    """

    barrier: Barrier
    inside: bool
    armed: bool = False
    conflicts: int = 0
    dropped: int = 0
    blind: set[str] = field(default_factory=set)

    def run(self, work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        done = [work(item) for item in items]
        if self.armed:
            self.barrier.wait(LONG_S)
            self.blind.clear()
            self.armed = self.inside
        else:
            self.dropped += len(items)
        return done

    def watch_commits(self) -> None:
        original = icechunk.Session.commit

        def commit(session: icechunk.Session, *args: Any, **options: Any) -> str:
            if self.armed:
                self.armed = False
                self.barrier.wait(LONG_S)
            try:
                return original(session, *args, **options)
            except icechunk.ConflictError:
                self.conflicts += 1
                raise

        icechunk.Session.commit = commit  # type: ignore[method-assign]


def products_of_round(number: int, same_tile_every: int) -> tuple[str, str]:
    """What each of the two drivers adds: now and then on one tile, in different shards."""
    if number % same_tile_every == 0:
        return product(number, 2, shard=0), product(number, 3, shard=3)
    return product(number, 2), product(number, 3, y=1)


def build_at_once(
    me: int, barrier: Barrier, queue: Any, place: str, folder: Path, *, rounds: int, every: int
) -> None:
    """Add a product per round and build its tile at the same time as the other driver."""
    records = FolderRecords(folder)
    mosaic = open_repository(place)
    meeting = Meeting(barrier, inside=place.startswith("s3"))
    meeting.watch_commits()
    listed = wanted_of(records)

    def wanted(period: Period, tile: Tile) -> set[str]:
        return listed(period, tile) - meeting.blind

    build = Build(mosaic, records, wanted, compose, run=meeting.run)
    for number in range(rounds):
        pair = products_of_round(number, every)
        put(records, pair[me])
        # As if the other's product had come after this driver had looked.
        meeting.blind = {pair[1 - me]}
        barrier.wait(LONG_S)
        meeting.armed = True
        build([place_of(pair[me])])
        barrier.wait(LONG_S)
    queue.put((me, meeting.conflicts, meeting.dropped))


def name_of(number: int, me: int) -> str:
    """A tile for each driver and round."""
    return product(number % 40, 1 + me, y=me + 2 * (number // 40))


def commit_at_once(
    me: int, barrier: Barrier, queue: Any, place: str, folder: Path, *, rounds: int, locked: bool
) -> None:
    """Commit tiles of different places; without the lock until a commit is lost.

    Then both have a session open before the first commits.
    """
    if not locked:
        storage._locked = lambda folder: nullcontext()  # type: ignore[assignment]
    records = FolderRecords(folder)
    meeting = Meeting(barrier, inside=not locked)
    meeting.watch_commits()
    build = Build(open_repository(place), records, wanted_of(records), compose, run=meeting.run)
    for number in range(rounds):
        name = name_of(number, me)
        put(records, name)
        meeting.armed = True
        build([place_of(name)])
        barrier.wait(LONG_S)
        kept = {name for version in build.mosaic.history() for name in version.added}
        barrier.wait(LONG_S)
        if not {name_of(number, 0), name_of(number, 1)} <= kept:
            break
    queue.put((me, number + 1, len(kept)))


def roll_back_beside_commits(
    me: int, barrier: Barrier, queue: Any, place: str, folder: Path, *, rounds: int
) -> None:
    """One commits, the other rolls back at the same moment; tell what each was told."""
    records = FolderRecords(folder)
    mosaic = open_repository(place)
    meeting = Meeting(barrier, inside=False)
    build = Build(mosaic, records, wanted_of(records), compose, run=meeting.run)
    told: list[tuple[str, str]] = []
    for number in range(rounds):
        name = product(number % 20, 1 + number, y=number // 20)
        barrier.wait(LONG_S)
        if me == 0:
            put(records, name)
            meeting.armed = True
            told += [("commit", version.id) for version in build([place_of(name)]).versions]
        else:
            head = mosaic.head()
            assert head is not None
            barrier.wait(LONG_S)
            try:
                told.append(("from", head.id) if roll_back(mosaic) else ("", ""))
            except OvertakenError:
                told.append(("overtaken", head.id))
        barrier.wait(LONG_S)
    queue.put((me, told))
