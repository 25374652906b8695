"""Builds: outdated tiles are composed anywhere and committed together.

Any number of drivers may build at once, on any machines. A tile is a function of the products over
it, and its digest identifies them. Workers write tiles into forks of a session. To commit, the
driver opens a session at the head and merges the forks whose tile still has the digest that it had
when the work started; a tile that another driver committed meanwhile is examined again. If a
further commit comes between that look and this commit, Icechunk refuses it, and the driver repeats
the steps at the new head. So nothing is lost or duplicated; the second driver does the extra work.

There is no rebase: it would take a commit's totals from the wrong parent, and after a roll-back it
fails with a storage error. Merging a fork into a later session is sound because the digests are
compared.
"""

import logging
import pickle
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import zarr
from icechunk import ConflictError, IcechunkError, IcechunkStore, Session
from icechunk.session import ForkSession
from numpy.typing import NDArray
from zarr.errors import GroupNotFoundError

from deepsalt.errors import StoreAccessError, StoreAwayError, StoreError
from deepsalt.grid import Tile
from deepsalt.objects import Objects
from deepsalt.objects.sentences import sentence
from deepsalt.store.arrays import Array
from deepsalt.store.periods import Period
from deepsalt.versions.arrays import (
    EPOCH,
    NO_DAY,
    Job,
    read_counts,
    read_digests,
    read_products,
)
from deepsalt.versions.records import BuildRecord, building, host_name, live_builds, slots_of
from deepsalt.versions.repository import MAIN, SHORT, Mosaic, Version, metadata
from deepsalt.versions.storage import PREFIX, open_storage

logger = logging.getLogger(__name__)

_OUT_OF_TIME = "invalid snapshot timestamp ordering"
"""Icechunk's message for a commit that seems older than its parent."""
_CLOCK_WAIT_S = 60.0

HELD = "held-"
"""Prefix of the tags of held versions."""
HELD_FACT = "held"
"""Fact of a version that the judge held: why."""

PeriodTile = tuple[Period, Tile]
"""A tile of a period."""
Days = tuple[date, date]
_NOT_KNOWN: Days = (EPOCH, EPOCH)
"""Days of a period without limits before any are known; no scene is as old."""


@dataclass(frozen=True, slots=True)
class Done:
    """A tile that was composed and is not committed yet.

    Parameters
    ----------
    job
        The request.
    note
        What the composer tells the driver: a small value.
    fork
        The written data: a session, or its compressed pickle.
    """

    job: Job
    note: Any
    fork: ForkSession | bytes = field(repr=False)


Compose = Callable[[IcechunkStore, Job], Any]
"""Composes a tile of `Job.products`, which may be empty, writes it with `write_tile`, and returns a
small value for the driver."""
Work = tuple[ForkSession | bytes, Job]


class Run(Protocol):
    """Runs a call per item somewhere; yields results in any order."""

    def __call__(self, work: Callable[[Work], Done], items: Sequence[Work]) -> Iterable[Done]:
        """Return the results."""


@dataclass(frozen=True, slots=True)
class Built:
    """Outcome of a build.

    Parameters
    ----------
    versions
        Versions that it committed, in order; empty if every tile was up to date.
    held
        Whether the last is held until `deepsalt.versions.change.publish`.
    why_held
        Why the judge held it; empty if it did not.
    composed
        Tiles that were composed or emptied, including those that others committed first.
    tiles
        Committed tiles: the request, and what the composer told.
    """

    versions: tuple[Version, ...]
    held: bool
    composed: int
    tiles: tuple[Done, ...]
    why_held: str = ""


def in_turn(work: Callable[[Work], Done], items: Sequence[Work]) -> Iterable[Done]:
    """Do the work in this thread, one item after the other."""
    return map(work, items)


def accept(done: Sequence[Done]) -> str:
    """Accept all tiles."""
    return ""


