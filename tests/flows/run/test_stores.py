"""Which period a run's dates stand for, and the store that a run opens."""

from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from deepsalt.store import Store
from flows.config import Grid
from flows.run.stores import open_store, period_of
from tests.store.builders import REF


@pytest.mark.parametrize(
    ("datetime", "period"),
    [
        (None, "all"),
        ("2024-05-01/..", "all"),
        ("../2024-05-01", "all"),
        ("2024-05-01/2024-06-30", "2024-05-01/2024-06-30"),
        ("2024-05-01T00:00:00Z/2024-06-30T23:59:59Z", "2024-05-01/2024-06-30"),
        ("2024-05-15T03:00+06:00", "2024-05-14/2024-05-14"),
        ("2024-05-07", "2024-05-07/2024-05-07"),
        ("2024-02", "2024-02-01/2024-02-29"),
        ("2023-11/2024-02", "2023-11-01/2024-02-29"),
        ("2024", "2024-01-01/2024-12-31"),
    ],
)
def test_dates_of_a_run_are_its_period(datetime: str | None, period: str) -> None:
    assert period_of(datetime).id == period


@pytest.mark.parametrize("datetime", ["yesterday", "2024-13", "2024-05-01/x", "2024-06/2024-05"])
def test_what_is_no_date_is_refused(datetime: str) -> None:
    with pytest.raises(UsageError):
        period_of(datetime)


def test_a_run_that_found_no_store_takes_that_of_a_faster_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for a store and its creation another run makes it and writes into it."""
    refuse = Store.refuse_foreign_place

    def late(where: object) -> None:
        monkeypatch.setattr(Store, "refuse_foreign_place", refuse)
        faster = open_store(str(tmp_path), REF, Grid(), None)
        faster.objects.create("records/done/a.json", b"{}")
        refuse(faster.objects)

    monkeypatch.setattr(Store, "refuse_foreign_place", late)
    assert open_store(str(tmp_path), REF, Grid(), None).model == REF.digest
