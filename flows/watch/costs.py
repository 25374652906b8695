"""What runs cost, in a table: one row for each run of a scene or a build, several for a whole run.

A row says what was measured where the work was done, and what the catalogue had let expect. Rows
are only added, so their sums are counters. A database that is away costs a row and a warning, never
the work that is done.
"""

import logging
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    case,
    func,
    insert,
    select,
)
from sqlalchemy.engine import RowMapping

from deepsalt.errors import RunError, UsageError
from flows.watch.database import URL_VARIABLE, Database, Moment, database_url, tables

logger = logging.getLogger(__name__)

_RECENT = 200  # rows that a mean is taken over
_SETTLED = timedelta(minutes=10)  # no transaction stays open as long

_costs = Table(
    "deepsalt_costs",
    tables,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("store", String(1000), nullable=False),
    Column("flow", String(40), nullable=False),
    Column("name", String(200), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("ended", Moment, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("scenes", Integer, nullable=False),
    Column("pixels", BigInteger, nullable=False),
    Column("fetched_bytes", BigInteger, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("fetch_s", Float, nullable=False),
    Column("map_s", Float, nullable=False),
    Column("write_s", Float, nullable=False),
    Column("compose_s", Float, nullable=False),
    Column("publish_s", Float, nullable=False),
    Column("export_s", Float, nullable=False),
    Column("gpu_s", Float, nullable=False),
    Column("worker_s", Float, nullable=False),
    Column("expected_bytes", BigInteger, nullable=False),
    Column("expected_s", Float, nullable=False),
    Index("deepsalt_costs_store", "store", "ended"),
)

STAGES = ("fetch", "map", "write", "compose", "publish", "export")
"""Stages whose seconds a row has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What work took; amounts of several rows add up.

    Parameters
    ----------
    runs
        Flow runs.
    scenes, pixels
        Scenes that they dealt with, and pixels of those that they mapped.
    fetched_bytes, retries, gpu_s
        As of `deepsalt.effort.SceneWork`.
    fetch_s, map_s, write_s, compose_s, publish_s, export_s
        Seconds of the stages; those of scenes that are worked on at a time add up.
    worker_s
        Wall time of the workers, seconds.
    expected_bytes, expected_s
        Bytes to fetch and seconds of workers that the catalogue let expect.
    """

    runs: float = 0
    scenes: float = 0
    pixels: float = 0
    fetched_bytes: float = 0
    retries: float = 0
    fetch_s: float = 0.0
    map_s: float = 0.0
    write_s: float = 0.0
    compose_s: float = 0.0
    publish_s: float = 0.0
    export_s: float = 0.0
    gpu_s: float = 0.0
    worker_s: float = 0.0
    expected_bytes: float = 0
    expected_s: float = 0.0

    def __add__(self, other: "Amounts") -> "Amounts":
        """Return both together."""
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in _AMOUNTS})

    def __mul__(self, times: float) -> "Amounts":
        """Return it several times."""
        return Amounts(**{name: getattr(self, name) * times for name in _AMOUNTS})


_AMOUNTS = tuple(each.name for each in fields(Amounts))
_SUMS = [func.coalesce(func.sum(_costs.c[name]), 0).label(name) for name in _AMOUNTS]


_TRIED = func.coalesce(
    func.sum(case((_costs.c.outcome.in_(["written", "failed"]), _costs.c.scenes), else_=0)), 0
).label("tried")


@dataclass(frozen=True, slots=True)
class Cost:
    """A row.

    Parameters
    ----------
    store
        Place of the store.
    flow
        ``process-scene``, ``map-scenes`` or ``build-mosaic``.
    name
        The product or scene, or the id of the run.
    outcome
        Status of a `deepsalt.mapping.SceneReport`; ``built`` or ``failed`` of a build.
    ended
        When the work ended, UTC.
    amounts
        What it took.
    """

    store: str
    flow: str
    name: str
    outcome: str
    ended: datetime
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Total:
    """What all runs of a flow into a store took that ended in one way."""

    flow: str
    outcome: str
    amounts: Amounts


class Costs:
    """Costs in a database.

    Parameters
    ----------
    database
        Where they lie.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, costs: Sequence[Cost]) -> None:
        """Add rows."""
        rows = [
            {
                "store": each.store,
                "flow": each.flow,
                "name": each.name[:200],
                "outcome": each.outcome,
                "ended": each.ended,
                # Then sums are exact to the microsecond in whatever order they are taken, and a
                # counter made of them never goes back.
                **{name: round(value, 6) for name, value in asdict(each.amounts).items()},
            }
            for each in costs
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(insert(_costs), rows)

    def spent(self, store: str, since: datetime | None = None) -> Amounts:
        """Return what all runs of a store took that ended since a moment. Default: all.

        Scenes are those that were written or failed: the others took no work worth a budget.
        """
        query = select(*_SUMS, _TRIED).where(_costs.c.store == store)
        if since is not None:
            query = query.where(_costs.c.ended >= since)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one()
        return replace(_amounts(row), scenes=float(row["tried"]))

    def mean_of_a_scene(self, store: str) -> Amounts | None:
        """Return what a scene took that was mapped, on average of the newest; None before one."""
        newest = (
            select(*(_costs.c[name] for name in _AMOUNTS))
            .where(_costs.c.store == store, _costs.c.outcome == "written")
            .order_by(_costs.c.ended.desc())
            .limit(_RECENT)
            .subquery()
        )
        sums = [func.coalesce(func.sum(newest.c[name]), 0).label(name) for name in _AMOUNTS]
        with self._database.reading() as connection:
            found = _amounts(connection.execute(select(*sums)).mappings().one())
        return found * (1 / found.scenes) if found.scenes else None

    def newest(self) -> int:
        """Return the number of the newest row; 0 without one."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(_costs.c.id))).scalar() or 0

    def totals(self, store: str, *, after: int = 0, until: int | None = None) -> list[Total]:
        """Return the sums of the rows of a store, by flow and outcome.

        Parameters
        ----------
        store
            Place of the store.
        after, until
            Number before the first row, and that of the last. Default: all.
        """
        by = (_costs.c.flow, _costs.c.outcome)
        query = select(*by, *_SUMS).where(_costs.c.store == store, _costs.c.id > after)
        if until is not None:
            query = query.where(_costs.c.id <= until)
        with self._database.reading() as connection:
            rows = connection.execute(query.group_by(*by).order_by(*by)).mappings()
            return [Total(row["flow"], row["outcome"], _amounts(row)) for row in rows]


class RunningTotals:
    """Totals of a store that are asked for again and again: old rows are summed once.

    A row may show later than one with a higher number, while its transaction is open; so a row is
    old when a higher number was seen `_SETTLED` before.

    Parameters
    ----------
    store
        Place of the store.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._until = 0
        self._old: list[Total] = []
        self._seen: deque[tuple[datetime, int]] = deque()

    def __call__(self, costs: Costs, now: datetime) -> list[Total]:
        """Return the totals at a moment."""
        settled = self._until
        while self._seen and now - self._seen[0][0] > _SETTLED:
            _, settled = self._seen.popleft()
        if settled > self._until:
            more = costs.totals(self._store, after=self._until, until=settled)
            self._old, self._until = _merged([*self._old, *more]), settled
        self._seen.append((now, costs.newest()))
        return _merged([*self._old, *costs.totals(self._store, after=self._until)])


def _merged(totals: Iterable[Total]) -> list[Total]:
    found: dict[tuple[str, str], Amounts] = defaultdict(Amounts)
    for each in totals:
        found[each.flow, each.outcome] += each.amounts
    return [Total(*key, amounts) for key, amounts in sorted(found.items())]


def record(costs: Sequence[Cost], ledger: str | None = None) -> None:
    """Add rows to the database of the service, if there is one; a failure is only a warning.

    Parameters
    ----------
    costs
        The rows.
    ledger
        URL of the database. Default: that of the environment, and nothing is recorded without it.
    """
    if not ledger and URL_VARIABLE not in os.environ:
        return
    try:
        with Database(database_url(ledger)) as database:
            Costs(database).record(costs)
    except (RunError, UsageError) as error:
        logger.warning("what the run cost is not recorded, and the run is done: %s", error)


def _amounts(row: RowMapping) -> Amounts:
    return Amounts(**{name: float(row[name]) for name in _AMOUNTS})
