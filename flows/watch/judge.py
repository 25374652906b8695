"""What an operator should know of a watch and its store: alerts, and what is well again.

Each subject that is judged has a verdict, an alert or ``well``; one that cannot be judged has none,
so an alert on it stays as it is.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from deepsalt.errors import DeepsaltError
from deepsalt.store import Store, quarantined, quarantined_since
from deepsalt.versions import HELD_FACT, find_repository, held
from flows.watch.alerts import Alert
from flows.watch.freshness import HISTORY, Freshness, MosaicFreshness, fresh, fresh_mosaic
from flows.watch.ledger import Ledger, State
from flows.watch.reconcile import reconcile, undecided
from flows.watch.watch import Watch, is_given_up

UNSEEN = timedelta(days=1)
"""A catalogue may be away so long."""
_WEEK = timedelta(days=7)
_OF_WATCH = " of watch "
_OF_A_WATCH = ("unusable", "budget", "reconcile", "unseen", "late", "given-up")
"""Kinds of alerts whose subject is a watch, or something of one."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was judged.

    Parameters
    ----------
    alerts
        A verdict per subject.
    collections
        How fresh each collection is.
    mosaic
        Whether the mosaic has the scenes that are in.
    """

    alerts: tuple[Alert, ...]
    collections: tuple[Freshness, ...]
    mosaic: MosaicFreshness


def judge(
    watch: Watch, store: Store, ledger: Ledger, *, now: datetime, quarantined_per_week: int = 3
) -> Judgement:
    """Judge a watch and its store, from ledger and records alone.

    Parameters
    ----------
    watch, store, ledger
        What is judged.
    now
        Time, UTC.
    quarantined_per_week
        So many scenes may be quarantined in a week.

    Raises
    ------
    RunError
        The database cannot be reached.
    StoreError
        The store cannot be read.
    """
    seen = ledger.looked(watch.name)
    collections = tuple(
        fresh(collection, news, seen or now)
        for collection, news in sorted(ledger.news(str(store), watch.name, now - HISTORY).items())
    )
    mosaic = fresh_mosaic(store, ledger, now=now)
    alerts = (
        _seen(watch, seen, now),
        *_late(watch, collections),
        _stale(store, mosaic),
        _given_up(watch, store, ledger),
        _quarantine(store, now - _WEEK, quarantined_per_week),
        _proposed(store, ledger),
        held_back(store),
    )
    return Judgement(alerts, collections, mosaic)


def no_longer_watched(alerts: Iterable[Alert], watches: Collection[str]) -> list[Alert]:
    """Return what takes the alerts of watches back that a service no longer has.

    Parameters
    ----------
    alerts
        Alerts that are open.
    watches
        Names of the watches that it has.
    """
    return [
        Alert(each.kind, each.subject, f"watch {watch} is no longer kept", "well")
        for each in alerts
        if each.kind in _OF_A_WATCH
        and (watch := each.subject.rpartition(_OF_WATCH)[2]) not in watches
    ]


def held_back(store: Store) -> Alert:
    """Return the verdict on versions that wait for a person.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    mosaic = find_repository(store.objects)
    waiting = held(mosaic) if mosaic else ()
    if waiting:
        last = waiting[-1]
        why = last.facts.get(HELD_FACT)
        sentence = (
            f"version {last.short} of {store} is held back{f': {why}' if why else ''}; look at it, "
            f"then `deepsalt mosaic publish` or `deepsalt mosaic drop` it"
        )
        return Alert("held", str(store), sentence)
    return Alert("held", str(store), f"no version of {store} is held back", "well")


def unusable(watch: Watch, refused: Mapping[str, str]) -> Alert:
    """Return the verdict on Items that a watch saw and cannot use, with the reason by id."""
    if refused:
        item, reason = next(iter(refused.items()))
        sentence = (
            f"watch {watch.name} cannot use {len(refused)} Item{'s' * (len(refused) > 1)}, one is "
            f"{item}: {reason}; nothing was submitted for them, tell their provider"
        )
        return Alert("unusable", watch.name, sentence)
    return Alert("unusable", watch.name, f"watch {watch.name} can use what it sees", "well")


def unusable_announcement(reason: str) -> Alert:
    """Return the alert on an announcement that cannot be used."""
    sentence = f"an announcement cannot be used: {reason}; tell whoever sends announcements"
    return Alert("announcement", "announcements", sentence)


