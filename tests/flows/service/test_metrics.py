"""A scrape says what the database and the stores say, cheaply, and with few labels."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deepsalt.objects import Objects
from deepsalt.store import Store, quarantine, release
from deepsalt.versions import open_repository
from flows.config import BudgetConfig, SceneConfig
from flows.service.metrics import COUNTERS, GAUGES, KEPT_S, ServiceCollector
from flows.watch.budget import Budget
from flows.watch.costs import Amounts, Cost, Costs
from flows.watch.database import Database
from flows.watch.ledger import Ledger, Proposal, State, Submission
from tests.store.builders import acquisition, add_product, build, make_store

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/service.sqlite") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(Objects.of(tmp_path / "store"))


def submission(
    store: Store, product: str, state: State, *, seen: float, changed: float
) -> Submission:
    """A submission that was seen and changed so many hours ago."""
    return Submission(
        product=product,
        store=str(store),
        watch="w",
        collection="c",
        acquisition=product,
        version="1",
        scene=product,
        item="item",
        state=state,
        attempt=1,
        run="r",
        reason="",
        acquired=None,
        announced=NOW - seen * HOUR,
        changed=NOW - changed * HOUR,
    )


class Scraped(dict[str, float]):
    """Samples by name and labels beside the store, such as ``deepsalt_scenes_total written``."""


def scrape(database: Database, *stores: object, now: datetime = NOW) -> Scraped:
    collector = ServiceCollector(database, [*map(str, stores)], now=lambda: now)
    found = Scraped()
    for family in collector.collect():
        for sample in family.samples:
            others = [value for name, value in sample.labels.items() if name != "store"]
            found[" ".join([sample.name, *others])] = sample.value
    return found


def test_recorded_costs_of_a_store_become_its_counters(database: Database, store: Store) -> None:
    scene = Amounts(
        runs=1, scenes=1, pixels=50, fetched_bytes=7, retries=2, map_s=3.0, gpu_s=3.0, worker_s=9.0
    )
    build = Amounts(runs=1, compose_s=4.0, worker_s=5.0)
    Costs(database).record(
        [
            Cost(str(store), "process-scene", "a", "written", NOW, scene),
            Cost(str(store), "process-scene", "b", "failed", NOW, Amounts(runs=1, scenes=1)),
            Cost(str(store), "build-mosaic", "r", "built", NOW, build),
            Cost("another", "process-scene", "a", "written", NOW, scene),
        ]
    )
    found = scrape(database, store)
    assert found["deepsalt_scenes_total written"] == 1
    assert found["deepsalt_scenes_total failed"] == 1
    assert found["deepsalt_scenes_total quarantined"] == 0
    assert found["deepsalt_runs_total build-mosaic built"] == 1
    assert found["deepsalt_pixels_total"] == 50
    assert found["deepsalt_fetched_bytes_total"] == 7
    assert found["deepsalt_fetch_retries_total"] == 2
    assert found["deepsalt_stage_seconds_total map"] == 3
    assert found["deepsalt_stage_seconds_total compose"] == 4
    assert found["deepsalt_gpu_seconds_total"] == 3
    assert found["deepsalt_worker_seconds_total"] == 14


def test_the_queue_is_as_old_as_its_oldest_submission(database: Database, store: Store) -> None:
    assert scrape(database, store)["deepsalt_queue_age_seconds"] == 0
    ledger = Ledger(database)
    for name, state, changed in (
        ("a", State.SUBMITTED, 2),
        ("b", State.SUBMITTED, 5),
        ("c", State.FAILED, 9),
    ):
        ledger.write(submission(store, name, state, seen=20, changed=changed))
    found = scrape(database, store)
    assert found["deepsalt_queue_age_seconds"] == 5 * 3600
    assert found["deepsalt_submissions submitted"] == 2
    assert found["deepsalt_submissions failed"] == 1


def test_the_usual_latency_is_what_nine_of_ten_scenes_kept(
    database: Database, store: Store
) -> None:
    assert "deepsalt_usual_latency_seconds" not in scrape(database, store)
    ledger = Ledger(database)
    for hours in range(1, 11):
        ledger.write(submission(store, f"p{hours}", State.DONE, seen=hours, changed=0))
    assert scrape(database, store)["deepsalt_usual_latency_seconds"] == 9 * 3600


def test_a_mosaic_lags_by_the_first_scene_that_it_lacks(database: Database, store: Store) -> None:
    add_product(store, acquisition("a"))
    build(store)
    head = open_repository(store.objects).head()
    assert head is not None
    later = head.created + 10 * HOUR
    ledger = Ledger(database)
    before, after = head.created - HOUR, head.created + HOUR

    def done(name: str, announced: datetime, changed: datetime) -> None:
        made = submission(store, name, State.DONE, seen=0, changed=0)
        ledger.write(replace(made, announced=announced, changed=changed))

    done("in", before - HOUR, before)
    found = scrape(database, store, now=later)
    assert found["deepsalt_mosaic_lag_seconds"] == 0
    assert found["deepsalt_mosaic_age_seconds"] == 10 * 3600
    done("out", before, after)
    assert scrape(database, store, now=later)["deepsalt_mosaic_lag_seconds"] == 11 * 3600


def test_the_newest_scene_has_an_age(database: Database, store: Store) -> None:
    add_product(store, acquisition("a", day=3))
    build(store)
    found = scrape(database, store, now=datetime(2024, 5, 5, tzinfo=UTC))
    assert found["deepsalt_newest_scene_age_seconds"] == 24 * 3600


def test_scenes_in_quarantine_are_counted_and_a_record_is_read_once(
    database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scene in ("a", "b", "c"):
        quarantine(store, scene, "broken")
    release(store, "b")
    read: list[str] = []
    real = Objects.read
    monkeypatch.setattr(
        Objects, "read", lambda self, key, *rest: read.append(key) or real(self, key, *rest)
    )
    collector = ServiceCollector(database, [str(store)], now=lambda: NOW)

    def count() -> float:
        (family,) = (f for f in collector.collect() if f.name == "deepsalt_quarantined_scenes")
        return family.samples[0].value

    assert count() == 2
    first = [key for key in read if "quarantine" in key]
    monkeypatch.setattr("flows.service.metrics.time.monotonic", lambda: 10**9)
    quarantine(store, "d", "broken")
    read.clear()
    assert count() == 3
    assert (len(first), len([key for key in read if "quarantine" in key])) == (3, 1)


def test_an_answer_is_given_again_for_a_while(
    database: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("flows.service.metrics.time.monotonic", lambda: clock[0])
    collector = ServiceCollector(database, [str(store)])
    first = collector.collect()
    clock[0] = KEPT_S - 1
    assert collector.collect() is first
    clock[0] = KEPT_S + 1
    assert collector.collect() is not first


def test_proposals_and_budgets_are_shown(database: Database, store: Store) -> None:
    Ledger(database).propose(Proposal(str(store), "c", "a", "gone", NOW))
    budget = Budget("w", str(store), BudgetConfig(scenes=0), SceneConfig(), database)
    budget.open(NOW).close("the budget is reached")
    found = scrape(database, store)
    assert found["deepsalt_withdrawal_proposals"] == 1
    assert found["deepsalt_budget_used_ratio w"] == 1
    assert found["deepsalt_budget_stopped w"] == 1


def test_a_store_that_is_not_there_yet_has_counters(database: Database, tmp_path: Path) -> None:
    found = scrape(database, tmp_path / "none")
    assert found["deepsalt_source_up store"] == 1
    assert found["deepsalt_pixels_total"] == 0
    assert "deepsalt_mosaic_age_seconds" not in found


def test_a_source_that_is_away_is_said_and_the_other_is_read(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "gone" / "service.sqlite"
    file.parent.mkdir()
    with Database(f"sqlite:///{file}") as database:
        pass
    for each in file.parent.iterdir():
        each.unlink()
    file.parent.rmdir()
    found = scrape(database, store)
    assert found["deepsalt_source_up database"] == 0
    assert found["deepsalt_source_up store"] == 1
    assert "deepsalt_quarantined_scenes" in found
    assert "deepsalt_pixels_total" not in found


def test_metrics_follow_the_conventions(database: Database, store: Store) -> None:
    registry = CollectorRegistry()
    registry.register(ServiceCollector(database, [str(store)]))
    text = generate_latest(registry).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert {*families} == {*COUNTERS, *GAUGES}
    for each in families.values():
        assert each.documentation
        assert not each.name.endswith(("_ms", "_minutes", "_hours", "_gb", "_count"))
        for sample in each.samples:
            assert len(sample.labels) <= 3


def test_a_registry_takes_the_collector_without_a_scrape(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/service.sqlite") as database:
        collector = ServiceCollector(database, ["s3://no-such-bucket/store"])
        CollectorRegistry().register(collector)  # would ask the bucket if it scraped
