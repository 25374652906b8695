"""One pass over a catalogue: what it published since the last one is submitted once, each.

The order makes a pass safe to kill and to repeat: a run is submitted under a key that is the name
of its product, then the ledger learns of it, and the watermark moves last. Whoever repeats the pass
submits the same keys, and the same runs answer.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol, Self

from deepsalt.errors import DeepsaltError
from deepsalt.products import complete_names, product_name
from deepsalt.store import Store, quarantined, tombstone
from deepsalt.types import Acquisition, ModelRef, version_order
from flows.config import Selection, WatchConfig
from flows.watch.arrivals import arrived
from flows.watch.budget import Budget
from flows.watch.ledger import Ledger, State, Submission
from flows.watch.news import Announced, Unusable, published_since

logger = logging.getLogger(__name__)

_STOPS = 10
"""Attempts that were stopped from outside and wear a scene out like one that failed."""


class Outcome(StrEnum):
    """What a submitter says of a run."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    """It was killed or cancelled: a machine, a spot node or a person ended it."""
    UNKNOWN = "unknown"


class Submitter(Protocol):
    """Whoever starts runs: Prefect's server, or a stand-in of a test."""

    def submit(self, submission: Submission) -> str:
        """Start a run of one scene, or find the one of the same product and attempt; its id."""

    def outcome(self, run: str) -> tuple[Outcome, str]:
        """Return how a run stands, and why it failed."""


@dataclass(frozen=True)
class Watch:
    """What is watched, and where its products go.

    Parameters
    ----------
    name
        Name of the watch; its watermark has it.
    selection
        Which scenes of which catalogue.
    overlap
        How far each pass looks back behind the watermark: catalogues list what they publish late
        and out of order.
    attempts
        How often a scene is submitted before a person has to.
    wait
        How long a failed scene waits for its next attempt, doubled with each.
    most
        Submissions of one pass at most; the rest comes with the next one.
    """

    name: str
    selection: Selection
    overlap: timedelta = timedelta(days=2)
    attempts: int = 3
    wait: timedelta = timedelta(minutes=30)
    most: int = 500

    def seen_by(self, store: Store) -> str:
        """Return the name of the watermark: another selection or store has seen nothing yet."""
        told = f"{self.selection.model_dump_json()} {store}"
        return f"{self.name}/{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    @classmethod
    def of(cls, config: WatchConfig) -> Self:
        """Return the watch of a configuration."""
        return cls(
            config.name,
            config.selection,
            timedelta(hours=config.overlap_h),
            config.attempts,
            timedelta(minutes=config.wait_min),
            config.most,
        )


@dataclass
class WatchReport:
    """What a pass found and did.

    Parameters
    ----------
    seen
        Items that the catalogue published since the watermark, less the overlap.
    submitted
        Names of the products of the runs that it started.
    present
        Scenes with a product in the store.
    active
        Scenes that a run is at work on.
    older
        Scenes of which a newer provider version is known.
    withdrawn
        Scenes that an operator took out.
    waiting
        Failed scenes whose next attempt is due later.
    given_up
        Failed scenes without an attempt left, and scenes in quarantine, with the reason.
    refused
        Items that cannot be used, with the reason, by id.
    postponed
        Scenes that are left for the next pass.
    stopped
        Why the budget lets no more scenes be submitted; empty if it does.
    finished, failed
        Submissions of earlier passes that ended since.
    watermark
        Up to when all was seen, UTC.
    """

    seen: int = 0
    submitted: list[str] = field(default_factory=list)
    present: int = 0
    active: int = 0
    older: int = 0
    withdrawn: int = 0
    waiting: int = 0
    given_up: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    postponed: int = 0
    stopped: str = ""
    finished: int = 0
    failed: int = 0
    watermark: datetime | None = None