@dataclass(frozen=True)
class Build:
    """Updates tiles.

    Parameters
    ----------
    mosaic
        The mosaic.
    wanted
        Returns the names of the products that tiles need now, from records alone, so that every
        driver gets the same answer; tiles without products may be left out.
    compose
        Composes a tile; picklable if `run` needs it.
    run
        Runs the work. Default: tile by tile in this thread.
    judge
        Checks the tiles of a commit beforehand; if it raises, the build ends without publishing
        more. Returns why the version is held; empty to publish it.
    days
        First and last day of the scenes of a call, by period, for the coordinates of the period
        without limits.
    simulated
        Whether a product was simulated, by its name.
    why
        What the history says.
    facts
        Further facts for the history, as JSON values, from the previous version and the tiles in
        the commit.
    """

    mosaic: Mosaic
    wanted: Callable[[Sequence[PeriodTile]], Mapping[PeriodTile, Collection[str]]]
    compose: Compose
    run: Run = in_turn
    judge: Callable[[Sequence[Done]], str] = accept
    days: Callable[[Period], Days | None] = lambda _: None
    simulated: Callable[[str], bool] = lambda _: False
    why: str = "mosaic build"
    facts: Callable[[Version | None, Sequence[Done]], Mapping[str, Any]] = lambda _, __: {}

    def ahead(self, period_tiles: Iterable[PeriodTile]) -> list[Done]:
        """Compose the outdated ones among some tiles, for a later call to commit.

        Parameters
        ----------
        period_tiles
            Tiles that will not change any more.

        Raises
        ------
        GridError
            A tile lies outside the mosaic.
        StoreError
            No access.
        """
        asked = sorted(set(period_tiles))
        slots = slots_of(self.mosaic.objects, [period for period, _ in asked])
        return list(self._run(self._begin(asked, slots, (), ())))

    def _run(self, work: Sequence[Work]) -> Iterable[Done]:
        return self.run(partial(_compose, self.compose, self.mosaic.objects), work)

    def __call__(
        self,
        period_tiles: Iterable[PeriodTile],
        *,
        hold: bool = False,
        again: Collection[PeriodTile] = (),
        ready: Iterable[Done] = (),
    ) -> Built:
        """Compose the outdated ones among some tiles, and publish them.

        Afterwards these tiles are up to date in the published version, unless another process
        rolled back this commit, or composes with another version of deepsalt.

        Parameters
        ----------
        period_tiles
            Tiles that may have changed.
        hold
            Whether to hold the version back under a tag instead of publishing it.
        again
            Tiles among them to compose in any case, because their stored data are damaged.
        ready
            Tiles that were composed ahead; those still up to date are not composed again.

        Raises
        ------
        GridError
            A tile lies outside the mosaic.
        StoreError
            No access, a prune considered the build dead, or a tile was not composed as requested.
        """
        mosaic = self.mosaic
        asked = sorted(set(period_tiles))
        versions: list[Version] = []
        tiles: list[Done] = []
        # A committed tile is not composed again: two versions of deepsalt that disagree would undo
        # each other's work for ever.
        settled: set[tuple[int, Tile, int]] = set()
        forced = {*again}
        composed = 0
        why, is_held = "", False
        prepared = {_state(each.job): each for each in ready}
        with building(mosaic.objects) as alive:
            self._warn_of_other_machines()
            slots = slots_of(mosaic.objects, [period for period, _ in asked])
            # What is held has not moved the head, so its tiles would be outdated for ever.
            while not is_held and (work := self._begin(asked, slots, settled, forced)):
                known = [prepared.pop(_state(job), None) for _, job in work]
                todo = [each for each, done in zip(work, known, strict=True) if done is None]
                done = [*filter(None, known), *self._run(todo)]
                composed += len(done)
                version, committed, why = self._commit(done, slots, alive, hold=hold)
                if version is not None:
                    versions.append(version)
                    is_held = hold or bool(why)
                tiles += committed
                settled |= {_key(each.job) for each in committed}
        return Built(tuple(versions), hold or bool(why), composed, tuple(tiles), why)

    def _begin(
        self,
        period_tiles: Sequence[PeriodTile],
        slots: Mapping[Period, int],
        settled: Collection[tuple[int, Tile, int]],
        forced: Collection[PeriodTile],
    ) -> list[Work]:
        """Return the tiles to compose: outdated ones, and those requested again."""
        mosaic = self.mosaic
        frame = self.mosaic.frame
        cells = [frame.cell(slots[period], tile) for period, tile in period_tiles]
        with mosaic.reaching():
            session = mosaic.repository.writable_session(MAIN)
            digests = read_digests(session.store, cells)
        # Looked up after the digests were read: products that arrive in between count next round.
        wanted = self.wanted(period_tiles)
        jobs = []
        for period_tile, before in zip(period_tiles, digests, strict=True):
            products = tuple(sorted(wanted.get(period_tile, ())))
            simulated = any(map(self.simulated, products))
            job = Job(
                frame, slots[period_tile[0]], period_tile[1], products, before, simulated=simulated
            )
            if (job.digest != before or period_tile in forced) and _key(job) not in settled:
                jobs.append(job)
        if mosaic.objects.location.kind == "memory":
            return [(_session_in_memory(mosaic), job) for job in jobs]
        fork = _packed(session.fork()) if jobs else b""
        return [(fork, job) for job in jobs]

    def _commit(
        self, done: Sequence[Done], slots: Mapping[Period, int], alive: BuildRecord, *, hold: bool
    ) -> tuple[Version | None, list[Done], str]:
        """Commit what no other driver has committed meanwhile.

        Returns the version, its tiles, and why the judge held it.
        """
        mosaic = self.mosaic
        while True:
            with mosaic.exclusively():
                alive.check()
                with mosaic.reaching():
                    session = mosaic.repository.writable_session(MAIN)
                    heads = read_digests(session.store, [each.job.cell for each in done])
                kept = [
                    each for each, head in zip(done, heads, strict=True) if each.job.before == head
                ]
                if not kept:
                    return None, [], ""
                # Its errors are its own, including those of files.
                why = self.judge(kept)
                with mosaic.reaching("write"):
                    try:
                        version = self._publish(session, kept, slots, hold=hold, why_held=why)
                        return version, kept, why
                    except ConflictError:
                        continue
                    except IcechunkError as error:
                        if _OUT_OF_TIME not in str(error):
                            raise
                        _wait_for(session, mosaic)

    def _publish(
        self,
        session: Session,
        kept: Sequence[Done],
        slots: Mapping[Period, int],
        *,
        hold: bool,
        why_held: str,
    ) -> Version | None:
        """Commit tiles in a session, or hold them back."""
        before = _Contents.of(session, kept)
        for each in kept:
            session.merge(_unpacked(each.fork))
        self._check_composed(session, kept)
        facts = self._facts(session, kept, before, why_held)
        filled = {each.job.slot for each in kept}
        _write_periods(session, {s: self._days(p) for p, s in slots.items() if s in filled})
        if not hold and not why_held:
            return self.mosaic.version_at(session.commit(self.why, metadata=facts))
        id = session.flush(self.why, metadata=facts)
        self.mosaic.repository.create_tag(f"{HELD}{id[:SHORT]}", id)
        return self.mosaic.version_at(id)

    def _days(self, period: Period) -> tuple[Days | None, bool]:
        """Return first and last day of a period, and whether these are its limits."""
        if period.start is not None and period.end is not None:
            return (period.start, period.end), True
        return self.days(period), False

    def _facts(
        self, session: Session, kept: Sequence[Done], before: "_Contents", why_held: str
    ) -> dict[str, Any]:
        """Return the metadata of a commit on top of a session's snapshot."""
        parent = self.mosaic.version_at(session.snapshot_id)
        now = _Contents.of(session, kept)
        counts = now.counts - before.counts
        if parent is not None:
            counts = counts + parent.counts
        added = set[str]()
        removed = set[str]()
        for old, new in zip(before.products, now.products, strict=True):
            added |= {*new} - {*old}
            removed |= {*old} - {*new}
        return metadata(
            parent=session.snapshot_id if parent else None,
            added=added,
            removed=removed,
            tiles=len(kept),
            counts=counts,
            facts={**self.facts(parent, kept), **({HELD_FACT: why_held} if why_held else {})},
        )

    def _check_composed(self, session: Session, kept: Sequence[Done]) -> None:
        """Refuse forks whose tile is not made of the requested products."""
        found = read_digests(session.store, [each.job.cell for each in kept])
        for each, digest in zip(kept, found, strict=True):
            if digest != each.job.digest:
                raise StoreError(
                    f"tile {each.job.tile.id} was not written as requested, so nothing is "
                    f"published; its composer must call write_tile"
                )

    def _warn_of_other_machines(self) -> None:
        if not self.mosaic.objects.is_local:
            return
        others = {build.host for build in live_builds(self.mosaic.objects)} - {host_name()}
        if others:
            logger.warning(
                "%s also builds into %s; locks of some network folders work on one machine only, "
                "so commits may be lost: build from one machine, or use a bucket",
                ", ".join(sorted(others)),
                self.mosaic.objects,
            )


