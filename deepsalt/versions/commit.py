"""Builds: the tiles that are not what they should be are composed anywhere and committed together.

Any number of drivers may build at once, on any machines. A tile is a function of the products over
it, and its digest says of which. Workers write tiles into forks of a session. To commit, the driver
opens a session at the head and merges the forks whose tile still has there the digest it had when
the work began; a tile that somebody else committed meanwhile is looked at anew. If yet somebody
else commits between that look and the commit, Icechunk refuses the commit, and the same is done at
the new head. So nothing is lost and nothing is there twice; who pays is who comes second.

There is no rebase: it would take a commit's totals from the wrong parent, and after a roll-back it
ends in an error of storage. Merging a fork into a session that began later is sound because of the
look at the digests.
"""

import logging
import pickle
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import zarr
from icechunk import ConflictError, IcechunkError, IcechunkStore, Session
from icechunk.session import ForkSession

from deepsalt.access import without_secrets
from deepsalt.errors import StoreError
from deepsalt.grid import Tile
from deepsalt.store.periods import Period
from deepsalt.types import Report
from deepsalt.versions.arrays import (
    EPOCH,
    Array,
    Job,
    read_digests,
    read_products,
    read_report,
    write_tile,
)
from deepsalt.versions.records import (
    Alive,
    Records,
    building,
    host_name,
    live_builds,
    slots_of,
)
from deepsalt.versions.repository import MAIN, SHORT, Mosaic, Version, metadata
from deepsalt.versions.storage import folder_of, is_memory, reason_of

logger = logging.getLogger(__name__)

HELD = "held-"
"""Beginning of the tags of versions that are held back."""

Place = tuple[Period, Tile]
"""A tile of a period."""
Compose = Callable[[IcechunkStore, Job], Report]
"""Composes a tile of `Job.products` and writes it with `write_tile`, whose report it returns."""
Work = tuple[ForkSession, Job]
Done = tuple[ForkSession | bytes, Job, Report]
Days = tuple[date, date]


class Run(Protocol):
    """Does work somewhere: a call per item, results in any order as they come."""

    def __call__(self, work: Callable[[Work], Done], items: Sequence[Work]) -> Iterable[Done]:
        """Return the results."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did.

    Parameters
    ----------
    versions
        Versions that it committed, in order; none if every tile was what it should be.
    held
        Whether they wait for `deepsalt.versions.change.publish`.
    composed
        Tiles that were composed or emptied, those included that others committed first.
    """

    versions: tuple[Version, ...]
    held: bool
    composed: int


def in_turn(work: Callable[[Work], Done], items: Sequence[Work]) -> Iterable[Done]:
    """Do the work here, one item after the other."""
    return map(work, items)


def span_of(period: Period) -> Days:
    """Return first and last day of a dated period; 1970-01-01 for the one without limits."""
    return period.start or EPOCH, period.end or EPOCH


