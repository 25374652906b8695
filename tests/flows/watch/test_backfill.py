"""A backfill maps an archive as far as its budget goes."""

from pathlib import Path

import pytest

from flows.config import BudgetConfig, RunConfig, Selection
from flows.watch.backfill import Backfilled, backfill
from flows.watch.database import URL_VARIABLE


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path}/ledger.sqlite")


def fill(catalogue: Path, store: Path, **budget: object) -> Backfilled:
    config = RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(store))
    return backfill(config, BudgetConfig(**budget), name="test")


@pytest.mark.slow
def test_a_backfill_stops_at_its_budget_and_goes_on_with_a_larger_one(
    catalogue: Path, tmp_path: Path
) -> None:
    first = fill(catalogue, tmp_path / "store", scenes=2)
    assert (first.mapped, first.left) == (2, 1)
    assert "the budget of watch test is reached: 2 of 2 scenes" in first.stopped
    second = fill(catalogue, tmp_path / "store", scenes=10)
    assert (second.mapped, second.left, second.stopped) == (1, 0, "")


def test_a_backfill_without_a_budget_left_maps_nothing(catalogue: Path, tmp_path: Path) -> None:
    found = fill(catalogue, tmp_path / "store", scenes=0)
    assert found.mapped == 0
    assert "is reached" in found.stopped
