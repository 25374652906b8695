"""What a service does and costs, for Prometheus.

Runs are processes that end, on many machines, so nothing is counted in their memory: a scrape
computes from the rows of the service's database and from the store. It is cheap: SQL makes the
sums, and rows that are minutes old are summed once; of a store it reads a listing and the newest
version; an answer is given again for `KEPT_S`. No label names a scene.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from types import MappingProxyType

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from deepsalt.errors import DeepsaltError, StoreMissingError
from deepsalt.store import Store, count_quarantined
from deepsalt.versions import Mosaic, Version, open_repository
from flows.run.stores import find_store
from flows.watch.budget import standings
from flows.watch.costs import STAGES, Amounts, Costs, RunningTotals, Total
from flows.watch.database import Database
from flows.watch.ledger import Ledger, State

KEPT_S = 15.0
"""Time for which an answer is given again, seconds."""

_LEARNED = 200  # finished scenes that the usual latency is taken of
_USUAL = 0.9  # share of them that were as quick

COUNTERS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "deepsalt_scenes": (("store", "outcome"), "Scenes that runs dealt with, by outcome"),
        "deepsalt_runs": (("store", "flow", "outcome"), "Runs that ended, by outcome"),
        "deepsalt_pixels": (("store",), "Pixels of the scenes that were mapped"),
        "deepsalt_fetched_bytes": (("store",), "Bytes that servers of scenes sent"),
        "deepsalt_fetch_retries": (("store",), "Requests to servers of scenes made again"),
        "deepsalt_stage_seconds": (
            ("store", "stage"),
            "Seconds of each stage; scenes worked on at a time add up",
        ),
        "deepsalt_gpu_seconds": (("store",), "Seconds for which scenes held a GPU"),
        "deepsalt_worker_seconds": (("store",), "Wall time of workers"),
        "deepsalt_expected_fetched_bytes": (("store",), "Bytes that the catalogue let expect"),
        "deepsalt_expected_worker_seconds": (
            ("store",),
            "Wall time of workers that the catalogue let expect",
        ),
    }
)
"""Labels and help of each counter; its samples end in ``_total``."""

GAUGES: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "deepsalt_submissions": (("store", "state"), "Scenes in the ledger, by state"),
        "deepsalt_queue_age_seconds": (
            ("store",),
            "Age of the oldest submission under way; 0 without one",
        ),
        "deepsalt_usual_latency_seconds": (
            ("store",),
            "Time from notice to product that 9 of 10 recent scenes kept",
        ),
        "deepsalt_mosaic_lag_seconds": (
            ("store",),
            "Age of the first announced scene that the mosaic lacks; 0 if it has all",
        ),
        "deepsalt_mosaic_age_seconds": (("store",), "Age of the newest version of the mosaic"),
        "deepsalt_newest_scene_age_seconds": (
            ("store",),
            "Time since the end of the day of the newest scene in the mosaic",
        ),
        "deepsalt_quarantined_scenes": (("store",), "Scenes in quarantine"),
        "deepsalt_withdrawal_proposals": (
            ("store",),
            "Scenes that their catalogue no longer lists, for a person to decide",
        ),
        "deepsalt_budget_used_ratio": (
            ("store", "watch"),
            "Share of the scarcest limit of a budget that is spent or under way",
        ),
        "deepsalt_budget_stopped": (
            ("store", "watch"),
            "1 if the budget stopped submissions of the last pass, else 0",
        ),
        "deepsalt_source_up": (
            ("store", "source"),
            "1 if the database or the store could be read, else 0",
        ),
    }
)
"""Labels and help of each gauge."""


_OUTCOMES = ("written", "present", "withdrawn", "quarantined", "failed")
_Sample = tuple[str, tuple[str, ...], float]  # metric, labels beside the store, value


@dataclass(slots=True)
class _Place:
    """What is kept of a store between scrapes."""

    totals: RunningTotals
    store: Store | None = None
    mosaic: Mosaic | None = None
    built: datetime | None = None
    quarantine: dict[tuple[str, int], bool] = field(default_factory=dict)

    def head(self, place: str) -> Version | None:
        """Return the newest version; None before the first.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        self.store = self.store or find_store(place)
        if self.store is None:
            return None
        try:
            self.mosaic = self.mosaic or open_repository(self.store.objects)
        except StoreMissingError:
            return None
        head = self.mosaic.head()
        self.built = head.created if head else None
        return head


