"""Stores, their records and lock, periods, and atomic files."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from deepsalt.store.files import read_json, write_json

from deepsalt.errors import StoreError, StoreMismatchError, UsageError
from deepsalt.grid import MosaicGrid
from deepsalt.objects.disk import storing
from deepsalt.store import Period, Store, check_periods
from tests.store.builders import GRID, REF, make_store

Y2023 = Period(date(2023, 1, 1), date(2023, 12, 31))
Y2024 = Period(date(2024, 1, 1), date(2024, 12, 31))


def test_a_store_opens_as_it_was_made(tmp_path: Path) -> None:
    assert make_store(tmp_path / "s") == Store.open(tmp_path / "s")


def test_making_a_store_again_opens_it(tmp_path: Path) -> None:
    assert make_store(tmp_path / "s") == make_store(tmp_path / "s")


@pytest.mark.parametrize(
    ("grid", "model", "periods", "named"),
    [
        (MosaicGrid(), REF.digest, "all", "EPSG:6933"),
        (GRID, "other-model", "all", "other-model"),
        (GRID, REF.digest, "dated", "dated"),
    ],
    ids=["grid", "model", "periods"],
)
def test_a_store_refuses_runs_of_another_kind(
    tmp_path: Path, grid: MosaicGrid, model: str, periods: str, named: str
) -> None:
    make_store(tmp_path / "s")
    with pytest.raises(StoreMismatchError, match=named) as caught:
        Store.create(tmp_path / "s", grid=grid, model=model, period_layout=periods)
    assert caught.value.exit_code == 2


def test_a_store_of_a_later_layout_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    record = store.records / "store.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"layout": 99}))
    with pytest.raises(StoreError, match="layout 99"):
        Store.open(store.path)


@pytest.mark.parametrize("content", ["{", "[]", '{"layout": 1}', '{"layout": 1, "grid": 5}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    store = make_store(tmp_path / "s")
    (store.records / "store.json").write_text(content)
    with pytest.raises(StoreError, match=r"store\.json"):
        Store.open(store.path)


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a deepsalt store"):
        Store.open(tmp_path)


def test_a_store_that_lost_its_record_is_not_taken_over(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    (store.scenes / "product.zarr").mkdir()
    (store.records / "store.json").unlink()
    with pytest.raises(StoreMismatchError, match=r"restore records/store.json"):
        make_store(store.path)


def test_a_store_that_was_killed_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    (store.records / "store.json").unlink()
    assert make_store(store.path) == store


@pytest.mark.parametrize("name", ["catalog.json", "quicklook.png"])
def test_a_folder_with_files_a_store_would_write_over_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody's")
    with pytest.raises(StoreMismatchError, match=name):
        make_store(tmp_path)
    assert (tmp_path / name).read_text() == "somebody's"


def test_a_store_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        make_store(tmp_path / "file" / "store")


def test_quarantine_keeps_the_reason_until_release(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    store.quarantine("enmap/../a b/1", "no METADATA.XML")
    assert store.quarantined() == {"enmap/../a b/1": "no METADATA.XML"}
    store.release("enmap/../a b/1")
    assert store.quarantined() == {}


def test_a_second_build_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    with (
        store.locked(),
        pytest.raises(StoreError, match="is building in this store"),
        store.locked(),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    code = (
        "import os, sys; from deepsalt.store import Store; "
        "lock = Store.open(sys.argv[1]).locked(); lock.__enter__(); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], check=False, timeout=60)
    with store.locked():
        assert done.returncode == 9


@pytest.mark.parametrize(
    ("number", "message"),
    [(28, "disk is full"), (13, "permission"), (30, "read-only"), (5, "Input/output")],
)
def test_operating_system_errors_become_a_sentence(number: int, message: str) -> None:
    with pytest.raises(StoreError, match=f"some/file.*{message}"), storing(Path("some/file")):
        raise OSError(number, "Input/output error" if number == 5 else "?")


def test_json_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepsalt.store.files.sync", full)
    with pytest.raises(StoreError, match="disk is full"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("period", [Period.all(), Y2024], ids=lambda p: p.id)
def test_a_period_is_found_by_its_id(period: Period) -> None:
    assert Period.from_id(period.id) == period


@pytest.mark.parametrize(
    "text", ["", "2024", "2024-01-01", "2024-02-01/2024-01-01", "x/y", "a/b/c"]
)
def test_other_texts_are_no_periods(text: str) -> None:
    with pytest.raises(UsageError, match="period"):
        Period.from_id(text)


@pytest.mark.parametrize(
    ("period", "day", "holds"),
    [
        (Y2024, date(2024, 12, 31), True),
        (Y2024, date(2025, 1, 1), False),
        (Y2024, None, False),
        (Period.all(), None, True),
        (Period.all(), date(1999, 1, 1), True),
    ],
)
def test_a_period_holds_its_days(period: Period, day: date | None, holds: bool) -> None:
    assert period.holds(day) is holds


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        ([Y2024, Period.all()], "either one mosaic"),
        ([Y2024, Period(date(2024, 12, 31), date(2025, 3, 1))], "overlap"),
    ],
    ids=["mixed", "overlapping"],
)
def test_periods_that_do_not_go_together_are_refused(periods: list[Period], message: str) -> None:
    with pytest.raises(StoreMismatchError, match=message):
        check_periods(periods)


def test_periods_side_by_side_go_together() -> None:
    check_periods([Y2024, Y2023])
