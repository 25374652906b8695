"""Whether a source is as fresh as it usually is, and a mosaic as its scenes.

The rule for a collection. What it usually takes is learned from its last eight weeks: the waits
between news, and the age of the newest acquisition just before the next one came, which is latency
and wait together. Of both the *usual longest* is taken: the value that one in a fortnight exceeds.
So nights, weekends and slow processing are in it, and two outages of a day are not. A collection is
late when nothing came for one and a half times the usual longest wait, a day at least, or when its
newest acquisition is older than usual by half that wait. A source that fell silent at this season a
year ago may be silent a quarter longer than it was then.

Silence is counted until the watch last saw its catalogue: a catalogue that is away says nothing of
its source, and is another alert. News is an acquisition that was taken after the watch began, at
its first announcement: an archive that is filled and a reprocessing say nothing of latency. With
few news nothing is judged, and it says so.

Over 40 simulated months of each of five sources, with log-normal latencies and two outages of a day
of each catalogue (`tests/flows/watch/test_alerts_month.py`; in brackets: in the worst month):

====================================  ==================  =======================
source: mean time between, latency    false alarms        days until a stop is
                                      in a week           noticed
====================================  ==================  =======================
hourly, 8 h                           0.02                1.8 (2.2)
each 2 h by day, 20 h                 0.13                2.5 (3.0)
each 3 h, 2 days, on workdays         0.00                4.5 (6.0)
daily, 3 days                         0.19                7.0 (10.2)
each 2 days, 6 days, on workdays      0.24                9.4 (22.0)
====================================  ==================  =======================

The days are counted from the last acquisition: latency is in them. A month with a gap of 20 days in
acquisitions, the first of its season, has 0.24 to 0.35 alarms a week and 5 to 6 messages.

The rule for a mosaic. It is stale when scenes that are in are missing from every version after the
longest wait of a build and twice the time that builds usually take.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, pairwise
from statistics import median, quantiles

from deepsalt.mosaic import Wanted
from deepsalt.store import Store
from deepsalt.versions import (
    Mosaic,
    Version,
    find_repository,
    held,
    periods_of,
    products_at,
)
from flows.watch.debounce import LONGEST_WAIT
from flows.watch.ledger import Ledger, News, State

HISTORY = timedelta(days=400)
"""How far back news are read."""
LEARNED = timedelta(weeks=8)
"""What is usual is learned from this time, or from the last `LEAST_NEWS` news if it has fewer."""
LEAST_NEWS = 20
"""Times of news, an hour apart, without which nothing is judged."""
LEAST_TIME = timedelta(days=14)
"""Time of news without which nothing is judged."""
MARGIN = 1.5
"""So many times the usual longest wait are no longer plausible."""

_FORTNIGHT = timedelta(days=14)
_TOGETHER = timedelta(hours=1)  # news of one pass
_LEAST_LIMIT = timedelta(days=1)
_YEAR = timedelta(days=365)
_SEASON = timedelta(days=21)
_SEASON_MARGIN = 1.25
_LEAST_BUILD = timedelta(hours=1)
_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class Usual:
    """What a collection usually takes.

    Parameters
    ----------
    latency, long_latency
        From acquisition to announcement: the median, and what one in ten exceeds.
    wait
        The longest wait for news that is usual.
    age
        The greatest age of the newest acquisition that is usual.
    """

    latency: timedelta
    long_latency: timedelta
    wait: timedelta
    age: timedelta

    @property
    def longest_wait(self) -> timedelta:
        """The longest wait that is plausible."""
        return max(_LEAST_LIMIT, MARGIN * self.wait)

    @property
    def greatest_age(self) -> timedelta:
        """The greatest age of the newest acquisition that is plausible."""
        return self.age + max(_LEAST_LIMIT, (MARGIN - 1) * self.wait)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh a collection is.

    Parameters
    ----------
    collection
        Its id.
    news
        Acquisitions that it is judged by.
    newest
        When the newest acquisition was taken, UTC; None without any.
    heard
        When the last news came, UTC; None without any.
    usual
        What it usually takes; None when there are too few news to know.
    late
        Why it is late; empty if it is not.
    unjudged
        Why it is not judged; empty if it is.
    """

    collection: str
    news: int
    newest: datetime | None = None
    heard: datetime | None = None
    usual: Usual | None = None
    late: str = ""
    unjudged: str = ""


@dataclass(frozen=True, slots=True)
class MosaicFreshness:
    """Whether a mosaic has the scenes that are in.

    Parameters
    ----------
    version
        Id of the published version; empty if there is none.
    created
        When it was made, UTC; None if there is none.
    waiting
        Scenes that no version has for longer than is usual.
    since
        When the first of them was in, UTC; None without any.
    limit
        The longest time that is plausible.
    """

    version: str
    created: datetime | None
    waiting: tuple[str, ...]
    since: datetime | None
    limit: timedelta


