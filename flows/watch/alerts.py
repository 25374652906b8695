"""Alerts that people keep switched on: told once, repeated rarely, and taken back.

An alert is known by its kind and subject. It is told when it opens, repeated after a day, two,
four and so on as long as it lasts, and told to be well again when it ends. One that comes and goes
is told once a day at most. What no channel took is told next time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from sqlalchemy import Column, Integer, String, Table, Text, select, update

from flows.watch.channels import Channels, Urgency
from flows.watch.database import Database, Moment, tables

Severity = Literal["well", "warning", "failure"]
"""``well`` takes an alert back, if there is one."""

EVERY = timedelta(days=1)
"""Wait before an alert is told for the second time, doubled with each."""

_alerts = Table(
    "deepsalt_alerts",
    tables,
    Column("kind", String(100), primary_key=True),
    Column("subject", String(500), primary_key=True),
    Column("sentence", Text, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("opened", Moment, nullable=False),
    Column("told", Moment),  # last time
    Column("times", Integer, nullable=False),  # told since it opened
    Column("closed", Moment),
)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should know, or that it is well again.

    Parameters
    ----------
    kind
        What is judged, such as ``late``.
    subject
        What it is about; together with the kind it identifies the alert.
    sentence
        What was found and what to do.
    severity
        How bad it is.
    """

    kind: str
    subject: str
    sentence: str
    severity: Severity = "warning"


class Sender(Protocol):
    """Whoever takes messages to people."""

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        """Send a message; return whether somebody took it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the table says of an alert."""

    opened: datetime
    told: datetime | None
    times: int
    closed: datetime | None


def tell(
    alerts: Iterable[Alert],
    database: Database,
    *,
    now: datetime | None = None,
    every: timedelta = EVERY,
    sender: Sender | None = None,
) -> list[Alert]:
    """Open, repeat and take back alerts, and send what is due as one message.

    Parameters
    ----------
    alerts
        What was judged: alerts, and ``well`` for each subject that has none. Alerts of other
        subjects stay as they are.
    database
        Where alerts lie.
    now
        Time, UTC.
    every
        Wait before an alert is told again, doubled with each time.
    sender
        Who takes them to people. Default: the channels of the environment.

    Returns
    -------
    list of Alert
        What was told.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    now = now or datetime.now(UTC)
    sender = sender or Channels.of_environment()
    due = []
    for alert in alerts:
        known = _known(database, alert)
        if alert.severity == "well":
            if known is None or (known.closed and not known.times):
                continue
            closed = replace(known, closed=known.closed or now)
            _write(database, alert, closed)
            if known.times and _claim(database, alert, closed, replace(closed, times=0)):
                due.append((alert, closed))
            continue
        if known is None or known.closed:
            known = _Known(now, known.told if known else None, 0, None)
            _write(database, alert, known, times=0)
        else:
            _write(database, alert, known)
        told = replace(known, told=now, times=known.times + 1)
        if _is_due(known, now, every) and _claim(database, alert, known, told):
            due.append((alert, known))
    is_taken = False
    try:
        is_taken = not due or sender.send(*_message([alert for alert, _ in due]))
    finally:  # an exception of a channel too must not leave an alert told that nobody heard
        if not is_taken:
            for alert, known in due:
                _write(database, alert, known, told=known.told, times=known.times)
    return [alert for alert, _ in due] if is_taken else []


def _is_due(known: _Known, now: datetime, every: timedelta) -> bool:
    return known.told is None or now - known.told >= every * float(2 ** max(known.times - 1, 0))


def open_alerts(database: Database) -> list[Alert]:
    """Return the alerts that are open, the oldest first.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    query = select(_alerts).where(_alerts.c.closed.is_(None)).order_by(_alerts.c.opened)
    with database.reading() as connection:
        return [
            Alert(row.kind, row.subject, row.sentence, row.severity)
            for row in connection.execute(query)
        ]


def _message(due: list[Alert]) -> tuple[str, str, Urgency]:
    """Return title, text and urgency of a message."""
    bad = [alert for alert in due if alert.severity != "well"]
    lines = [f"{alert.severity}: {alert.sentence}" for alert in bad]
    well = [alert.sentence for alert in due if alert.severity == "well"]
    if not bad:
        return "deepsalt: well again", "\n".join(well), "success"
    lines += [f"well again: {sentence}" for sentence in well]
    title = f"deepsalt: {len(bad)} alert{'s' * (len(bad) > 1)}"
    worst: Urgency = "failure" if any(a.severity == "failure" for a in bad) else "warning"
    return title, "\n".join(lines), worst


def _known(database: Database, alert: Alert) -> _Known | None:
    query = select(_alerts.c.opened, _alerts.c.told, _alerts.c.times, _alerts.c.closed).where(
        (_alerts.c.kind == alert.kind) & (_alerts.c.subject == alert.subject)
    )
    with database.reading() as connection:
        row = connection.execute(query).first()
    return None if row is None else _Known(*row)


def _write(database: Database, alert: Alert, known: _Known, **told: Any) -> None:
    """Write what an alert says; when it was told stays, unless `told` or `times` are given."""
    database.upsert(
        _alerts,
        {"kind": alert.kind, "subject": alert.subject},
        {
            "sentence": alert.sentence,
            "severity": alert.severity,
            "opened": known.opened,
            "closed": known.closed,
            **told,
        },
        at_first={"told": known.told, "times": known.times} if not told else None,
    )


def _claim(database: Database, alert: Alert, known: _Known, told: _Known) -> bool:
    """Note that an alert is told; False if another judge was faster."""
    unchanged = (
        (_alerts.c.kind == alert.kind)
        & (_alerts.c.subject == alert.subject)
        & (_alerts.c.times == known.times)
        & _alerts.c.told.is_not_distinct_from(known.told)
    )
    values = {"told": told.told, "times": told.times}
    with database.writing() as connection:
        claimed = connection.execute(update(_alerts).where(unchanged).values(**values))
        return bool(claimed.rowcount)
