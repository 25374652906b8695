"""Which period a run's dates stand for."""

import pytest

from deepsalt.errors import UsageError
from flows.run.stores import period_of


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