class ServiceCollector:
    """Computes the metrics of a service; register it with a registry of prometheus-client.

    Parameters
    ----------
    database
        The database of the service.
    stores
        Places of its stores.
    now
        Gives the time, UTC.
    """

    def __init__(
        self,
        database: Database,
        stores: Sequence[str],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._stores = {place: _Place(RunningTotals(place)) for place in stores}
        self._now = now
        self._lock = Lock()
        self._kept: list[Metric] = []
        self._until_s = 0.0

    def collect(self) -> Iterable[Metric]:
        """Return all metrics; those of a source that cannot be read are left out."""
        with self._lock:  # scrapes that come together share one answer
            if time.monotonic() >= self._until_s:
                self._kept = self._collected()
                self._until_s = time.monotonic() + KEPT_S
            return self._kept

    def _collected(self) -> list[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: CounterMetricFamily(name, help, labels=labels)
            for name, (labels, help) in COUNTERS.items()
        }
        families |= {
            name: GaugeMetricFamily(name, help, labels=labels)
            for name, (labels, help) in GAUGES.items()
        }
        now = self._now()
        for store, place in self._stores.items():
            for source, read in (("store", self._of_store), ("database", self._of_database)):
                try:
                    found, is_up = list(read(store, place, now)), 1
                except DeepsaltError:
                    found, is_up = [], 0
                for name, others, value in found:
                    families[name].add_metric([store, *others], value)
                families["deepsalt_source_up"].add_metric([store, source], is_up)
        return [*families.values()]

    def _of_store(self, store: str, place: _Place, now: datetime) -> Iterator[_Sample]:
        head = place.head(store)
        if place.store is not None:
            quarantine = count_quarantined(place.store, place.quarantine)
            yield "deepsalt_quarantined_scenes", (), quarantine
        if head is None:
            return
        yield "deepsalt_mosaic_age_seconds", (), _age_s(head.created, now)
        if newest := head.facts.get("newest"):
            evening = datetime.fromisoformat(newest).replace(tzinfo=UTC) + timedelta(days=1)
            yield "deepsalt_newest_scene_age_seconds", (), _age_s(evening, now)

    def _of_database(self, store: str, place: _Place, now: datetime) -> Iterator[_Sample]:
        ledger = Ledger(self._database)
        yield from _of_costs(place.totals(Costs(self._database), now))
        counts = ledger.count(store)
        for state in State:
            yield "deepsalt_submissions", (state,), counts.get(state, 0)
        queued = ledger.oldest(store, State.SUBMITTED)
        yield "deepsalt_queue_age_seconds", (), _age_s(queued, now)
        lacking = ledger.first_unseen(store, place.built)
        yield "deepsalt_mosaic_lag_seconds", (), _age_s(lacking, now)
        if took_s := sorted(ledger.latencies_s(store, _LEARNED)):
            usual_s = took_s[math.ceil(_USUAL * len(took_s)) - 1]
            yield "deepsalt_usual_latency_seconds", (), usual_s
        yield (
            "deepsalt_withdrawal_proposals",
            (),
            sum(each.kept is None for each in ledger.proposals(store)),
        )
        for each in standings(self._database, store):
            yield "deepsalt_budget_used_ratio", (each.watch,), each.used
            yield "deepsalt_budget_stopped", (each.watch,), bool(each.stopped)


def _of_costs(totals: Sequence[Total]) -> Iterator[_Sample]:
    scenes = dict.fromkeys(_OUTCOMES, 0.0)
    total = Amounts()
    for each in totals:
        if each.amounts.scenes:
            scenes[each.outcome] += each.amounts.scenes
        total += each.amounts
        if each.amounts.runs:
            yield "deepsalt_runs", (each.flow, each.outcome), each.amounts.runs
    for outcome in _OUTCOMES:
        yield "deepsalt_scenes", (outcome,), scenes[outcome]
    for stage in STAGES:
        yield "deepsalt_stage_seconds", (stage,), round(getattr(total, f"{stage}_s"), 6)
    yield "deepsalt_pixels", (), total.pixels
    yield "deepsalt_fetched_bytes", (), total.fetched_bytes
    yield "deepsalt_fetch_retries", (), total.retries
    yield "deepsalt_gpu_seconds", (), round(total.gpu_s, 6)
    yield "deepsalt_worker_seconds", (), round(total.worker_s, 6)
    yield "deepsalt_expected_fetched_bytes", (), total.expected_bytes
    yield "deepsalt_expected_worker_seconds", (), round(total.expected_s, 6)


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