@dataclass(frozen=True, slots=True)
class _Contents:
    """Products of some tiles, and the sum of their counts."""

    products: tuple[tuple[str, ...], ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, session: Session, tiles: Sequence[Done]) -> "_Contents":
        """Read it from a session."""
        counts = read_counts(session.store, [each.job.cell for each in tiles])
        # For a repaired tile the digest tells it, and the stored names may be damaged.
        unknown = [each for each in tiles if each.job.before != each.job.digest]
        read = iter(read_products(session.store, [each.job.cell for each in unknown]))
        products = (
            next(read) if each.job.before != each.job.digest else each.job.products
            for each in tiles
        )
        return cls(tuple(products), counts.sum(axis=0))


def _wait_for(session: Session, mosaic: Mosaic) -> None:
    """Wait until this machine's clock has passed the time of the parent version.

    Raises
    ------
    StoreAccessError
        The clock is far behind.
    """
    written = mosaic.repository.lookup_snapshot(session.snapshot_id).written_at
    behind_s = (written - datetime.now(UTC)).total_seconds()
    if behind_s > _CLOCK_WAIT_S:
        raise StoreAccessError(
            f"this machine's clock is {behind_s:.0f} s behind the last publication in "
            f"{mosaic.objects}; set it and build again"
        )
    time.sleep(max(behind_s, 0) + 0.1)