@dataclass(frozen=True, slots=True)
class Watcher:
    """A watch at work.

    Parameters
    ----------
    watch
        What is watched.
    store
        Where the products go.
    model
        The model that makes them: it is a part of their names.
    ledger
        What was submitted.
    submitter
        Starts the runs.
    budget
        What they may take. Default: anything.
    """

    watch: Watch
    store: Store
    model: ModelRef
    ledger: Ledger
    submitter: Submitter
    budget: Budget | None = None

    def pass_over(self, now: datetime | None = None) -> WatchReport:
        """Submit what the catalogue published since the last pass, and move the watermark.

        Parameters
        ----------
        now
            Time of the pass, UTC.

        Raises
        ------
        UsageError, FormatError
            The catalogue cannot be searched so.
        RunError
            Catalogue, database, store or submitter cannot be reached; the next pass begins again.
        """
        now = now or datetime.now(UTC)
        report = WatchReport()
        self._settle(report, now)
        seen_by = self.watch.seen_by(self.store)
        watermark = self.ledger.watermark(seen_by)
        since = watermark - self.watch.overlap if watermark else None
        published = published_since(self.watch.selection, since)
        report.seen = len(published)
        report.refused = {each.id: each.reason for each in published if isinstance(each, Unusable)}
        found = [each for each in published if isinstance(each, Announced)]
        self._consider([*found, *self._due_again(found, now)], report, now)
        # What a catalogue claims to have published tomorrow must not hide what it publishes today.
        newest = max((each.updated for each in published if each.updated), default=None)
        if newest is not None and not report.postponed:
            self.ledger.move_watermark(seen_by, min(newest, now))
        self.ledger.say_looked(self.watch.name, now)
        report.watermark = self.ledger.watermark(seen_by)
        return report

    def announce(self, announced: Announced, now: datetime | None = None) -> WatchReport:
        """Submit an acquisition that an event told of, as a pass would; the watermark stays.

        Raises
        ------
        RunError
            Database, store or submitter cannot be reached.
        """
        report = WatchReport(seen=1)
        self._consider([announced], report, now or datetime.now(UTC))
        return report

    def _settle(self, report: WatchReport, now: datetime) -> None:
        """Learn what became of the submissions that were under way, and of failed ones by hand."""
        ledger, place = self.ledger, str(self.store)
        under_way = self._without_product(ledger.in_state(place, State.SUBMITTED), report, now)
        self._without_product(ledger.in_state(place, State.FAILED), report, now)
        ended: dict[str, tuple[str, bool]] = {}
        for each in under_way:
            outcome, reason = self.submitter.outcome(each.run)
            if outcome is not Outcome.ACTIVE:
                said = reason or "its run ended without a product"
                ended[each.product] = said, outcome is Outcome.STOPPED
        # Again: they went on while we asked.
        over = [each for each in under_way if each.product in ended]
        for each in self._without_product(over, report, now):
            reason, is_stopped = ended[each.product]
            ledger.fail(each, now, reason, is_its_fault=not is_stopped)
            report.failed += 1

    def _due_again(self, found: Iterable[Announced], now: datetime) -> Iterator[Announced]:
        """Yield failed scenes whose next attempt is due, which the catalogue tells of no more."""
        told = {each.item for each in found}
        for each in self.ledger.in_state(str(self.store), State.FAILED, self.watch.name):
            is_over = each.item in told or _given_up(each, self.watch)
            if is_over or now < _due(each, self.watch):
                continue
            try:
                again = arrived(each.item, self.watch.selection)
            except DeepsaltError as error:  # it is gone, or its server is away
                logger.info("scene %s is not tried again: %s", each.scene, error)
                continue
            if again is not None:
                yield again

    def _without_product(
        self, submissions: list[Submission], report: WatchReport, now: datetime
    ) -> list[Submission]:
        """Note those that have a product as done; return the others."""
        names = [each.product for each in submissions]
        complete = complete_names(self.store, names) if names else set()
        for name in complete:
            self.ledger.change(str(self.store), name, State.DONE, now, "")
        report.finished += len(complete)
        return [each for each in submissions if each.product not in complete]

    def _consider(self, announced: Iterable[Announced], report: WatchReport, now: datetime) -> None:
        """Submit those of the acquisitions that have no product and no run, each once."""
        newest = _newest(announced)
        names = {product_name(each.acquisition, self.model): each for each in newest}
        complete = complete_names(self.store, [*names]) if names else set()
        known = self.ledger.find(str(self.store), names)
        purse = self.budget.open(now) if self.budget else None
        found: list[Submission] = []
        ill = quarantined(self.store, [each.acquisition.key for each in newest]) if newest else {}
        for name, each in names.items():
            acquisition, before = each.acquisition, known.get(name)
            if name in complete:
                report.present += 1
                if before is None:
                    found.append(self._found(name, each, now))
                elif before.state is not State.DONE:
                    self.ledger.change(str(self.store), name, State.DONE, now, "")
                continue
            reason = ill.get(acquisition.key) or _given_up(before, self.watch)
            if reason:
                report.given_up[acquisition.key] = reason
            elif before is not None and before.state is State.SUBMITTED:
                report.active += 1
            elif before is not None and now < _due(before, self.watch):
                report.waiting += 1
            elif _is_withdrawn(self.store, acquisition):
                report.withdrawn += 1
            elif self._is_older(acquisition):
                report.older += 1
            elif len(report.submitted) >= self.watch.most:
                report.postponed += 1
            elif purse is not None and (refused := purse.refuses(acquisition)):
                report.stopped = refused
                report.postponed += 1
            else:
                self._submit(name, each, before, now)
                report.submitted.append(name)
        self.ledger.add(found)
        if purse is not None:
            purse.close(report.stopped)

    def _found(self, name: str, announced: Announced, now: datetime) -> Submission:
        """Return the row of a product that others made: it is missed if the catalogue loses it."""
        when = min(announced.updated or announced.acquisition.start or now, now)
        row = self._submission(name, announced, None, when)
        return replace(row, state=State.DONE, attempt=0)

    def _submission(
        self, name: str, announced: Announced, before: Submission | None, now: datetime
    ) -> Submission:
        acquisition = announced.acquisition
        return Submission(
            product=name,
            store=str(self.store),
            watch=self.watch.name,
            collection=acquisition.collection,
            acquisition=acquisition.acquisition_id,
            version=acquisition.version,
            scene=acquisition.key,
            item=announced.item,
            state=State.SUBMITTED,
            attempt=1 if before is None else before.attempt + 1,
            run="",
            reason="",
            acquired=acquisition.start,
            announced=now if before is None else before.announced,
            changed=now,
            failures=0 if before is None else before.failures,
        )

    def _submit(
        self, name: str, announced: Announced, before: Submission | None, now: datetime
    ) -> None:
        acquisition = announced.acquisition
        submission = self._submission(name, announced, before, now)
        run = self.submitter.submit(submission)
        self.ledger.write(replace(submission, run=run))
        logger.info("scene %s is submitted, attempt %d", acquisition.key, submission.attempt)
        newer = f"version {acquisition.version}"
        for other in self._versions(acquisition):
            if other.product != name and other.state in {State.SUBMITTED, State.FAILED}:
                self.ledger.change(str(self.store), other.product, State.SUPERSEDED, now, newer)

    def _is_older(self, acquisition: Acquisition) -> bool:
        """Return whether a newer provider version was submitted before."""
        mine = version_order(acquisition.version)
        return any(mine < version_order(other.version) for other in self._versions(acquisition))

    def _versions(self, acquisition: Acquisition) -> list[Submission]:
        return self.ledger.versions(
            str(self.store), acquisition.collection, acquisition.acquisition_id
        )


