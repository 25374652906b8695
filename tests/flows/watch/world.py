"""A catalogue that publishes, a store that fills, and a submitter that tests decide for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pystac

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.products import product_name
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import Selection
from flows.watch.database import Database
from flows.watch.ledger import Ledger, Submission
from flows.watch.news import Announced
from flows.watch.reconcile import Reconciled, reconcile
from flows.watch.watch import Outcome, Watch, Watcher, WatchReport
from tests.catalog.scenes import acquisition
from tests.store.builders import REF, make_store

DAWN = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


def scene(number: int, version: str = "01.04.02") -> Acquisition:
    name = f"DT{number:010d}_001"
    id = f"ENMAP01-____L2A-{name}_20240630T082045Z_001_V{version.replace('.', '')}_20240701T000000Z"
    return acquisition(acquisition_id=name, scene_id=id, version=version)


def item_of(scene: Acquisition, updated: datetime | None) -> pystac.Item:
    item = to_item(scene)
    if updated is not None:
        item.properties["updated"] = updated.isoformat()
    return item


@dataclass
class Runs:
    """A submitter that remembers; a run ends when the test says so."""

    by_key: dict[tuple[str, int], str] = field(default_factory=dict)
    asked: list[Submission] = field(default_factory=list)
    ended: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    away: bool = False

    def submit(self, submission: Submission) -> str:
        if self.away:
            raise ConnectionError("the server is away")
        self.asked.append(submission)
        key = submission.product, submission.attempt
        return self.by_key.setdefault(key, f"run-{len(self.by_key)}")

    def outcome(self, run: str) -> tuple[Outcome, str]:
        return self.ended.get(run, (Outcome.ACTIVE, ""))

    def fail(self, product: str, reason: str) -> None:
        self.end(product, Outcome.FAILED, reason)

    def end(self, product: str, outcome: Outcome, reason: str) -> None:
        for (name, _), run in self.by_key.items():
            if name == product:
                self.ended.setdefault(run, (outcome, reason))


@dataclass
class World:
    """What a watch works on, and a clock that the test moves."""

    folder: Path
    store: Store = field(default_factory=make_store)
    runs: Runs = field(default_factory=Runs)
    now: datetime = DAWN
    most: int = 500

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue"

    @property
    def watch(self) -> Watch:
        return Watch("enmap", Selection(catalogue=str(self.catalogue)), most=self.most)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Database(f"sqlite:///{self.folder}/ledger.sqlite") as database:
            yield Ledger(database)

    def watcher(self, ledger: Ledger) -> Watcher:
        return Watcher(self.watch, self.store, REF, ledger, self.runs)

    def publish(self, *scenes: Acquisition, updated: datetime | None = None) -> None:
        add_items(self.catalogue, [item_of(each, updated or self.now) for each in scenes])

    def look(self, **changes: timedelta) -> WatchReport:
        self.now += changes.get("after", timedelta(hours=1))
        with self.ledger() as ledger:
            return self.watcher(ledger).pass_over(self.now)

    def finish(self, *scenes: Acquisition) -> None:
        """Let the products of scenes be complete."""
        for each in scenes:
            name = product_name(each, REF)
            self.store.objects.create(f"records/done/{name}.json", json.dumps({}).encode())

    def tell(self, scene: Acquisition) -> WatchReport:
        """Announce a scene as an event does."""
        with self.ledger() as ledger:
            told = Announced(scene, f"{self.catalogue}/{scene.scene_id}.json")
            return self.watcher(ledger).announce(told, self.now)

    def compare(self) -> Reconciled:
        with self.ledger() as ledger:
            return reconcile(self.watch, self.store, ledger, now=self.now)

    def remove(self, scene: Acquisition) -> None:
        """Take a scene out of the catalogue."""
        (path,) = self.catalogue.rglob(f"{scene.scene_id}.json")
        for other in self.catalogue.rglob("*.json"):
            document = json.loads(other.read_text())
            links = [link for link in document["links"] if path.name not in link["href"]]
            other.write_text(json.dumps({**document, "links": links}))
        path.unlink()
