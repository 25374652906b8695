"""Hears the server: announcements of scenes become runs within a second or two, silent runs end.

An event is a hint: one that is lost while nobody listens is found by the next pass of its watch.
"""

import asyncio
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.events import Event

from deepsalt.errors import DeepsaltError
from flows.config import WatchConfig
from flows.prefect.retries import is_worth_a_retry
from flows.prefect.watch import opened
from flows.service.config import ServiceConfig
from flows.service.environment import LISTENING
from flows.service.zombies import BEAT, Pulse, end_zombies
from flows.watch.alerts import tell
from flows.watch.arrivals import EVENT, arrived, item_of
from flows.watch.database import Database, database_url
from flows.watch.judge import unusable_announcement, usable_announcement

logger = logging.getLogger(__name__)

_RECONNECTIONS = 1000
"""Attempts in a row, a second apart; then the process ends, and starts again."""

_LOOK_S = 30.0

_MOST_WAITING = 10_000
"""Announcements that wait at most; the passes of watches find the others."""

WAITS_S = (2.0, 5.0, 15.0, 30.0)
"""Seconds before each further try of an announcement; then the next pass of its watch finds it."""

MOST_ASIDE = 1000
"""Announcements that wait for a further try at most."""


def hear(event: Event, watches: Iterable[WatchConfig]) -> list[str]:
    """Submit the scene of an event for each watch that includes it.

    Parameters
    ----------
    event
        What was announced.
    watches
        The watches of the service.

    Returns
    -------
    list of str
        Names of the products whose runs were started.

    Raises
    ------
    FormatError
        The event or the Item cannot be used.
    RunError
        Server, database or store do not answer.
    """
    item = item_of(event.payload)
    started: list[str] = []
    refused: DeepsaltError | None = None
    is_known = False
    for config in watches:
        try:
            found = arrived(item, config.selection)
        except DeepsaltError as error:
            # It may be of another watch's catalogue; one that is away cannot say so yet.
            if refused is None or is_worth_a_retry(error):
                refused = error
            continue
        is_known = True
        if found is not None:
            with opened(config) as (watcher, _):
                started += watcher.announce(found).submitted
    if refused is not None and not is_known:
        raise refused
    return started


async def listen(watches: tuple[WatchConfig, ...]) -> None:
    """Hear events until cancelled; one that cannot be used is logged and stops nothing."""
    pulse = Pulse(datetime.now(UTC))
    waiting = asyncio.Queue[Event](_MOST_WAITING)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_look_after(pulse))
        tasks.create_task(hear_all(pulse, waiting))
        tasks.create_task(take_all(waiting, watches))


async def hear_all(pulse: Pulse, waiting: "asyncio.Queue[Event]") -> None:
    """Hear events until the server is away for long; announcements are put aside.

    Signs of life are heard at once: behind slow announcements healthy runs would seem silent.

    Parameters
    ----------
    pulse
        Learns of signs of life.
    waiting
        Gets the announcements; those that find it full are left to the watches.
    """
    named = EventFilter(event=EventNameFilter(name=[EVENT, BEAT]))
    async with get_events_subscriber(named, _RECONNECTIONS, True) as events:
        sys.stdout.write(f"{LISTENING}\n")
        sys.stdout.flush()
        async for event in events:
            if event.event == BEAT:
                with suppress(ValueError):  # anybody may post one, of no run
                    pulse.hear(UUID(event.resource.id.rpartition(".")[2]), datetime.now(UTC))
            elif waiting.full():
                logger.warning("announcement %s: too many wait; its watch will find it", event.id)
            else:
                waiting.put_nowait(event)


async def take_all(waiting: "asyncio.Queue[Event]", watches: tuple[WatchConfig, ...]) -> None:
    """Submit what is announced, one after the other, until cancelled.

    What has to be tried again waits aside, and is tried beside the others: it delays none of them.

    Parameters
    ----------
    waiting
        Has the announcements.
    watches
        The watches of the service.
    """
    aside, turn = set[asyncio.Task[None]](), asyncio.Lock()
    async with asyncio.TaskGroup() as tasks:
        while True:
            event = await waiting.get()
            if await asyncio.to_thread(_is_settled, event, watches):
                continue
            if len(aside) >= MOST_ASIDE:
                logger.warning("announcement %s: too many wait; its watch will find it", event.id)
                continue
            later = tasks.create_task(_take_later(event, watches, turn))
            aside.add(later)
            later.add_done_callback(aside.discard)


async def _take_later(event: Event, watches: tuple[WatchConfig, ...], turn: asyncio.Lock) -> None:
    """Try an announcement again after each wait, one at a time: threads are few."""
    for wait_s in WAITS_S:
        await asyncio.sleep(wait_s)
        async with turn:
            if await asyncio.to_thread(_is_settled, event, watches):
                return
    logger.warning("announcement %s: no further try; its watch will find it", event.id)


async def _look_after(pulse: Pulse) -> None:
    """Look every half minute for runs that have died."""
    with get_client(sync_client=True) as client:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(end_zombies, client, pulse)


def _is_settled(event: Event, watches: tuple[WatchConfig, ...]) -> bool:
    """Take an announcement; return whether no later try could end otherwise."""
    try:
        return _take(event, watches)
    except Exception as error:  # noqa: BLE001 - one announcement must not end all that wait
        # Anybody may post, and what libraries raise is not known beforehand. Only the type is
        # logged: the text of a stranger's error may have a password, or many lines.
        logger.error(
            "announcement %s met an unforeseen %s; its watch will find it, report the error",
            event.id,
            type(error).__name__,
        )
        return True


def _take(event: Event, watches: tuple[WatchConfig, ...]) -> bool:
    try:
        started = hear(event, watches)
    except (DeepsaltError, OSError) as error:
        logger.warning("announcement %s: %s", event.id, error)
        if is_worth_a_retry(error):
            return False  # who announced it is not to blame
        verdict = unusable_announcement(str(error))
    else:
        logger.info("announcement %s: %s", event.id, ", ".join(started) or "nothing new")
        verdict = usable_announcement()
    with suppress(DeepsaltError), Database(database_url()) as database:
        tell([verdict], database)
    return True


def run(config: ServiceConfig) -> None:
    """Listen for a service until the process is stopped."""
    # By force: the command has set up its own, without times and without what was submitted.
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(listen(config.watches))
