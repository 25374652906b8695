"""A budget of a store: what its runs took and will take, against what they may.

Costs are known when a run ends. So what is under way counts with the mean of the newest scenes, and
before the first one with what `deepsalt plan` would say.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, Float, String, Table, Text, select

from deepsalt.types import Acquisition
from flows.config import BudgetConfig, SceneConfig
from flows.run.run import expected_of
from flows.watch.costs import Amounts, Costs
from flows.watch.database import Database, Moment, tables
from flows.watch.ledger import Ledger, State

_GB = 1e9
_HOUR_S = 3600

_budgets = Table(
    "deepsalt_budgets",
    tables,
    Column("watch", String(500), primary_key=True),
    Column("store", String(1000), primary_key=True),
    Column("used", Float, nullable=False),
    Column("stopped", Text, nullable=False),
    Column("changed", Moment, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Price:
    """What work comes to, in what a budget limits.

    Parameters
    ----------
    scenes
        Scenes mapped or tried.
    gb
        Data fetched, GB.
    hours
        Time of workers, hours.
    money
        Both at their prices.
    """

    scenes: float
    gb: float
    hours: float
    money: float

    @classmethod
    def of(cls, amounts: Amounts, config: BudgetConfig) -> "Price":
        """Return what amounts come to."""
        gb, hours = amounts.fetched_bytes / _GB, amounts.worker_s / _HOUR_S
        money = gb * config.price_per_gb + hours * config.price_per_hour
        return cls(amounts.scenes, gb, hours, money)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stood when its watch looked last.

    Parameters
    ----------
    watch, store
        Whose budget it is.
    used
        Share of the scarcest limit that is spent or under way.
    stopped
        Why no scene was submitted; empty if scenes were, or there was none.
    changed
        When that was, UTC.
    """

    watch: str
    store: str
    used: float
    stopped: str
    changed: datetime


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a watch.

    Parameters
    ----------
    watch
        Name of the watch.
    store
        Place of the store, whose costs count.
    config
        The limits.
    scene
        Settings of its scenes: what one takes depends on them before any is finished.
    database
        Where costs and submissions are.
    """

    watch: str
    store: str
    config: BudgetConfig
    scene: SceneConfig
    database: Database

    def open(self, now: datetime) -> "Purse":
        """Return what is left at a moment.

        Raises
        ------
        RunError
            The database cannot be reached.
        """
        costs = Costs(self.database)
        return Purse(
            self,
            now,
            costs.spent(self.store, period_start(self.config, now)),
            costs.mean_of_a_scene(self.store),
            Ledger(self.database).count(self.store).get(State.SUBMITTED, 0),
        )


@dataclass(slots=True)
class Purse:
    """What is left of a budget during one pass.

    Parameters
    ----------
    budget
        The budget.
    now
        When the pass began.
    spent
        What the runs of the period took.
    mean
        What a scene takes; None before the first one is finished.
    under_way
        Scenes that were submitted and have not ended.
    """

    budget: Budget
    now: datetime
    spent: Amounts
    mean: Amounts | None
    under_way: int

    def room(self, most: int) -> tuple[int, str]:
        """Return how many scenes fit, and why no more; before one is finished: one, which tells.

        Parameters
        ----------
        most
            So many are wanted.
        """
        one = self.mean or Amounts(scenes=1)
        wanted = most if self.mean else min(most, 1)
        for count in range(wanted):
            refused = self._refusal(one)
            if refused:
                return count, refused
            self.under_way += 1
        return wanted, ""

    def refuses(self, scene: Acquisition) -> str:
        """Return why a scene may not be submitted; empty if it may, and then it is under way."""
        refused = self._refusal(self._of(scene))
        self.under_way += not refused
        return refused

    def _refusal(self, one: Amounts) -> str:
        config = self.budget.config
        before, after = self._committed(one), self._committed(one, more=1)
        for what, unit in (
            ("scenes", "scenes"),
            ("gb", "GB"),
            ("hours", "hours"),
            ("money", config.currency),
        ):
            most = getattr(config, what)
            if most is not None and getattr(after, what) > most:
                used = getattr(before, what)
                return (
                    f"the budget of watch {self.budget.watch} is reached: {used:.4g} of {most:g} "
                    f"{unit} {_OF[config.period]} are spent or under way, and a scene takes "
                    f"{getattr(after, what) - used:.3g}; raise it{_WAIT[config.period]}"
                )
        return ""

    def close(self, stopped: str) -> None:
        """Note how the budget stands, for whoever looks at the service.

        Raises
        ------
        RunError
            The database cannot be reached.
        """
        config = self.budget.config
        committed = self._committed(self.mean or Amounts(scenes=1))
        shares = [
            getattr(committed, what) / most if most else 1.0
            for what in ("scenes", "gb", "hours", "money")
            if (most := getattr(config, what)) is not None
        ]
        self.budget.database.upsert(
            _budgets,
            {"watch": self.budget.watch, "store": self.budget.store},
            {"used": max(shares, default=0.0), "stopped": stopped, "changed": self.now},
        )

    def _of(self, scene: Acquisition) -> Amounts:
        if self.mean is not None:
            return self.mean
        expected = expected_of([scene], self.budget.scene)
        return Amounts(
            scenes=1, fetched_bytes=expected.expected_bytes, worker_s=expected.expected_s
        )

    def _committed(self, one: Amounts, *, more: int = 0) -> Price:
        """Return what is spent and under way, with some more scenes."""
        return Price.of(self.spent + one * (self.under_way + more), self.budget.config)


def standings(database: Database, store: str) -> list[Standing]:
    """Return how the budgets of a store stood last.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    query = select(_budgets).where(_budgets.c.store == store).order_by(_budgets.c.watch)
    with database.reading() as connection:
        return [Standing(**row._mapping) for row in connection.execute(query)]


_OF = {"day": "of this day", "month": "of this month", "total": "in all"}
_WAIT = {"day": ", or wait for tomorrow", "month": ", or wait for the next month", "total": ""}


def period_start(config: BudgetConfig, now: datetime) -> datetime | None:
    """Return when the period of a budget began, UTC; None if it has no beginning."""
    if config.period == "total":
        return None
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if config.period == "day" else day.replace(day=1)
