"""What was submitted, how far a catalogue was watched, and what should be withdrawn: a small table.

The key of a submission is the name of the product that it makes, which says everything that the
product's values depend on. The ledger is a cache: what it says is compared with the store, and one
that is deleted costs questions and no work.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Index, Integer, String, Table, Text, delete, func, select, update
from sqlalchemy.engine import Row

from flows.watch.database import Database, Moment, insert_of, tables

_MANY = 500  # parameters of one statement


class State(StrEnum):
    """What became of a submission."""

    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


_submissions = Table(
    "deepsalt_submissions",
    tables,
    Column("product", String(200), primary_key=True),
    Column("store", String(1000), primary_key=True),
    Column("watch", String(500), nullable=False),
    Column("collection", String(200), nullable=False),
    Column("acquisition", String(200), nullable=False),
    Column("version", String(100), nullable=False),
    Column("scene", String(500), nullable=False),
    Column("item", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("run", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("acquired", Moment),
    Column("announced", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
    Column("failures", Integer, nullable=False),
    Index("deepsalt_submissions_acquisition", "store", "collection", "acquisition"),
    Index("deepsalt_submissions_state", "store", "state", "changed"),
)
_watermarks = Table(
    "deepsalt_watermarks",
    tables,
    Column("watch", String(500), primary_key=True),
    Column("updated", Moment),
    Column("reconciled", Moment),
    Column("looked", Moment),
)
_proposals = Table(
    "deepsalt_proposals",
    tables,
    Column("store", String(1000), primary_key=True),
    Column("collection", String(200), primary_key=True),
    Column("acquisition", String(200), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("made", Moment, nullable=False),
    Column("kept", Moment),
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A scene that was given to a run.

    Parameters
    ----------
    product
        Name of the product that it makes: the key, together with the store.
    store
        Place of the store.
    watch
        Name of the watch that submitted it last: a store may have several.
    collection, acquisition, version, scene
        As in `Acquisition`: collection, acquisition id, version and key.
    item
        Path or URL of its Item.
    state
        What became of it.
    attempt
        How often it was submitted; 0 if others made its product.
    run
        Id of the newest run; empty if others made its product.
    reason
        Why it failed; empty when it did not.
    acquired
        When the sensor took it, UTC; None when its Item does not say.
    announced, changed
        When it was seen first and when it changed last, UTC.
    failures
        How often it failed by itself; runs that were stopped from outside are not among them.
    """

    product: str
    store: str
    watch: str
    collection: str
    acquisition: str
    version: str
    scene: str
    item: str
    state: State
    attempt: int
    run: str
    reason: str
    acquired: datetime | None
    announced: datetime
    changed: datetime
    failures: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """An acquisition that came: when the sensor took it, and when it was announced first, UTC."""

    acquired: datetime
    announced: datetime


@dataclass(frozen=True, slots=True)
class Proposal:
    """An acquisition that its catalogue no longer has, for a person to withdraw or to keep.

    Parameters
    ----------
    store, collection, acquisition
        What is proposed for withdrawal.
    reason
        Why.
    made
        When it was proposed, UTC.
    kept
        When a person decided to keep it, UTC; None while nobody has.
    """

    store: str
    collection: str
    acquisition: str
    reason: str
    made: datetime
    kept: datetime | None = None


