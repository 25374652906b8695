"""Simulated months: how often a sound source is called late, and how soon a silent one.

The clock is moved by the test; a watch has learned for ten weeks before it. Each
kind of source is a hard one in its way, and all have two outages of a day of their catalogue.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median

import pytest

from flows.watch.alerts import Alert, Urgency, tell
from flows.watch.database import Database
from flows.watch.freshness import fresh
from flows.watch.ledger import News
from tests.campaign import examples
from tests.flows.watch.world import DAWN

SEEDS = examples(8, 40)
LEARNED, MONTH = timedelta(weeks=10), timedelta(days=30)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Source:
    """A source that announces acquisitions.

    Parameters
    ----------
    every
        Mean time between acquisitions.
    latency, spread
        Median of the log-normal latency, and the sigma of its logarithm.
    weekends
        Whether it publishes at weekends; what is due then comes on Monday morning.
    nights
        Whether it acquires at night.
    """

    every: timedelta
    latency: timedelta
    spread: float
    weekends: bool = True
    nights: bool = True

    def news(
        self, rng: Random, end: timedelta, gap: tuple[timedelta, timedelta] | None = None
    ) -> list[News]:
        """Return its announcements until an end, without acquisitions in a gap."""
        outages = [LEARNED + MONTH * rng.random() for _ in range(2)]
        found, at = [], timedelta()
        while (at := at + self.every * rng.expovariate(1)) < end:
            acquired = DAWN + at
            if (gap and gap[0] < at < gap[1]) or (not self.nights and acquired.hour >= 18):
                continue
            told = acquired + self.latency * rng.lognormvariate(0, self.spread)
            if not self.weekends and told.weekday() >= 5:
                told = told.replace(hour=6) + DAY * (7 - told.weekday())
                told += timedelta(hours=2) * rng.random()
            for outage in outages:
                if outage <= told - DAWN < outage + DAY:
                    told = DAWN + outage + DAY
            # The watch looks each hour.
            hours = (told - DAWN) // timedelta(hours=1) + 1
            found.append(News(acquired, DAWN + timedelta(hours=hours)))
        return sorted(found, key=lambda each: (each.announced, each.acquired))


SOURCES = {
    "each hour": Source(timedelta(hours=1), timedelta(hours=8), 0.5),
    "by day": Source(timedelta(hours=2), timedelta(hours=20), 0.6, nights=False),
    "on workdays": Source(timedelta(hours=3), timedelta(days=2), 0.7, weekends=False),
    "each day": Source(timedelta(days=1), timedelta(days=3), 0.6),
    "rarely": Source(timedelta(days=2), timedelta(days=6), 0.8, weekends=False),
}


@dataclass
class Month:
    """What people were told in a month, and when the source was called late."""

    length: timedelta = MONTH
    messages: int = 0
    openings: int = 0
    late: list[timedelta] = field(default_factory=list)

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        self.messages += 1
        return True

    def pass_by(self, database: Database, news: list[News]) -> None:
        """Validate each six hours."""
        at, was_late = LEARNED, False
        while at < LEARNED + self.length:
            now = DAWN + at
            found = fresh("c", [each for each in news if each.announced <= now], now, began=DAWN)
            assert not found.unjudged
            verdict = Alert("late", "c", found.late, "warning" if found.late else "well")
            tell([verdict], database, now=now, sender=self)
            if found.late:
                self.late.append(at)
                self.openings += not was_late
            was_late = bool(found.late)
            at += timedelta(hours=6)


def campaign(
    folder: Path, make: Callable[[Source, Random], list[News]], length: timedelta = MONTH
) -> Iterator[tuple[str, list[Month]]]:
    for name, source in SOURCES.items():
        months = []
        for seed in range(SEEDS):
            months.append(Month(length))
            with Database(f"sqlite:///{folder}/{name}-{seed}.sqlite") as database:
                months[-1].pass_by(database, make(source, Random(seed)))
        yield name, months


@pytest.mark.slow
def test_a_sound_source_is_called_late_less_than_once_a_week(tmp_path: Path) -> None:
    weeks = SEEDS * MONTH / timedelta(weeks=1)
    for name, months in campaign(tmp_path, lambda s, rng: s.news(rng, LEARNED + MONTH)):
        alarms = sum(each.openings for each in months) / weeks
        messages = sum(each.messages for each in months) / weeks
        print(f"{name}: {alarms:.2f} false alarms a week, {messages:.2f} messages")
        assert alarms <= 1
        assert messages <= 1


@pytest.mark.slow
def test_a_season_without_acquisitions_is_few_messages(tmp_path: Path) -> None:
    gap = LEARNED + 5 * DAY, LEARNED + 25 * DAY
    for name, months in campaign(tmp_path, lambda s, rng: s.news(rng, LEARNED + MONTH, gap)):
        weeks = len(months) * MONTH / timedelta(weeks=1)
        alarms = sum(each.openings for each in months) / weeks
        messages = [each.messages for each in months]
        print(f"{name}: {alarms:.2f} alarms a week, {median(messages)} messages a month")
        assert alarms <= 1
        assert max(messages) <= 12


@pytest.mark.slow
def test_a_source_that_stops_is_noticed(tmp_path: Path) -> None:
    stop = LEARNED + 20 * DAY
    for name, months in campaign(tmp_path, lambda s, rng: s.news(rng, stop), 2 * MONTH):
        noticed = [next(at for at in each.late if at >= stop) - stop for each in months]
        days = sorted(each / DAY for each in noticed)
        print(f"{name}: noticed after {median(days):.1f} days, {days[-1]:.1f} at most")
        assert median(days) <= 10
        assert days[-1] <= 30