def usable_announcement() -> Alert:
    """Return that announcements can be used again."""
    return Alert("announcement", "announcements", "announcements can be used", "well")


def out_of_budget(watch: Watch, stopped: str) -> Alert:
    """Return the verdict on the budget of a watch, with why it stopped."""
    if stopped:
        return Alert("budget", watch.name, stopped)
    return Alert("budget", watch.name, f"watch {watch.name} is within its budget", "well")


def reconcile_if_due(
    watch: Watch, store: Store, ledger: Ledger, *, now: datetime, every: timedelta = _WEEK
) -> Alert | None:
    """Compare all that was submitted with its catalogue, once a week; a verdict if it was due.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    before = ledger.reconciled(watch.name)
    if before is not None and now - before < every:
        return None
    try:
        reconcile(watch, store, ledger, now=now)
    except DeepsaltError as error:
        late = before is None or now - before >= 2 * every
        return Alert("reconcile", watch.name, str(error)) if late else None
    return Alert("reconcile", watch.name, f"watch {watch.name} agrees with its catalogue", "well")


def _seen(watch: Watch, seen: datetime | None, now: datetime) -> Alert:
    if seen is None or now - seen > UNSEEN:
        when = f"since {seen:%Y-%m-%d %H:%M} UTC" if seen else "yet"
        sentence = f"watch {watch.name} has not seen its catalogue {when}; look at its runs"
        return Alert("unseen", watch.name, sentence, "failure")
    return Alert("unseen", watch.name, f"watch {watch.name} sees its catalogue", "well")


def _late(watch: Watch, collections: tuple[Freshness, ...]) -> Iterator[Alert]:
    for each in collections:
        subject = f"{each.collection}{_OF_WATCH}{watch.name}"
        if each.late:
            advice = "ask its provider, or look at the watch's filters"
            yield Alert("late", subject, f"{subject} {each.late}; {advice}")
        elif not each.unjudged:
            yield Alert("late", subject, f"{subject} has news", "well")


def _stale(store: Store, mosaic: MosaicFreshness) -> Alert:
    if mosaic.since is not None:
        hours = mosaic.limit / timedelta(hours=1)
        sentence = (
            f"the mosaic of {store} lacks {_scenes(len(mosaic.waiting))} of the store, the first "
            f"since {mosaic.since:%Y-%m-%d %H:%M} UTC, more than {hours:.0f} h; look at the runs "
            "of build-mosaic"
        )
        return Alert("stale", str(store), sentence)
    return Alert("stale", str(store), f"the mosaic of {store} has the scenes of the store", "well")


def _given_up(watch: Watch, store: Store, ledger: Ledger) -> Alert:
    failed = ledger.in_state(str(store), State.FAILED, watch.name)
    lost = [each for each in failed if is_given_up(each, watch)]
    if lost:
        last = max(lost, key=lambda each: each.changed)
        sentence = (
            f"watch {watch.name} gave up {_scenes(len(lost))}, the last one {last.scene}: "
            f"{last.reason}; map them by hand, or withdraw them"
        )
        return Alert("given-up", watch.name, sentence)
    return Alert("given-up", watch.name, f"watch {watch.name} gave up no scene", "well")


def _quarantine(store: Store, since: datetime, most: int) -> Alert:
    new = quarantined_since(store, since)
    if len(new) > most:
        scene, reason = next(iter(new.items()))
        sentence = (
            f"{_scenes(len(new))} of {store} were quarantined in a week, {len(quarantined(store))} "
            f"are in all, one is {scene}: {reason}; look for what they have in common"
        )
        return Alert("quarantine", str(store), sentence)
    return Alert("quarantine", str(store), f"few scenes of {store} are quarantined", "well")


def _proposed(store: Store, ledger: Ledger) -> Alert:
    waiting = undecided(store, ledger)
    if waiting:
        first = waiting[0]
        sentence = (
            f"withdrawal of {_scenes(len(waiting))} of {store} is proposed, the first is "
            f"{first.collection}/{first.acquisition}: {first.reason}; ask its provider; "
            "`deepsalt proposals` lists them and says how to withdraw or keep one"
        )
        return Alert("proposed", str(store), sentence)
    return Alert("proposed", str(store), f"no withdrawal from {store} is proposed", "well")


def _scenes(count: int) -> str:
    return f"{count} scene{'s' * (count != 1)}"