def _newest(announced: Iterable[Announced]) -> list[Announced]:
    """Return the newest provider version of each acquisition, in the order of their keys."""
    newest: dict[tuple[str, str], Announced] = {}
    for each in announced:
        key = each.acquisition.collection, each.acquisition.acquisition_id
        if key not in newest or _order(newest[key]) < _order(each):
            newest[key] = each
    return sorted(newest.values(), key=lambda each: each.acquisition.key)


def _order(each: Announced) -> list[tuple[int, int, str]]:
    return version_order(each.acquisition.version)


def _given_up(before: Submission | None, watch: Watch) -> str:
    if before is None or not is_given_up(before, watch):
        return ""
    return f"failed {before.failures} times; the last time: {before.reason}"


def is_given_up(submission: Submission, watch: Watch) -> bool:
    """Return whether a scene has no attempt left: a run that was stopped counts a tenth."""
    worn = max(submission.failures, submission.attempt // _STOPS)
    return submission.state is State.FAILED and worn >= watch.attempts


def _due(before: Submission, watch: Watch) -> datetime:
    """Return when a failed scene may be tried again; a finished one whose product is gone: now."""
    if before.state is not State.FAILED:
        return before.changed
    waits: timedelta = watch.wait * float(2 ** max(0, before.failures - 1))
    return before.changed + waits


def _is_withdrawn(store: Store, acquisition: Acquisition) -> bool:
    record = tombstone(store, (acquisition.collection, acquisition.acquisition_id))
    return record is not None and record.covers(acquisition.version)
