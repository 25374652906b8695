"""Drivers in processes of their own that meet at barriers, and readers beside them."""

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import icechunk

from deepsalt.errors import OvertakenError
from deepsalt.objects import Objects
from deepsalt.versions import Build, Mosaic, open_mosaic, open_repository, roll_back, storage
from deepsalt.versions.commit import Done, PeriodTile, Work
from deepsalt.versions.repository import MAIN
from tests.versions.world import PX, compose, period_tile_of, product, put, wanted_of

LONG_S = 120.0


@dataclass
class Meeting:
    """Lets a driver wait for the other once a round, before its first commit of the round.

    Where commits are excluded by a lock they meet before it; in a bucket they meet again when both
    have a session open, so that one of the two commits must be refused.
    """

    mosaic: Mosaic
    barrier: Barrier
    inside: bool = True
    armed: bool = False
    began: str = ""
    refused: int = 0
    """Commits that Icechunk refused."""
    overtaken: int = 0
    """Commits on top of another head than the one the work began with."""
    dropped: int = 0
    """Tiles that were composed again."""
    blind: set[str] = field(default_factory=set)

    def run(self, work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        if self.armed:
            self.began = self.mosaic.repository.lookup_branch(MAIN)
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
            moved = session.snapshot_id != self.began
            try:
                id = original(session, *args, **options)
            except icechunk.ConflictError:
                self.refused += 1
                raise
            self.overtaken += moved
            return id

        icechunk.Session.commit = commit  # type: ignore[method-assign]


def products_of_round(number: int, same_tile_every: int) -> tuple[str, str]:
    """What each of the two drivers adds: now and then on one tile, in different shards."""
    if number % same_tile_every == 0:
        return product(number, 2, shard=0), product(number, 3, shard=3)
    return product(number, 2), product(number, 3, y=1)


def build_at_once(
    me: int, queue: Any, barrier: Barrier, where: str, *, rounds: int, every: int
) -> None:
    """Add a product per round and build its tile at the same time as the other driver."""
    mosaic = open_repository(Objects.of(where))
    meeting = Meeting(mosaic, barrier, inside=not mosaic.objects.is_local)
    meeting.watch_commits()
    listed = wanted_of(mosaic)

    def wanted(period_tiles: Sequence[PeriodTile]) -> Mapping[PeriodTile, Collection[str]]:
        return {
            period_tile: {*names} - meeting.blind
            for period_tile, names in listed(period_tiles).items()
        }

    build = Build(mosaic, wanted, compose, run=meeting.run)
    for number in range(rounds):
        pair = products_of_round(number, every)
        put(mosaic, pair[me])
        # As if the other's product had come after this driver had looked.
        meeting.blind = {pair[1 - me]}
        barrier.wait(LONG_S)
        meeting.armed = True
        build([period_tile_of(pair[me])])
        barrier.wait(LONG_S)
    queue.put((me, (meeting.refused, meeting.overtaken, meeting.dropped)))


def name_of(number: int, me: int) -> str:
    """A tile for each driver and round."""
    return product(number % 40, 1 + me, y=me + 2 * (number // 40))


def commit_at_once(
    me: int, queue: Any, barrier: Barrier, where: str, *, rounds: int, locked: bool
) -> None:
    """Commit tiles of different places; without the lock until a commit is lost.

    Then both have a session open before the first commits.
    """
    if not locked:
        storage.locked = lambda path: nullcontext()  # type: ignore[assignment]
    mosaic = open_repository(Objects.of(where))
    meeting = Meeting(mosaic, barrier, inside=not locked)
    meeting.watch_commits()
    build = Build(mosaic, wanted_of(mosaic), compose, run=meeting.run)
    for number in range(rounds):
        name = name_of(number, me)
        put(mosaic, name)
        meeting.armed = True
        build([period_tile_of(name)])
        barrier.wait(LONG_S)
        kept = {name for version in mosaic.history() for name in version.added}
        barrier.wait(LONG_S)
        if not {name_of(number, 0), name_of(number, 1)} <= kept:
            break
    queue.put((me, (number + 1, len(kept))))


def roll_back_beside_commits(
    me: int, queue: Any, barrier: Barrier, where: str, *, rounds: int
) -> None:
    """One commits, the other rolls back, and neither moves the branch before both are about to.

    Tell the versions that each saw published, and how often it was refused.
    """
    mosaic = open_repository(Objects.of(where))
    meeting = Meeting(mosaic, barrier)
    seen: list[str] = []
    if me == 0:
        meeting.watch_commits()
        # They meet when both have a session open, not before.
        build = Build(mosaic, wanted_of(mosaic), compose)
        for number in range(rounds):
            name = product(number % 20, 1 + number, y=number // 20)
            put(mosaic, name)
            barrier.wait(LONG_S)
            meeting.armed = True
            seen += [version.id for version in build([period_tile_of(name)]).versions]
            barrier.wait(LONG_S)
        queue.put((me, (seen, meeting.refused)))
        return
    original, refused, turns = icechunk.Repository.reset_branch, 0, itertools.count()

    def reset(repository: icechunk.Repository, *args: Any, **options: Any) -> None:
        barrier.wait(LONG_S)
        # A commit takes longer than a reset; now and then it shall win.
        time.sleep(0.3 * (next(turns) % 3 == 1))
        original(repository, *args, **options)

    icechunk.Repository.reset_branch = reset  # type: ignore[method-assign]
    for _ in range(rounds):
        head = mosaic.head()
        assert head is not None
        seen.append(head.id)
        barrier.wait(LONG_S)
        try:
            roll_back(mosaic)
        except OvertakenError:
            refused += 1
        barrier.wait(LONG_S)
    queue.put((me, (seen, refused)))


def read_until(me: int, queue: Any, over: Event, where: str, *, tiles: int) -> None:
    """Read corners of a row of tiles, a tile at a time, again and again; tell what was seen."""
    seen: list[tuple[str, frozenset[float]]] = []
    while not over.is_set() or not seen:
        # Every other time by a repository that was opened long before.
        if len(seen) % 2 == 0:
            mosaic = open_repository(Objects.of(where))
        ds = open_mosaic(mosaic, chunks=None)
        corners = [(row, 2 * PX * x + row) for x in range(tiles) for row in (0, PX - 1)]
        values = frozenset(float(ds.salinity[0, row, column].values) for row, column in corners)
        seen.append((ds.attrs["version_id"], values))
    queue.put((me, seen))
