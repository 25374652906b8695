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
from flows.prefect.retries import again, is_worth_a_retry
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

_WAITS_S = (2, 5, 15, 30)
"""Seconds before each further try of an announcement; then the next pass of its watch finds it."""


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
            refused = error  # it may be of another watch's catalogue
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
        tasks.create_task(_take_all(waiting, watches))


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


async def _take_all(waiting: "asyncio.Queue[Event]", watches: tuple[WatchConfig, ...]) -> None:
    """Submit what is announced, one after the other."""
    while True:
        await asyncio.to_thread(_take, await waiting.get(), watches)


async def _look_after(pulse: Pulse) -> None:
    """Look every half minute for runs that have died."""
    with get_client(sync_client=True) as client:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(end_zombies, client, pulse)


def _take(event: Event, watches: tuple[WatchConfig, ...]) -> None:
    try:
        started = again(lambda: hear(event, watches), _WAITS_S)
    except DeepsaltError as error:
        logger.warning("announcement %s: %s", event.id, error)
        if is_worth_a_retry(error):
            return  # who announced it is not to blame; the next pass of its watch finds it
        verdict = unusable_announcement(str(error))
    else:
        logger.info("announcement %s: %s", event.id, ", ".join(started) or "nothing new")
        verdict = usable_announcement()
    with suppress(DeepsaltError), Database(database_url()) as database:
        tell([verdict], database)


def run(config: ServiceConfig) -> None:
    """Listen for a service until the process is stopped."""
    # By force: the command has set up its own, without times and without what was submitted.
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(listen(config.watches))