class Ledger:
    """Submissions, watermarks and proposals in a database.

    Parameters
    ----------
    database
        Where it lies.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def watermark(self, watch: str) -> datetime | None:
        """Return up to when a watch has seen all that its catalogue published, UTC."""
        return self._moment(watch, "updated")

    def move_watermark(self, watch: str, updated: datetime) -> None:
        """Say that all up to a moment was seen; a watermark moves forward only."""
        before = self.watermark(watch)
        if before is None or before < updated:
            self._database.upsert(_watermarks, {"watch": watch}, {"updated": updated})

    def reconciled(self, watch: str) -> datetime | None:
        """Return when a watch last compared all that it has with its catalogue, UTC."""
        return self._moment(watch, "reconciled")

    def say_reconciled(self, watch: str, when: datetime) -> None:
        """Say when a watch was compared with its catalogue as a whole."""
        self._database.upsert(_watermarks, {"watch": watch}, {"reconciled": when})

    def looked(self, watch: str) -> datetime | None:
        """Return when a watch last saw its catalogue, with news or without, UTC."""
        return self._moment(watch, "looked")

    def say_looked(self, watch: str, when: datetime) -> None:
        """Say when a watch saw its catalogue."""
        self._database.upsert(_watermarks, {"watch": watch}, {"looked": when})

    def news(self, store: str, watch: str, since: datetime) -> dict[str, list[News]]:
        """Return what a watch saw announced since a moment, the oldest first, by collection.

        One that comes again in a newer version is no news.
        """
        acquired, announced = _submissions.c.acquired, _submissions.c.announced
        query = (
            select(_submissions.c.collection, func.min(acquired), func.min(announced))
            .where(
                _submissions.c.store == store,
                _submissions.c.watch == watch,
                acquired.is_not(None),
            )
            .group_by(_submissions.c.collection, _submissions.c.acquisition)
            .having(func.min(announced) >= since)
            .order_by(func.min(announced))
        )
        found: dict[str, list[News]] = {}
        with self._database.reading() as connection:
            for collection, taken, told in connection.execute(query):
                found.setdefault(collection, []).append(News(taken, told))
        return found

    def find(self, store: str, products: Iterable[str]) -> dict[str, Submission]:
        """Return what is known of products, by name."""
        wanted = list(products)
        found: dict[str, Submission] = {}
        for first in range(0, len(wanted), _MANY):
            some = _submissions.c.product.in_(wanted[first : first + _MANY])
            found |= {each.product: each for each in self._submissions(store, some)}
        return found

    def in_state(self, store: str, state: State, watch: str | None = None) -> list[Submission]:
        """Return the submissions of a store, or of one watch, in a state, the oldest first."""
        some = _submissions.c.state == state
        if watch is not None:
            some &= _submissions.c.watch == watch
        return self._submissions(store, some)

    def versions(self, store: str, collection: str, acquisition: str) -> list[Submission]:
        """Return the submissions of all provider versions of an acquisition."""
        some = (_submissions.c.collection == collection) & (
            _submissions.c.acquisition == acquisition
        )
        return self._submissions(store, some)

    def count(self, store: str) -> dict[State, int]:
        """Return how many submissions of a store are in each state."""
        query = (
            select(_submissions.c.state, func.count())
            .where(_submissions.c.store == store)
            .group_by(_submissions.c.state)
        )
        with self._database.reading() as connection:
            return {State(state): number for state, number in connection.execute(query)}

    def newest(self, store: str) -> dict[str, datetime]:
        """Return when the newest acquisition of each collection was announced, UTC."""
        query = (
            select(_submissions.c.collection, func.max(_submissions.c.announced, type_=Moment()))
            .where(_submissions.c.store == store)
            .group_by(_submissions.c.collection)
        )
        with self._database.reading() as connection:
            return {row.collection: row[1] for row in connection.execute(query)}

    def oldest(self, store: str, state: State) -> datetime | None:
        """Return when the oldest submission in a state came into it, UTC; None if there is none."""
        query = select(func.min(_submissions.c.changed)).where(
            _submissions.c.store == store, _submissions.c.state == state
        )
        return self._scalar(query)

    def first_unseen(self, store: str, built: datetime | None) -> datetime | None:
        """Return when the first acquisition was announced that a mosaic lacks, UTC; None if none.

        Parameters
        ----------
        store
            Place of the store.
        built
            When the newest version of its mosaic was made; None before the first.
        """
        done = _submissions.c.state == State.DONE
        if built is not None:
            done &= _submissions.c.changed > built
        lacking = (_submissions.c.state == State.SUBMITTED) | done
        query = select(func.min(_submissions.c.announced)).where(
            _submissions.c.store == store, lacking
        )
        return self._scalar(query)

    def latencies_s(self, store: str, most: int) -> list[float]:
        """Return how long the newest finished acquisitions took from notice to product, seconds."""
        query = (
            select(_submissions.c.announced, _submissions.c.changed)
            .where(
                _submissions.c.store == store,
                _submissions.c.state == State.DONE,
                _submissions.c.run != "",  # others made the product, nobody knows how quickly
            )
            .order_by(_submissions.c.changed.desc())
            .limit(most)
        )
        with self._database.reading() as connection:
            return [(end - begin).total_seconds() for begin, end in connection.execute(query)]

    def write(self, submission: Submission) -> None:
        """Write a submission over what is known of its product."""
        values = {name: getattr(submission, name) for name in Submission.__slots__}
        keys = {name: values.pop(name) for name in ("product", "store")}
        self._database.upsert(_submissions, keys, values)

    def add(self, submissions: Iterable[Submission]) -> None:
        """Write submissions of whose products nothing is known."""
        rows = [
            {name: getattr(each, name) for name in Submission.__slots__} for each in submissions
        ]
        if rows:
            with self._database.writing() as connection:
                insert = insert_of(connection)(_submissions).on_conflict_do_nothing()
                connection.execute(insert, rows)

    def change(self, store: str, product: str, state: State, when: datetime, reason: str) -> None:
        """Say what became of a submission."""
        mine = (_submissions.c.product == product) & (_submissions.c.store == store)
        values = {"state": state, "changed": when, "reason": reason}
        self._execute(update(_submissions).where(mine).values(**values))

    def fail(
        self, submission: Submission, when: datetime, reason: str, *, is_its_fault: bool
    ) -> None:
        """Say that a run of a scene failed or was stopped, unless the scene has another run now."""
        mine = (
            (_submissions.c.product == submission.product)
            & (_submissions.c.store == submission.store)
            & (_submissions.c.run == submission.run)
        )
        values = {
            "state": State.FAILED,
            "changed": when,
            "reason": reason,
            "failures": submission.failures + is_its_fault,
        }
        self._execute(update(_submissions).where(mine).values(**values))

    def propose(self, proposal: Proposal) -> bool:
        """Propose a withdrawal; return whether it was not proposed before."""
        values = {name: getattr(proposal, name) for name in Proposal.__slots__}
        with self._database.writing() as connection:
            insert = insert_of(connection)(_proposals).values(**values)
            return bool(connection.execute(insert.on_conflict_do_nothing()).rowcount)

    def proposals(self, store: str) -> list[Proposal]:
        """Return what is proposed for a store, the oldest first."""
        query = select(_proposals).where(_proposals.c.store == store).order_by(_proposals.c.made)
        with self._database.reading() as connection:
            return [Proposal(**row._mapping) for row in connection.execute(query)]

    def keep(self, proposal: Proposal, when: datetime) -> None:
        """Remember that an acquisition is kept, so that it is not proposed again."""
        mine = (
            (_proposals.c.store == proposal.store)
            & (_proposals.c.collection == proposal.collection)
            & (_proposals.c.acquisition == proposal.acquisition)
        )
        self._execute(update(_proposals).where(mine).values(kept=when))

    def settle(self, store: str, collection: str, acquisition: str) -> None:
        """Forget a proposal: it was followed, refused, or the acquisition is back."""
        mine = (
            (_proposals.c.store == store)
            & (_proposals.c.collection == collection)
            & (_proposals.c.acquisition == acquisition)
        )
        self._execute(delete(_proposals).where(mine))

    def _moment(self, watch: str, column: str) -> datetime | None:
        query = select(_watermarks.c[column]).where(_watermarks.c.watch == watch)
        return self._scalar(query)

    def _scalar(self, query: Any) -> datetime | None:
        with self._database.reading() as connection:
            found: datetime | None = connection.execute(query).scalar()
            return found

    def _submissions(self, store: str, some: Any) -> list[Submission]:
        query = (
            select(_submissions)
            .where((_submissions.c.store == store) & some)
            .order_by(_submissions.c.announced, _submissions.c.product)
        )
        with self._database.reading() as connection:
            return [_submission(row) for row in connection.execute(query)]

    def _execute(self, statement: Any) -> None:
        with self._database.writing() as connection:
            connection.execute(statement)


def _submission(row: Row[Any]) -> Submission:
    values = dict(row._mapping)
    return Submission(**{**values, "state": State(values["state"])})
