"""An announcement reaches each watch that includes it, and nothing that is posted ends a run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import Event, Resource

from catalog.search import server
from deepsalt.errors import FormatError, RunError
from flows.config import Selection, WatchConfig
from flows.service import listener
from flows.service.zombies import BEAT, Pulse
from flows.watch.alerts import Alert, open_alerts
from flows.watch.arrivals import EVENT
from flows.watch.database import URL_VARIABLE, Database
from flows.watch.watch import Watcher
from tests.flows.watch.world import World, scene
from tests.servers.hostile import Reply, hostile_server
from tests.servers.ports import free_port

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
RUN = UUID(int=1)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.publish(scene(1))

    @contextmanager
    def opened(config: WatchConfig) -> Iterator[tuple[Watcher, Database | None]]:
        with world.ledger() as ledger:
            yield world.watcher(ledger), None

    monkeypatch.setattr(listener, "opened", opened)
    monkeypatch.setattr(server, "WAITS_S", ())
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path}/ledger.sqlite")
    return world


def event(name: str = EVENT, about: str = "deepsalt.scene", **payload: object) -> Event:
    return Event(event=name, resource=Resource({"prefect.resource.id": about}), payload=payload)


def watch(world: World, name: str, *collections: str) -> WatchConfig:
    selection = Selection(catalogue=str(world.catalogue), collections=collections)
    return WatchConfig(name=name, selection=selection, out=str(world.folder / "store"))


def away(world: World, url: str) -> WatchConfig:
    """Return a watch of a catalogue on a server."""
    return WatchConfig(
        name="away", selection=Selection(catalogue=url), out=str(world.folder / "store")
    )


def fail_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the next announcement that is heard meet an error."""
    opened, errors = listener.opened, [error]

    def fails(config: WatchConfig) -> AbstractContextManager[tuple[Watcher, Database]]:
        if errors:
            raise errors.pop()
        return opened(config)

    monkeypatch.setattr(listener, "opened", fails)


def item(world: World) -> str:
    return str(next(world.catalogue.rglob(f"{scene(1).scene_id}.json")))


def test_an_announcement_passes_a_watch_of_other_collections_by(world: World) -> None:
    watches = [watch(world, "other", "other"), watch(world, "all")]
    assert len(listener.hear(event(item=item(world)), watches)) == 1


def test_an_announcement_from_nowhere_is_refused(world: World) -> None:
    watches = [watch(world, "a"), watch(world, "b", "other")]
    with pytest.raises(FormatError, match="does not lie in the catalogue"):
        listener.hear(event(item="/etc/passwd"), watches)


def test_an_announcement_of_a_watch_whose_server_is_away_may_be_tried_again(world: World) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RunError, match="did not answer"):
        listener.hear(event(item=f"{url}/a.json"), [away(world, url), watch(world, "all")])


async def take(watches: tuple[WatchConfig, ...], *events: Event, until: Callable[[], bool]) -> None:
    """Take announcements until something is so; a wait that never ends fails."""
    waiting = asyncio.Queue[Event]()
    for each in events:
        waiting.put_nowait(each)
    taking = asyncio.create_task(listener.take_all(waiting, watches))
    async with asyncio.timeout(60):
        while not until():
            assert not taking.done()
            await asyncio.sleep(0.01)
    taking.cancel()
    with suppress(asyncio.CancelledError):
        await taking


def alerts(world: World) -> list[Alert]:
    with Database(f"sqlite:///{world.folder}/ledger.sqlite") as database:
        return open_alerts(database)


def test_an_announcement_that_waits_for_its_retry_delays_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "WAITS_S", (3600.0,))
    url = f"http://127.0.0.1:{free_port()}"
    watches = (away(world, url), watch(world, "all"))
    told = [event(item=f"{url}/a.json"), event(item=item(world))]
    asyncio.run(take(watches, *told, until=lambda: bool(world.runs.asked)))


def test_an_announcement_is_tried_again_after_its_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "WAITS_S", (0.0,))
    fail_once(monkeypatch, RunError("the server is away"))
    asyncio.run(
        take((watch(world, "all"),), event(item=item(world)), until=lambda: bool(world.runs.asked))
    )


def test_announcements_that_find_too_many_waiting_are_left_to_their_watch(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "MOST_ASIDE", 1)
    url = f"http://127.0.0.1:{free_port()}"
    told = [event(item=f"{url}/{name}.json") for name in "ab"]
    left = f"announcement {told[1].id}: too many wait; its watch will find it"
    asyncio.run(take((away(world, url),), *told, until=lambda: left in caplog.messages))


def test_an_unforeseen_error_of_one_announcement_loses_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_once(monkeypatch, ZeroDivisionError("SECRET"))
    told = [event(item=item(world)), event(item=item(world))]
    asyncio.run(take((watch(world, "all"),), *told, until=lambda: bool(world.runs.asked)))
    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert said == (
        f"announcement {told[0].id} met an unforeseen ZeroDivisionError; its watch will find it, "
        "report the error"
    )


def test_an_announced_item_that_its_server_does_not_have_raises_an_alert(world: World) -> None:
    with hostile_server(lambda *_: Reply(404, {"Content-Length": "0"})) as found:
        told = event(item=f"{found.url}/a.json")
        asyncio.run(take((away(world, found.url),), told, until=lambda: bool(alerts(world))))
    ((kind, sentence),) = [(each.kind, each.sentence) for each in alerts(world)]
    assert (kind, "HTTP status 404" in sentence) == ("announcement", True)


def test_signs_of_life_do_not_wait_for_announcements(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [event(item="/slow"), event(BEAT, "prefect.flow-run.junk")]
    told.append(event(BEAT, f"prefect.flow-run.{RUN}"))

    @asynccontextmanager
    async def subscribed(*_: object) -> AsyncIterator[AsyncIterator[Event]]:
        async def events() -> AsyncIterator[Event]:
            for each in told:
                yield each

        yield events()

    monkeypatch.setattr(listener, "get_events_subscriber", subscribed)
    pulse, waiting = Pulse(BEGAN), asyncio.Queue[Event]()
    asyncio.run(listener.hear_all(pulse, waiting))
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert pulse.silent([(RUN, StateType.RUNNING, BEGAN)], soon) == []
    assert waiting.qsize() == 1