@dataclass(frozen=True)
class Build:
    """How tiles are brought to what they should be.

    Parameters
    ----------
    mosaic
        The mosaic.
    records
        Where slots of periods and live builds are kept.
    wanted
        Names of the products that a tile of a period should be made of now, from records alone, so
        that every driver gets the same answer.
    compose
        Composes a tile; picklable if `run` needs it.
    run
        Does the work; here, tile by tile, by default.
    span
        First and last day of a period as its coordinates say it.
    why
        What the history says.
    facts
        What it says besides, as JSON values.
    """

    mosaic: Mosaic
    records: Records
    wanted: Callable[[Period, Tile], Collection[str]]
    compose: Compose
    run: Run = in_turn
    span: Callable[[Period], Days] = span_of
    why: str = "mosaic build"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, places: Iterable[Place], *, hold: bool = False) -> Built:
        """Compose what is not as it should be among some tiles, and publish it.

        In the end the published version has of these tiles what is wanted then, unless somebody
        rolled back what this call had committed, or composes with another version of deepsalt.

        Parameters
        ----------
        places
            Tiles that may have changed.
        hold
            Whether the version is held back under a tag instead of published.

        Raises
        ------
        GridError
            A tile lies beyond the mosaic.
        StoreError
            No access, a prune took the build for dead, or a tile was not composed as asked.
        """
        mosaic, asked = self.mosaic, sorted(set(places))
        versions: list[Version] = []
        # What was committed once is not composed again: of two versions of deepsalt that disagree,
        # each would undo the other's work for ever.
        settled: set[tuple[int, Tile, int]] = set()
        composed = 0
        with building(self.records) as alive:
            self._warn_of_other_machines()
            slots = slots_of(self.records, [period for period, _ in asked])
            compose = partial(_compose, self.compose, mosaic.place)
            while not (hold and versions) and (work := self._begin(asked, slots, settled)):
                done = list(self.run(compose, work))
                composed += len(done)
                version, committed = self._commit(done, slots, alive, hold=hold)
                if version is not None:
                    versions.append(version)
                settled |= {_key(job) for job in committed}
        return Built(tuple(versions), hold, composed)

    def _begin(
        self,
        places: Sequence[Place],
        slots: Mapping[Period, int],
        settled: Collection[tuple[int, Tile, int]],
    ) -> list[Work]:
        """Return a fork for each tile whose digest in the published version is not as wanted."""
        mosaic, frame = self.mosaic, self.mosaic.frame
        cells = [frame.cell(slots[period], tile) for period, tile in places]
        with mosaic.reaching():
            session = mosaic.repository.writable_session(MAIN)
            digests = read_digests(session.store, cells)
        work = []
        for (period, tile), before in zip(places, digests, strict=True):
            products = tuple(sorted(self.wanted(period, tile)))
            job = Job(frame, slots[period], tile, products, before)
            if job.digest != before and _key(job) not in settled:
                work.append((_fork(mosaic, session), job))
        return work

    def _commit(
        self, done: Sequence[Done], slots: Mapping[Period, int], alive: Alive, *, hold: bool
    ) -> tuple[Version | None, list[Job]]:
        """Commit what nobody else did meanwhile; the version and the jobs in it."""
        mosaic = self.mosaic
        while True:
            with mosaic.reaching(), mosaic.exclusively():
                alive.check()
                session = mosaic.repository.writable_session(MAIN)
                heads = read_digests(session.store, [job.cell for _, job, _ in done])
                kept = [
                    each for each, head in zip(done, heads, strict=True) if each[1].before == head
                ]
                if not kept:
                    return None, []
                facts = self._facts(session, kept)
                for fork, _, _ in kept:
                    session.merge(_unpacked(fork))
                self._check_composed(session, kept)
                filled = {job.slot for _, job, _ in kept}
                days = {slots[p]: self.span(p) for p in slots if slots[p] in filled}
                _write_periods(session, days)
                try:
                    if hold:
                        id = session.flush(self.why, metadata=facts)
                        mosaic.repository.create_tag(f"{HELD}{id[:SHORT]}", id)
                    else:
                        id = session.commit(self.why, metadata=facts)
                except ConflictError:
                    continue
                return mosaic.version_at(id), [job for _, job, _ in kept]

    def _facts(self, session: Session, kept: Sequence[Done]) -> dict[str, Any]:
        """Return the metadata of a commit on top of a session's snapshot."""
        parent = self.mosaic.version_at(session.snapshot_id)
        totals = parent.totals if parent else Report()
        added: set[str] = set()
        removed: set[str] = set()
        for _, job, report in kept:
            before: set[str] = set()
            if job.before:
                before = set(read_products(session.store, job.cell))
                totals = _minus(totals, read_report(session.store, job.cell))
            totals += report
            added |= set(job.products) - before
            removed |= before - set(job.products)
        return metadata(
            parent=session.snapshot_id if parent else None,
            added=added,
            removed=removed,
            tiles=len(kept),
            totals=totals,
            facts=self.facts,
        )

    def _check_composed(self, session: Session, kept: Sequence[Done]) -> None:
        """Refuse forks whose tile is not made of what was asked for."""
        found = read_digests(session.store, [job.cell for _, job, _ in kept])
        for (_, job, _), digest in zip(kept, found, strict=True):
            if digest != job.digest:
                raise StoreError(
                    f"tile {job.tile.id} came back without being written as asked, so nothing is "
                    "published; let what composes it call write_tile"
                )

    def _warn_of_other_machines(self) -> None:
        if folder_of(self.mosaic.place) is None:
            return
        others = {build.host for build in live_builds(self.records)} - {host_name()}
        if others:
            logger.warning(
                "%s also builds into %s; locks of some network folders hold on one machine only, "
                "and commits may then be lost: build from one machine, or use a bucket",
                ", ".join(sorted(others)),
                self.mosaic.place,
            )


def _key(job: Job) -> tuple[int, Tile, int]:
    return job.slot, job.tile, job.digest


def _fork(mosaic: Mosaic, session: Session) -> ForkSession:
    """Return a session that a worker can write a tile into, and that comes back by pickle."""
    if is_memory(mosaic.place):
        # A fork is a copy by pickle, and memory does not come along; nor need it be sent anywhere.
        return ForkSession(mosaic.repository.writable_session(MAIN)._session)
    return session.fork()


def _compose(compose: Compose, place: str, work: Work) -> Done:
    fork, job = work
    try:
        report = compose(fork.store, job) if job.products else write_tile(fork.store, job, ())
    except IcechunkError as error:
        raise StoreError(
            f"tile {job.tile.id} cannot be written to {without_secrets(place)}: {reason_of(error)}"
        ) from error
    # Names of all manifests that there could be make 85 kB of a fork for a world, 5 kB in the end.
    return fork if is_memory(place) else zlib.compress(pickle.dumps(fork)), job, report


def _unpacked(fork: ForkSession | bytes) -> ForkSession:
    if isinstance(fork, bytes):
        return cast(ForkSession, pickle.loads(zlib.decompress(fork)))
    return fork


def _write_periods(session: Session, days: Mapping[int, Days]) -> None:
    """Write the days of periods that are new or have other days now."""
    group = zarr.open_group(session.store, mode="r+", zarr_format=3)
    first, bounds = cast(Array, group["period"]), cast(Array, group["period_bounds"])
    for slot, span in days.items():
        wanted = np.array([(day - EPOCH).days for day in span], np.int32)
        if not np.array_equal(bounds[slot], wanted):
            first[slot], bounds[slot] = wanted[0], wanted


def _minus(totals: Report, report: Report) -> Report:
    flags = tuple((name, -count) for name, count in report.by_flag)
    return totals + Report(-report.pixels, -report.estimated, flags)