def _key(job: Job) -> tuple[int, Tile, int]:
    return job.slot, job.tile, job.digest


def _state(job: Job) -> tuple[int, Tile, int, int]:
    return job.slot, job.tile, job.digest, job.before


def _compose(compose: Compose, objects: Objects, work: Work) -> Done:
    fork, job = work
    session = _unpacked(fork)
    try:
        note = compose(session.store, job)
    except IcechunkError as error:
        what = f"{PREFIX}, tile {job.tile.id}"
        raise sentence(str(error), objects.location, "write", what) from None
    except GroupNotFoundError:
        # So Icechunk tells, after half a minute, that it cannot read the snapshot of a fork.
        open_storage(objects)  # asks the server itself, and reports its answer
        raise StoreAwayError(
            f"{objects}/{PREFIX} could not be read while tile {job.tile.id} was written; run "
            f"again, and if it happens again, `deepsalt check` tells what is damaged"
        ) from None
    return Done(job, note, _packed(session) if isinstance(fork, bytes) else session)


def _session_in_memory(mosaic: Mosaic) -> ForkSession:
    """Return a stand-in for a fork in memory, since a pickled copy would lose its data."""
    return ForkSession(mosaic.repository.writable_session(MAIN)._session)


def _packed(fork: ForkSession) -> bytes:
    # Names of all possible manifests make a fork for a world 85 kB, 5 kB when compressed.
    return zlib.compress(pickle.dumps(fork))


def _unpacked(fork: ForkSession | bytes) -> ForkSession:
    if isinstance(fork, bytes):
        return cast(ForkSession, pickle.loads(zlib.decompress(fork)))
    return fork


def _write_periods(session: Session, days: Mapping[int, tuple[Days | None, bool]]) -> None:
    """Write the days of periods that are new or have changed."""
    group = zarr.open_group(session.store, mode="r+", zarr_format=3)
    first = cast(Array, group["period"])
    bounds = cast(Array, group["period_bounds"])
    for slot, (span, is_limit) in days.items():
        known = np.asarray(bounds[slot])
        if span is None and known[0] != NO_DAY:
            continue
        wanted = np.array([(day - EPOCH).days for day in span or _NOT_KNOWN], np.int32)
        if not is_limit and known[0] not in (NO_DAY, 0):
            wanted = np.array([min(wanted[0], known[0]), max(wanted[1], known[1])], np.int32)
        if not np.array_equal(known, wanted):
            first[slot], bounds[slot] = wanted[0], wanted
