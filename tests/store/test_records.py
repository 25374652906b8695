"""Stores, what they are, their records, and periods."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier

import pytest

from deepsalt.errors import (
    StoreAccessError,
    StoreError,
    StoreMismatchError,
    StoreMissingError,
    UsageError,
)
from deepsalt.grid import Frame, MosaicGrid
from deepsalt.objects import Objects
from deepsalt.objects.disk import storing
from deepsalt.store import (
    Period,
    Store,
    check_periods,
    lift,
    quarantine,
    quarantined,
    record_withdrawal,
    release,
    tombstone,
    tombstones,
)
from tests.store.builders import GRID, REF, add_small, in_memory, make_store, published
from tests.store.builders import build as build_all

Y2023 = Period(date(2023, 1, 1), date(2023, 12, 31))
Y2024 = Period(date(2024, 1, 1), date(2024, 12, 31))
SCENE = "enmap/../a b/1"


@pytest.fixture(params=["memory", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return in_memory() if request.param == "memory" else Objects.of(tmp_path / "store")


@pytest.fixture
def store() -> Store:
    return make_store()


def test_a_store_opens_as_it_was_made(place: Objects) -> None:
    assert make_store(place) == Store.open(place)


def test_making_a_store_again_opens_it(place: Objects) -> None:
    assert make_store(place) == make_store(place)


def test_a_store_exists_from_its_creation_on(place: Objects) -> None:
    before = Store.exists(place)
    make_store(place)
    assert (before, Store.exists(place)) == (False, True)


def test_a_store_fixes_what_its_mosaic_may_cover(store: Store) -> None:
    document = json.loads(store.objects.read("store.json"))
    extent = Frame.of(GRID).extent
    assert document["schema"] == 3
    assert document["extent"] == [extent.ix0, extent.iy0, extent.ix1, extent.iy1]


def test_looking_for_a_store_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match=r"is not a deepsalt store \(no store.json\)"):
        Store.open(tmp_path / "store")
    assert not Store.exists(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


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
    store: Store, grid: MosaicGrid, model: str, periods: str, named: str
) -> None:
    with pytest.raises(StoreMismatchError, match=named) as caught:
        Store.create(store.objects, grid=grid, model=model, period_layout=periods)
    assert caught.value.exit_code == 2


def test_a_store_of_a_later_schema_is_refused(store: Store) -> None:
    document = json.loads(store.objects.read("store.json"))
    store.objects.write("store.json", json.dumps(document | {"schema": 99}).encode())
    with pytest.raises(StoreError, match="store schema 99, but this deepsalt reads 3"):
        Store.open(store.objects)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema": 3}', b'{"schema": 3, "grid": 5}', b"\xff\xfe"],
    ids=["empty", "cut", "list", "bare", "no grid", "no text"],
)
def test_a_damaged_record_is_named(store: Store, content: bytes) -> None:
    store.objects.write("store.json", content)
    with pytest.raises(StoreError, match=r"store\.json"):
        Store.open(store.objects)


def test_a_store_that_lost_its_record_is_not_taken_over(store: Store) -> None:
    add_small(store, "a")
    store.objects.delete(["store.json"])
    with pytest.raises(StoreMismatchError, match=r"restore store\.json if it was one"):
        make_store(store.objects)


def test_a_store_whose_making_was_cut_short_is_made(place: Objects) -> None:
    store = make_store(place)
    store.objects.delete(["store.json"])
    assert make_store(place) == store


@pytest.mark.parametrize(
    "key", ["catalog.json", "quicklook.png", "mosaic/repo", "mosaic.zarr/zarr.json", "scenes/a/b"]
)
def test_a_place_with_what_a_store_would_write_over_is_refused(place: Objects, key: str) -> None:
    place.write(key, b"somebody's")
    with pytest.raises(StoreMismatchError, match=key.split("/")[0]):
        make_store(place)
    assert [entry.key for entry in place.list()] == [key]
    assert place.read(key) == b"somebody's"


def test_a_place_with_other_objects_becomes_a_store(place: Objects) -> None:
    place.write("notes.txt", b"mine")
    make_store(place)
    assert place.read("notes.txt") == b"mine"


@pytest.mark.parametrize("below", ["inner", "a/b/c"])
def test_a_store_inside_another_is_refused(place: Objects, below: str) -> None:
    outer = make_store(place)
    with pytest.raises(StoreMismatchError, match=f"lies inside the store {outer}"):
        make_store(place.below(below))
    assert [entry.key for entry in place.list()] == ["store.json"]


def test_a_store_beside_another_is_made(place: Objects) -> None:
    one, two = make_store(place.below("one")), make_store(place.below("one-more"))
    assert one.objects != two.objects


def test_who_may_not_look_outside_makes_a_store_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, read = in_memory().below("mine"), Objects.read

    def guarded(self: Objects, key: str) -> bytes:
        if self != place:
            raise StoreAccessError("access denied")
        return read(self, key)

    monkeypatch.setattr(Objects, "read", guarded)
    assert make_store(place) == Store.open(place)


def test_a_store_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        make_store(tmp_path / "file" / "store")


@pytest.mark.parametrize("where", ["ftp://host/x", "s3://", "s3://a:b@bucket/x", "memory://"])
def test_what_is_no_place_is_refused(where: str) -> None:
    with pytest.raises(UsageError):
        make_store(where)


def test_of_creators_at_once_all_have_the_same_store(place: Objects) -> None:
    ready = Barrier(8)

    def create(_: int) -> Store:
        ready.wait()
        return make_store(place)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(create, range(8))) == {Store.open(place)}


def test_of_creators_of_two_kinds_at_once_one_kind_is_refused(place: Objects) -> None:
    ready = Barrier(8)

    def create(number: int) -> str | None:
        ready.wait()
        try:
            return make_store(place, layout=("all", "dated")[number % 2]).period_layout
        except StoreMismatchError:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(create, range(8))]
    made = Store.open(place).period_layout
    assert sorted(map(str, found)) == sorted([made] * 4 + ["None"] * 4)


def test_a_creator_who_finds_what_a_faster_one_wrote_opens_its_store(
    place: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Store.refuse_foreign_place

    def late(where: Objects) -> None:
        monkeypatch.undo()
        add_small(make_store(place), "a")
        look(where)

    monkeypatch.setattr(Store, "refuse_foreign_place", late)
    assert make_store(place) == Store.open(place)


def test_a_store_travels_to_another_process(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    code = (
        "import pickle, sys; store = pickle.loads(sys.stdin.buffer.read()); "
        "from deepsalt.store import quarantine; quarantine(store, 'a/b/1', 'seen elsewhere')"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(store), check=True, timeout=60)
    assert quarantined(store) == {"a/b/1": "seen elsewhere"}


def test_a_folder_that_was_moved_is_the_same_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    name = add_small(store, "a")
    build_all(store)
    (tmp_path / "store").rename(tmp_path / "moved")
    assert published(Store.open(tmp_path / "moved")) == (name,)


def test_quarantine_keeps_the_reason_until_release(store: Store) -> None:
    quarantine(store, SCENE, "no METADATA.XML")
    assert quarantined(store) == {SCENE: "no METADATA.XML"}
    release(store, SCENE)
    assert quarantined(store) == {}


def test_a_scene_can_be_quarantined_again_for_another_reason(store: Store) -> None:
    for reason in ("first", "second"):
        quarantine(store, SCENE, reason)
        release(store, SCENE)
    quarantine(store, SCENE, "third")
    quarantine(store, SCENE, "fourth")
    assert quarantined(store) == {SCENE: "fourth"}


def test_quarantine_is_asked_for_scenes(store: Store) -> None:
    quarantine(store, "a/a/1", "torn")
    quarantine(store, "a/b/1", "empty")
    assert quarantined(store, ["a/b/1", "a/c/1"]) == {"a/b/1": "empty"}


def test_scenes_whose_names_read_alike_are_told_apart(store: Store) -> None:
    quarantine(store, "a/b c/1", "torn")
    assert quarantined(store, ["a/b?c/1"]) == {}


def test_releasing_what_was_never_quarantined_writes_nothing(store: Store) -> None:
    release(store, SCENE)
    assert [entry.key for entry in store.objects.list()] == ["store.json"]


ACQUISITION = ("test", "a")


def test_a_tombstone_is_found_by_its_acquisition(store: Store) -> None:
    record = record_withdrawal(store, ACQUISITION, "2", "bad geolocation")
    assert tombstone(store, ACQUISITION) == record == tombstones(store)[ACQUISITION]
    assert (record.scene, record.reason) == ("test/a/2", "bad geolocation")
    assert tombstone(store, ("test", "b")) is None


@pytest.mark.parametrize(("version", "covered"), [("1", True), ("2", True), ("10", False)])
def test_a_tombstone_covers_a_version_and_those_before(
    store: Store, version: str, covered: bool
) -> None:
    assert record_withdrawal(store, ACQUISITION, "2", "").covers(version) is covered


def test_a_lifted_tombstone_covers_nothing_and_stays_as_a_record(store: Store) -> None:
    record_withdrawal(store, ACQUISITION, "2", "")
    lifted = lift(store, ACQUISITION)
    assert lifted.lifted is not None
    assert not lifted.covers("1")
    assert tombstones(store) == {ACQUISITION: lifted}


def test_each_word_about_an_acquisition_is_a_record_of_its_own(store: Store) -> None:
    words: list[Callable[[], object]] = [
        lambda: record_withdrawal(store, ACQUISITION, "2", "first"),
        lambda: lift(store, ACQUISITION),
        lambda: record_withdrawal(store, ACQUISITION, "2", "second"),
    ]
    kept: dict[str, bytes] = {}
    for count, word in enumerate(words, start=1):
        word()
        found = {e.key: store.objects.read(e.key) for e in store.objects.list("records")}
        assert len(found) == count
        assert kept.items() <= found.items()
        kept = found


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_is_withdrawn_already_is_not_recorded_again(store: Store, version: str) -> None:
    first = record_withdrawal(store, ACQUISITION, "2", "first")
    assert record_withdrawal(store, ACQUISITION, version, "second") == first
    assert len([*store.objects.list("records")]) == 1


def test_a_newer_version_extends_a_withdrawal(store: Store) -> None:
    record_withdrawal(store, ACQUISITION, "2", "first")
    assert record_withdrawal(store, ACQUISITION, "10", "second").covers("10")


def test_lifting_twice_keeps_the_first_record(store: Store) -> None:
    record_withdrawal(store, ACQUISITION, "2", "")
    assert lift(store, ACQUISITION) == lift(store, ACQUISITION)
    assert len([*store.objects.list("records")]) == 2


def test_what_was_never_withdrawn_cannot_be_lifted(store: Store) -> None:
    with pytest.raises(StoreError, match="test/a was never withdrawn"):
        lift(store, ACQUISITION)
    assert [entry.key for entry in store.objects.list()] == ["store.json"]


def test_of_writers_at_once_the_newest_withdrawn_version_wins(store: Store) -> None:
    ready = Barrier(8)

    def withdraw(number: int) -> None:
        ready.wait()
        record_withdrawal(store, ACQUISITION, str(number + 1), "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(withdraw, range(8)))
    record = tombstone(store, ACQUISITION)
    assert record is not None
    assert record.version == "8"


def test_of_quarantines_and_releases_at_once_the_last_word_counts(store: Store) -> None:
    ready = Barrier(8)

    def say(number: int) -> None:
        ready.wait()
        quarantine(store, SCENE, f"reason {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, range(8)))
    entries = sorted(store.objects.list("records"), key=lambda entry: entry.key)
    assert len(entries) == 8
    last = json.loads(store.objects.read(entries[-1].key))
    assert quarantined(store) == {SCENE: last["reason"]}


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"version": "1"}'])
def test_a_damaged_tombstone_is_named(store: Store, content: bytes) -> None:
    record_withdrawal(store, ACQUISITION, "2", "")
    (entry,) = store.objects.list("records/tombstones")
    store.objects.write(entry.key, content)
    with pytest.raises(StoreError, match=entry.key.rpartition("/")[0]):
        tombstones(store)


@pytest.mark.parametrize(
    ("number", "message"),
    [(28, "disk is full"), (13, "permission"), (30, "read-only"), (5, "Input/output")],
)
def test_operating_system_errors_become_a_sentence(number: int, message: str) -> None:
    with pytest.raises(StoreError, match=f"some/file.*{message}"), storing(Path("some/file")):
        raise OSError(number, "Input/output error" if number == 5 else "?")


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


def test_a_store_of_an_older_deepsalt_is_told_so(tmp_path: Path) -> None:
    Objects.of(tmp_path).write("records/store.json", b"{}")
    with pytest.raises(StoreMissingError, match="is a store of an older deepsalt"):
        Store.open(tmp_path)
