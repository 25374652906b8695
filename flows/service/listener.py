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
from flows.prefect.watch import opened
from flows.service.config import ServiceConfig
from flows.service.zombies import BEAT, Pulse, end_zombies
from flows.watch.alerts import tell
from flows.watch.arrivals import EVENT, arrived, item_of
from flows.watch.database import Database, database_url
from flows.watch.judge import unusable_announcement, usable_announcement

logger = logging.getLogger(__name__)

LISTENING = "listening"
"""What the program writes once nothing that is announced escapes it."""

_RECONNECTIONS = 1000
"""Attempts in a row, a second apart; then the process ends, and starts again."""

_LOOK_S = 30.0


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
    for config in watches:
        try:
            found = arrived(item, config.selection)
        except DeepsaltError as error:
            refused = error  # it may be of another watch's catalogue
            continue
        refused = None
        if found is not None:
            with opened(config) as (watcher, _):
                started += watcher.announce(found).submitted
        break
    if refused is not None:
        raise refused
    return started


async def listen(watches: tuple[WatchConfig, ...]) -> None:
    """Hear events until cancelled; one that cannot be used is logged and stops nothing."""
    pulse = Pulse(datetime.now(UTC))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_look_after(pulse))
        tasks.create_task(_hear_all(pulse, watches))


async def _hear_all(pulse: Pulse, watches: tuple[WatchConfig, ...]) -> None:
    named = EventFilter(event=EventNameFilter(name=[EVENT, BEAT]))
    async with get_events_subscriber(named, _RECONNECTIONS, True) as events:
        sys.stdout.write(f"{LISTENING}\n")
        sys.stdout.flush()
        async for event in events:
            if event.event == BEAT:
                pulse.hear(UUID(event.resource.id.rpartition(".")[2]), datetime.now(UTC))
            else:
                await asyncio.to_thread(_take, event, watches)


async def _look_after(pulse: Pulse) -> None:
    """Look every half minute for runs that have died."""
    with get_client(sync_client=True) as client:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(end_zombies, client, pulse)


def _take(event: Event, watches: tuple[WatchConfig, ...]) -> None:
    try:
        started = hear(event, watches)
    except DeepsaltError as error:
        logger.warning("announcement %s: %s", event.id, error)
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