def fresh(
    collection: str, news: Sequence[News], seen: datetime, *, began: datetime | None = None
) -> Freshness:
    """Judge whether a collection is as fresh as usual.

    Parameters
    ----------
    collection
        Its id.
    news
        Its acquisitions by their first announcement, the oldest first.
    seen
        When its catalogue was last seen, UTC.
    began
        When the watch began, UTC. Default: with the first news.
    """
    if not news:
        return Freshness(collection, 0, unjudged="there are no news")
    began = began or news[0].announced
    counted = [each for each in news if each.acquired >= began and each.announced <= seen]
    if not counted:
        return Freshness(collection, 0, unjudged="nothing was acquired since the watch began")
    newest = max(each.acquired for each in counted)
    moments = _moments(counted)
    heard = counted[-1].announced
    known = Freshness(collection, len(counted), newest, heard)
    if len(moments) < LEAST_NEWS or moments[-1] - moments[0] < LEAST_TIME:
        days = (moments[-1] - moments[0]) / timedelta(days=1)
        unjudged = (
            f"{len(moments)} times of news in {days:.0f} days are too few; "
            f"{LEAST_NEWS} in {LEAST_TIME.days} days are needed"
        )
        return replace(known, unjudged=unjudged)
    usual = _learn(counted, moments)
    wait = max(usual.longest_wait, _SEASON_MARGIN * _a_year_ago(moments, seen))
    late = ""
    if seen - heard > wait:
        late = (
            f"has no news since {heard:%Y-%m-%d %H:%M} UTC, {_said(seen - heard)}, and usually "
            f"waits {_said(usual.wait)} at most"
        )
    elif seen - newest > usual.greatest_age and heard - newest > usual.age:
        late = (
            f"has nothing newer than {newest:%Y-%m-%d %H:%M} UTC, {_said(seen - newest)} ago, and "
            f"usually {_said(usual.age)} at most"
        )
    return replace(known, usual=usual, late=late)


def fresh_mosaic(store: Store, ledger: Ledger, *, now: datetime) -> MosaicFreshness:
    """Judge whether a mosaic has the scenes that are in; cheap unless some are missing long.

    Raises
    ------
    RunError
        The database cannot be reached.
    StoreError
        The store cannot be read.
    """
    done = {each.product: each.changed for each in ledger.in_state(str(store), State.DONE)}
    mosaic = find_repository(store.objects)
    versions = list(islice(mosaic.history(), _VERSIONS)) if mosaic else []
    took = []
    for version in versions:
        ready = [done[name] for name in version.added if name in done]
        took += [(version.created - max(ready)).total_seconds()] if ready else []
    limit = LONGEST_WAIT + max(_LEAST_BUILD, timedelta(seconds=2 * median(took or [0.0])))
    waiting = {name: when for name, when in done.items() if now - when > limit}
    if mosaic is not None and waiting:
        # What was in before a version is in it, unless it came while it was built. What was in
        # before a held one is another alert.
        made = [each.created for each in versions[:1]]
        last = max(
            [*(each - limit for each in made), *(each.created for each in held(mosaic))],
            default=min(waiting.values()) - limit,
        )
        waiting = {name: when for name, when in waiting.items() if when > last}
        missing = _missing(store, mosaic, versions[:1], waiting)
        waiting = {name: waiting[name] for name in missing}
    return MosaicFreshness(
        version=versions[0].short if versions else "",
        created=versions[0].created if versions else None,
        waiting=tuple(sorted(waiting)),
        since=min(waiting.values(), default=None),
        limit=limit,
    )


def _missing(
    store: Store, mosaic: Mosaic, head: Sequence[Version], names: Iterable[str]
) -> list[str]:
    """Return the products that a tile of the published version needs and does not have."""
    wanted = Wanted(store)
    markers = {marker.name: marker for marker in wanted.read(list(names))}
    slots = periods_of(store.objects)
    period_tiles = sorted(
        {
            (period, tile)
            for marker in markers.values()
            for period in slots
            if period.holds(marker.day)
            for tile in marker.over
        }
    )
    if not period_tiles:
        return []
    needed = wanted(period_tiles)
    cells = [mosaic.frame.cell(slots[period], tile) for period, tile in period_tiles]
    has = products_at(mosaic, head[0], cells) if head else [()] * len(cells)
    missing = {
        name
        for period_tile, there in zip(period_tiles, has, strict=True)
        for name in needed[period_tile]
        if name in markers and name not in there
    }
    return sorted(missing)


def _learn(news: Sequence[News], moments: Sequence[datetime]) -> Usual:
    """Return what is usual, from the last weeks."""
    since = min(moments[-1] - LEARNED, moments[-LEAST_NEWS])
    within = [at for at in moments if at >= since]
    waits = [after - before for before, after in pairwise(within)]
    ages, newest = [], news[0].acquired
    for each in news:
        if each.acquired > newest:
            ages += [each.announced - newest] if each.announced > since else []
            newest = each.acquired
    rare = 1 + min((within[-1] - within[0]) // _FORTNIGHT, len(waits) // 10)
    latencies = [
        (each.announced - each.acquired).total_seconds() for each in news if each.announced >= since
    ]
    tenths = quantiles(latencies, n=10, method="inclusive")
    return Usual(
        latency=timedelta(seconds=median(latencies)),
        long_latency=timedelta(seconds=tenths[-1]),
        wait=sorted(waits)[-rare],
        age=sorted(ages)[-min(rare, len(ages))] if ages else within[-1] - newest,
    )


def _a_year_ago(moments: Sequence[datetime], seen: datetime) -> timedelta:
    """Return the longest wait about this day of the year before; none if it is not known."""
    then = seen - _YEAR
    waits = [
        after - before
        for before, after in pairwise(moments)
        if before <= then + _SEASON and after >= then - _SEASON
    ]
    return max(waits, default=timedelta())


def _moments(news: Sequence[News]) -> list[datetime]:
    """Return when news came; those of one pass are one."""
    moments = [news[0].announced]
    for each in news:
        if each.announced - moments[-1] >= _TOGETHER:
            moments.append(each.announced)
    return moments


def _said(time: timedelta) -> str:
    """Return a time as people say it."""
    hours = time / timedelta(hours=1)
    return f"{hours:.0f} h" if hours < 96 else f"{hours / 24:.0f} days"
