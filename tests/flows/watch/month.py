"""The world of a simulated month; the clock is moved by the test that has it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from deepsalt.errors import DeepsaltError, RunError
from deepsalt.products import complete_names
from deepsalt.store import Store
from deepsalt.types import Acquisition, ModelRef
from flows.config import Selection
from flows.watch.alerts import Alert, tell
from flows.watch.channels import Urgency
from flows.watch.database import Database
from flows.watch.judge import judge
from flows.watch.ledger import Ledger, Submission
from flows.watch.news import Announced
from flows.watch.reconcile import Reconciled, reconcile
from flows.watch.watch import Outcome, Submitter, Watch, Watcher
from tests.flows.watch.world import DAWN, Runs, item_of, scene
from tests.servers.stac import StacServer
from tests.store.builders import REF, make_store

PER_HOUR = 42
"""Announcements: 30,000 in a month."""

VERSION = "01.04.02"
"""Provider version of a scene that is new."""


class Killed(BaseException):
    """A watcher that is killed."""


@dataclass
class Month:
    """The world of a month; everything odd is drawn by `rng`."""

    folder: Path
    server: StacServer
    rng: Random
    hour: int = 0
    numbers: int = 0
    newest: dict[str, Acquisition] = field(default_factory=dict)
    published: dict[str, Acquisition] = field(default_factory=dict)
    ever: dict[str, Acquisition] = field(default_factory=dict)
    at_work: dict[str, tuple[Submission, int]] = field(default_factory=dict)
    gone: dict[tuple[str, str], Acquisition] = field(default_factory=dict)
    announced: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    kill_after: int | None = None
    store: Store = field(default_factory=make_store)
    model: ModelRef = REF
    make: Callable[[int, str], Acquisition] = scene
    real: Submitter | None = None
    is_real: Callable[[Submission], bool] = lambda submission: False

    def __post_init__(self) -> None:
        self.runs = Runs()
        self.watch = Watch("month", Selection(catalogue=self.server.url))

    @property
    def place(self) -> str:
        return f"sqlite:///{self.folder}/ledger.sqlite"

    @property
    def now(self) -> datetime:
        return DAWN + timedelta(hours=self.hour)

    def submit(self, submission: Submission) -> str:
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                raise Killed
        if self.runs.away:
            raise RunError("the server is away")
        if self.real is not None and self.is_real(submission):
            return self.real.submit(submission)
        assert submission.product not in complete_names(self.store, [submission.product])
        run = self.runs.submit(submission)
        self.at_work.setdefault(run, (submission, self.hour + self.rng.randint(0, 3)))
        return run

    def outcome(self, run: str) -> tuple[Outcome, str]:
        if self.real is not None and not run.startswith("run-"):
            return self.real.outcome(run)
        return self.runs.outcome(run)

    def publish(self, each: Acquisition, *, late: bool = False) -> None:
        known = self.newest.get(each.acquisition_id)
        if known is None or known.version < each.version:
            self.newest[each.acquisition_id] = each
        self.published[each.key] = self.ever[each.key] = each
        updated = self.now - timedelta(hours=self.rng.randint(1, 40) if late else 0)
        document = item_of(each, updated).to_dict()
        self.server.items = [i for i in self.server.items if i["id"] != document["id"]]
        self.server.items.append(document)
        self.announced += 1

    def withdraw(self, each: Acquisition) -> None:
        """Let the catalogue lose an acquisition, in all its versions."""
        id = each.acquisition_id
        del self.newest[id]
        self.gone[each.collection, id] = each
        lost = {key: old for key, old in self.published.items() if old.acquisition_id == id}
        for key, old in lost.items():
            del self.published[key]
            self.server.items = [i for i in self.server.items if i["id"] != old.scene_id]

    def compare(self) -> Reconciled:
        """Compare what was submitted with the catalogue, as is done once a week."""
        with self._ledger() as ledger:
            return reconcile(self.watch, self.store, ledger, now=self.now)

    def judge(self) -> list[Alert]:
        """Judge as `validate` does each hour; what people are told."""
        with Database(self.place) as database:
            found = judge(self.watch, self.store, Ledger(database), now=self.now)
            return tell(found.alerts, database, now=self.now, sender=self)

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        return True

    def an_hour(self) -> None:
        for _ in range(PER_HOUR):
            drawn = self.rng.random()
            if drawn < 0.6 or not self.newest:
                self.numbers += 1
                self.publish(self.make(self.numbers, VERSION), late=drawn < 0.1)
            elif drawn < 0.7:
                self.odd["reprocessed"] += 1
                older = self.rng.choice([*self.newest.values()])
                number = int(older.acquisition_id[2:12])
                self.publish(self.make(number, f"01.05.{self.rng.randint(2, 9):02d}"))
            elif drawn < 0.8:
                self.odd["published again"] += 1
                self.publish(self.rng.choice([*self.published.values()]))
            else:
                self.odd["event"] += 1
                self._guarded(self._tell, self.rng.choice([*self.published.values()]))
        if self.rng.random() < 0.3:
            self.odd["withdrawn"] += 1
            self.withdraw(self.rng.choice([*self.newest.values()]))
        if self.rng.random() < 0.1:
            self.odd["catalogue away"] += 1
            self.server.failures = [503] * 5
        self.runs.away = self.rng.random() < 0.1
        self.odd["submitter away"] += self.runs.away
        if self.rng.random() < 0.1:
            self.odd["watcher killed"] += 1
            self.kill_after = self.rng.randint(0, 20)
        if self.rng.random() < 0.02:
            self.odd["ledger lost"] += 1
            for path in self.folder.glob("ledger*"):
                path.unlink()
        self._guarded(self._look)
        self.runs.away, self.kill_after = False, None
        self.server.failures = []
        self._let_runs_end()
        self.hour += 1

    def quiet(self) -> None:
        """Let everything come to its end, without anything odd."""
        for _ in range(12):
            self._look()
            self._let_runs_end(all_well=True)
            self.hour += 1

    def _guarded(self, work, *args: object) -> None:
        try:
            work(*args)
        except (DeepsaltError, Killed):
            self.odd["pass that failed"] += 1

    def _look(self) -> None:
        with self._ledger() as ledger:
            self._watcher(ledger).pass_over(self.now)

    def _tell(self, each: Acquisition) -> None:
        told = Announced(each, f"{self.server.url}/collections/{each.collection}/{each.scene_id}")
        with self._ledger() as ledger:
            self._watcher(ledger).announce(told, self.now)

    def _watcher(self, ledger: Ledger) -> Watcher:
        return Watcher(self.watch, self.store, self.model, ledger, self)

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        with Database(self.place) as database:
            yield Ledger(database)

    def _let_runs_end(self, *, all_well: bool = False) -> None:
        for run, (submission, until) in list(self.at_work.items()):
            if until > self.hour and not all_well:
                continue
            del self.at_work[run]
            if not all_well and self.rng.random() < 0.03:
                self.odd["run failed"] += 1
                self.runs.ended[run] = Outcome.FAILED, "the archive was away"
                continue
            self.runs.ended[run] = Outcome.COMPLETED, ""
            key = f"records/done/{submission.product}.json"
            self.store.objects.create(key, json.dumps({}).encode())
