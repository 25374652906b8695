"""An announcement reaches each watch that includes it, and nothing that is posted ends a run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import Event, Resource

from deepsalt.errors import FormatError
from flows.config import Selection, WatchConfig
from flows.service import listener
from flows.service.zombies import BEAT, Pulse
from flows.watch.arrivals import EVENT
from flows.watch.database import Database
from flows.watch.watch import Watcher
from tests.flows.watch.world import World, scene

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
    return world


def event(name: str = EVENT, about: str = "deepsalt.scene", **payload: object) -> Event:
    return Event(event=name, resource=Resource({"prefect.resource.id": about}), payload=payload)


def watch(world: World, name: str, *collections: str) -> WatchConfig:
    selection = Selection(catalogue=str(world.catalogue), collections=collections)
    return WatchConfig(name=name, selection=selection, out=str(world.folder / "store"))


def item(world: World) -> str:
    return str(next(world.catalogue.rglob(f"{scene(1).scene_id}.json")))


def test_an_announcement_passes_a_watch_of_other_collections_by(world: World) -> None:
    watches = [watch(world, "other", "other"), watch(world, "all")]
    assert len(listener.hear(event(item=item(world)), watches)) == 1


def test_an_announcement_from_nowhere_is_refused(world: World) -> None:
    watches = [watch(world, "a"), watch(world, "b", "other")]
    with pytest.raises(FormatError, match="does not lie in the catalogue"):
        listener.hear(event(item="/etc/passwd"), watches)


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
