"""A budget stops new submissions, says so, and lets them go on when there is more."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from flows.config import BudgetConfig, SceneConfig
from flows.watch.budget import Budget, Standing, period_start, standings
from flows.watch.costs import Amounts, Cost, Costs
from flows.watch.database import Database
from flows.watch.ledger import Ledger
from flows.watch.watch import WatchReport
from tests.flows.watch.world import DAWN, World, scene

HOUR = Amounts(runs=1, scenes=1, fetched_bytes=2e9, worker_s=3600.0)


@dataclass
class Region(World):
    """A store with a budget."""

    config: BudgetConfig = field(default_factory=lambda: BudgetConfig(scenes=2))

    def database(self) -> Database:
        return Database(f"sqlite:///{self.folder}/ledger.sqlite")

    def look(self, **changes: timedelta) -> WatchReport:
        self.now += changes.get("after", timedelta(hours=1))
        with self.database() as database:
            budget = Budget("enmap", str(self.store), self.config, SceneConfig(), database)
            watcher = replace(self.watcher(Ledger(database)), budget=budget)
            return watcher.pass_over(self.now)

    def spend(self, amounts: Amounts = HOUR, outcome: str = "written") -> None:
        row = Cost(str(self.store), "process-scene", "p", outcome, self.now, amounts)
        with self.database() as database:
            Costs(database).record([row])

    def standing(self) -> Standing:
        with self.database() as database:
            (found,) = standings(database, str(self.store))
        return found


@pytest.fixture
def region(tmp_path: Path) -> Region:
    return Region(tmp_path)


def test_scenes_beyond_the_budget_are_postponed_and_the_report_says_why(region: Region) -> None:
    region.publish(scene(1), scene(2), scene(3), scene(4))
    report = region.look()
    assert (len(report.submitted), report.postponed) == (2, 2)
    assert report.stopped == (
        "the budget of watch enmap is reached: 2 of 2 scenes of this month are spent or under "
        "way, and a scene takes 1; raise it, or wait for the next month"
    )
    assert report.watermark is None  # the next pass sees them again


def test_what_is_under_way_counts_in_the_next_pass(region: Region) -> None:
    region.publish(scene(1), scene(2), scene(3))
    region.look()
    report = region.look()
    assert (report.active, report.submitted, report.postponed) == (2, [], 1)
    assert report.stopped


def test_a_new_period_lets_postponed_scenes_in(region: Region) -> None:
    region.publish(scene(1), scene(2), scene(3))
    region.look()
    for each in (1, 2):
        region.finish(scene(each))
        region.spend()
    assert region.look().stopped
    report = region.look(after=timedelta(days=31))
    assert (len(report.submitted), report.stopped) == (1, "")
    assert report.watermark is not None


def test_a_raised_budget_lets_postponed_scenes_in(region: Region) -> None:
    region.publish(scene(1), scene(2), scene(3))
    region.look()
    region.config = BudgetConfig(scenes=3)
    assert len(region.look().submitted) == 1


def test_attempts_that_failed_are_spent(region: Region) -> None:
    region.publish(scene(1))
    region.spend(outcome="failed")
    region.spend(outcome="failed")
    assert region.look().postponed == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (BudgetConfig(gb=5), "2 of 5 GB of this month are spent or under way, and a scene takes 2"),
        (BudgetConfig(hours=2.5, period="day"), "1 of 2.5 hours of this day"),
        (
            BudgetConfig(money=2, price_per_hour=0.5, price_per_gb=0.1, period="total"),
            "0.7 of 2 EUR in all are spent or under way, and a scene takes 0.7; raise it",
        ),
    ],
    ids=["gb", "hours", "money"],
)
def test_the_mean_of_finished_scenes_is_expected_of_the_next(
    region: Region, config: BudgetConfig, said: str
) -> None:
    region.config = config
    region.spend()
    region.publish(scene(1), scene(2), scene(3))
    report = region.look()
    assert (len(report.submitted), report.postponed) == (1, 2)
    assert report.stopped.startswith("the budget of watch enmap is reached: ")
    taken = float(said.split()[0])
    assert said.partition(" ")[2] in report.stopped
    assert f"{taken * 2:g} of" in report.stopped  # one is spent, one under way


def test_before_the_first_scene_the_catalogue_says_what_one_takes(region: Region) -> None:
    region.config = BudgetConfig(hours=1e-9)
    region.publish(scene(1))
    assert region.look().postponed == 1


def test_how_a_budget_stands_is_noted(region: Region) -> None:
    region.config = BudgetConfig(scenes=4)
    region.publish(scene(1))
    region.look()
    assert (region.standing().used, region.standing().stopped) == (0.25, "")
    region.publish(*map(scene, range(2, 7)))
    report = region.look()
    assert (region.standing().used, region.standing().stopped) == (1.0, report.stopped)


def test_a_budget_of_nothing_stops_everything(region: Region) -> None:
    region.config = BudgetConfig(scenes=0)
    region.publish(scene(1))
    assert region.look().postponed == 1
    assert region.standing().used == 1.0


def test_a_budget_of_money_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="without a price nothing is ever spent"):
        BudgetConfig(money=5)


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ("day", DAWN.replace(hour=0)),
        ("month", datetime(2026, 3, 1, tzinfo=UTC)),
        ("total", None),
    ],
)
def test_a_period_begins_in_utc(period: str, start: datetime | None) -> None:
    config = BudgetConfig.model_validate({"period": period})
    late = DAWN.astimezone(datetime.fromisoformat("2026-03-01T00:00:00-11:00").tzinfo)
    assert period_start(config, late) == start
