import json
import logging
import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
from icechunk import IcechunkError, IcechunkStore, Repository

from deepsalt.errors import (
    GridError,
    OvertakenError,
    StoreError,
    StoreMismatchError,
    StoreMissingError,
    UsageError,
    VersionMissingError,
)
from deepsalt.grid import MosaicGrid, Tile
from deepsalt.types import Report
from deepsalt.versions import (
    Build,
    Job,
    create_mosaic,
    drop,
    held,
    open_mosaic,
    open_repository,
    products_of,
    publish,
    roll_back,
    write_tile,
)
from deepsalt.versions.commit import HELD
from deepsalt.versions.records import Alive
from tests.versions.world import (
    BEFORE,
    GRID,
    PX,
    YEAR,
    FolderRecords,
    MemoryRecords,
    at_once,
    build_of,
    check,
    compose,
    new,
    place_of,
    product,
    put,
    tile,
    withdraw,
)

A, B, C = product(0, 3), product(1, 5, shard=2), product(0, 7, shard=3)
PLACES = [place_of(A), place_of(B)]


def test_what_was_wanted_is_published(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A, B, C)
    built = build_of(mosaic, records, run=at_once)(PLACES)
    check(mosaic, [A, B, C])
    assert mosaic.head() == built.versions[0]
    assert built.composed == 2


def test_a_second_build_of_the_same_finds_nothing_to_do(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    again = build_of(mosaic, records)(PLACES)
    assert (again.versions, again.composed) == ((), 0)


def test_only_tiles_that_changed_are_composed() -> None:
    mosaic, records = new("memory://changed"), MemoryRecords()
    put(records, A, B)
    build_of(mosaic, records)(PLACES)
    put(records, C)
    assert build_of(mosaic, records)(PLACES).composed == 1


def test_a_version_says_what_tiles_gained_and_lost(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A, B)
    build_of(mosaic, records, why="first")(PLACES)
    put(records, C)
    withdraw(records, B)
    build_of(mosaic, records, why="second")(PLACES)
    second, first = mosaic.history()
    assert (first.why, first.added, first.removed, first.parent) == ("first", (A, B), (), None)
    assert (second.added, second.removed, second.parent) == ((C,), (B,), first.id)
    assert (second.added_count, second.removed_count, second.tiles) == (1, 1, 2)
    check(mosaic, [A, C], [B])


def test_more_products_than_are_named_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsalt.versions.repository.NAMED", 2)
    mosaic, records = new("memory://named"), MemoryRecords()
    put(records, A, B, C)
    (version,) = build_of(mosaic, records)(PLACES).versions
    assert (len(version.added), version.added_count) == (2, 3)


def test_facts_of_the_builder_are_kept_and_told_to_readers() -> None:
    mosaic, records = new("memory://facts"), MemoryRecords()
    put(records, A)
    build = Build(mosaic, records, lambda period, tile: [A], compose, facts={"sensors": ["enmap"]})
    (version,) = build([place_of(A)]).versions
    assert version.facts == {"sensors": ["enmap"]}
    assert open_mosaic(mosaic).attrs["sensors"] == ["enmap"]


def test_what_each_tile_was_made_of_is_kept_with_the_version() -> None:
    mosaic, records = new("memory://made-of"), MemoryRecords()
    put(records, A, B, C)
    (version,) = build_of(mosaic, records)(PLACES).versions
    made_of = {tile: names for _, tile, names in products_of(mosaic, version)}
    assert made_of == {tile(0): (A, C), tile(1): (B,)}


def test_a_product_that_arrives_while_tiles_are_composed_is_in_the_end_there(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)

    def late(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        put(records, C)
        return done

    built = build_of(mosaic, records, run=late)(PLACES)
    check(mosaic, [A, C])
    assert len(built.versions) == 2


def test_a_tile_that_another_driver_composed_meanwhile_is_composed_of_both(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A, B)

    def overtaken(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        if C not in records.objects.keys() | {key.rsplit("/")[-1] for key in records.objects}:
            put(records, C)
            build_of(mosaic, records, why="other")([place_of(A)])
        return done

    built = build_of(mosaic, records, run=overtaken, why="mine")(PLACES)
    check(mosaic, [A, B, C])
    assert [version.why for version in mosaic.history()] == ["mine", "other"]
    assert built.versions[0].tiles == 1


def test_the_loser_of_a_race_for_a_commit_tries_again_at_the_new_head(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A, B)
    original, raced = Build._check_composed, []

    def race(self, session, kept):  # type: ignore[no-untyped-def]
        original(self, session, kept)
        if not raced:  # the session is open: whoever commits now makes it out of date
            raced.append(True)
            monkeypatch.setattr(Build, "_check_composed", original)
            build_of(mosaic, records, why="other")([place_of(B)])

    monkeypatch.setattr(Build, "_check_composed", race)
    monkeypatch.setattr("deepsalt.versions.storage._locked", lambda folder: nullcontext())
    build_of(mosaic, records, why="mine")([place_of(A)])
    check(mosaic, [A, B])
    assert [version.why for version in mosaic.history()] == ["mine", "other"]


def test_periods_come_in_order_of_time_whenever_they_were_added(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    build = Build(mosaic, records, lambda period, tile: [A], compose)
    build([(YEAR, tile(0))])
    build([(BEFORE, tile(0))])
    ds = open_mosaic(mosaic)
    assert ds.period.dt.year.values.tolist() == [2023, 2024]
    assert ds.period_bounds.dt.dayofyear.values.tolist() == [[1, 365], [1, 366]]


def test_the_days_of_a_period_may_grow() -> None:
    from datetime import date

    from deepsalt.store.periods import Period

    mosaic, records = new("memory://grow"), MemoryRecords()
    for last, products in ((date(2024, 5, 1), [A]), (date(2024, 6, 1), [A, C])):
        Build(
            mosaic,
            records,
            lambda period, tile, products=products: products,  # type: ignore[misc]
            compose,
            span=lambda period, last=last: (date(2024, 1, 1), last),  # type: ignore[misc]
        )([(Period.all(), tile(0))])
    assert str(open_mosaic(mosaic).period_bounds.values[0, 1])[:10] == "2024-06-01"


def test_a_tile_beyond_the_mosaic_is_refused() -> None:
    mosaic = new("memory://beyond")
    with pytest.raises(GridError, match="x9999_y0"):
        build_of(mosaic, MemoryRecords())([(YEAR, Tile(9999, 0))])


def test_what_was_not_written_by_write_tile_is_not_published() -> None:
    def lazy(store: IcechunkStore, job: Job) -> Report:
        return Report()

    mosaic = new("memory://lazy")
    with pytest.raises(StoreError, match=r"x30_y-300 came back without being written"):
        Build(mosaic, MemoryRecords(), lambda period, tile: [A], lazy)([place_of(A)])
    assert mosaic.head() is None


def test_a_composer_that_fails_publishes_nothing(place: str) -> None:
    def failing(store: IcechunkStore, job: Job) -> Report:
        write_tile(store, job, ())
        raise StoreError("disk full")

    mosaic, records = new(place), MemoryRecords()
    with pytest.raises(StoreError, match="disk full"):
        Build(mosaic, records, lambda period, tile: [A], failing)([place_of(A)])
    assert mosaic.head() is None
    assert list(records.list("records/builds")) == []


def test_a_held_version_is_published_when_it_is_asked_for(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    (version,) = build_of(mosaic, records)(PLACES, hold=True).versions
    check(mosaic, [A], [B])
    assert held(mosaic) == (version,)
    assert open_mosaic(mosaic, version=version.short).sizes["x"] == 4 * PX
    publish(mosaic, version.short)
    check(mosaic, [A, B])
    assert held(mosaic) == ()
    assert next(mosaic.history()) == version


def test_the_first_version_may_be_held() -> None:
    mosaic, records = new("memory://first-held"), MemoryRecords()
    put(records, A)
    (version,) = build_of(mosaic, records)(PLACES, hold=True).versions
    assert mosaic.head() is None
    publish(mosaic, version.id)
    check(mosaic, [A])


def test_a_held_version_that_was_overtaken_has_to_be_built_again(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    (version,) = build_of(mosaic, records)(PLACES, hold=True).versions
    put(records, B)
    build_of(mosaic, records)(PLACES)
    with pytest.raises(OvertakenError, match="build it again"):
        publish(mosaic, version.short)
    check(mosaic, [A, B])


def test_a_held_version_can_be_dropped() -> None:
    mosaic, records = new("memory://dropped"), MemoryRecords()
    put(records, A)
    (version,) = build_of(mosaic, records)(PLACES, hold=True).versions
    drop(mosaic, version.short)
    assert held(mosaic) == ()
    assert mosaic.tagged(HELD) == {}


def test_a_roll_back_can_be_taken_back(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    (bad,) = build_of(mosaic, records)(PLACES).versions
    roll_back(mosaic)
    check(mosaic, [A], [B])
    roll_back(mosaic, bad.short)
    check(mosaic, [A, B])
    roll_back(mosaic)
    check(mosaic, [A], [B])


def test_a_build_after_a_roll_back_makes_what_is_wanted_now(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    build_of(mosaic, records)(PLACES)
    roll_back(mosaic)
    withdraw(records, B)
    put(records, C)
    build_of(mosaic, records)(PLACES)
    check(mosaic, [A, C], [B])


def test_a_build_that_a_roll_back_overtakes_publishes_what_is_wanted(place: str) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    build_of(mosaic, records)(PLACES)

    moved = []

    def rolled(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        if not moved:
            moved.append(roll_back(mosaic))
        return done

    put(records, C)
    build_of(mosaic, records, run=rolled)(PLACES)
    check(mosaic, [A, B, C])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda m, v: roll_back(m), UsageError, "no version before"),
        (lambda m, v: roll_back(m, v.short), UsageError, "published one already"),
        (lambda m, v: roll_back(m, "ZZZ"), VersionMissingError, "no version 'ZZZ'"),
        (lambda m, v: publish(m, v.short), UsageError, "not held back"),
        (lambda m, v: drop(m, v.short), UsageError, "not held back"),
        (lambda m, v: open_mosaic(m, version="ZZZ"), VersionMissingError, "the newest are"),
        (lambda m, v: m.find(""), VersionMissingError, "no version"),
    ],
    ids=["no-parent", "same", "unknown", "publish", "drop", "open", "nothing"],
)
def test_changes_that_cannot_be_are_refused(change, error, said) -> None:  # type: ignore[no-untyped-def]
    mosaic, records = new("memory://refused"), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    version = mosaic.head()
    with pytest.raises(error, match=said):
        change(mosaic, version)
    check(mosaic, [A])


def test_a_held_version_is_not_rolled_back_to() -> None:
    mosaic, records = new("memory://not-rolled"), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    (version,) = build_of(mosaic, records)(PLACES, hold=True).versions
    with pytest.raises(UsageError, match="publish it instead"):
        roll_back(mosaic, version.short)


def test_a_mosaic_is_made_once(place: str) -> None:
    first = new(place)
    assert new(place) == first == open_repository(place)
    assert len(list(first.repository.ancestry(branch="main"))) == 2


def test_another_grid_is_refused(place: str) -> None:
    new(place)
    with pytest.raises(StoreMismatchError, match="another store"):
        create_mosaic(place, MosaicGrid(GRID.crs, 500.0, GRID.anchor, 8, 32, 2))


def test_a_place_without_a_mosaic_is_said(place: str) -> None:
    with pytest.raises(StoreMissingError, match="has no mosaic"):
        open_repository(place)


def test_a_mosaic_whose_making_was_cut_short_is_made_whole(place: str) -> None:
    import icechunk

    from deepsalt.versions.repository import _config
    from deepsalt.versions.storage import open_storage

    icechunk.Repository.create(open_storage(place), config=_config())
    with pytest.raises(StoreMissingError):
        open_repository(place)
    assert new(place).head() is None


def test_a_kind_of_place_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="ftp://host/a is no place"):
        open_repository("ftp://user:secret@host/a?key=1")


@pytest.mark.slow  # Icechunk asks for half a minute
def test_a_server_that_is_away_is_a_sentence_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    with pytest.raises(StoreError, match="s3://salt/x cannot be read or written") as caught:
        open_repository("s3://salt/x")
    assert "very-secret" not in str(caught.value)


def test_nothing_that_is_sent_to_workers_holds_a_secret(bucket: str) -> None:
    mosaic, sent = new(bucket), []

    def spying(work, items):  # type: ignore[no-untyped-def]
        sent.extend(pickle.dumps((work, item)) for item in items)
        done = [work(item) for item in items]
        sent.extend(pickle.dumps(each) for each in done)
        return done

    records = MemoryRecords()
    put(records, A)
    Build(mosaic, records, _only_a, compose, run=spying)([place_of(A)])
    sent.append(pickle.dumps(mosaic))
    sent.append(pickle.dumps(open_mosaic(mosaic)))
    assert len(sent) == 4
    assert [each for each in sent if b"any-secret" in each or b"any-id" in each] == []
    assert max(map(len, sent[:2])) < 10_000


def _only_a(period: object, tile: object) -> list[str]:
    return [A]


def test_a_build_of_another_machine_in_a_folder_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mosaic, records = new(tmp_path / "mosaic"), FolderRecords(tmp_path)
    monkeypatch.setattr("deepsalt.versions.records.host_name", lambda: "elsewhere")
    Alive(records)
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        build_of(mosaic, records)([])
    assert "elsewhere also builds into" in caplog.text


def test_metadata_of_a_version_are_plain_values() -> None:
    mosaic, records = new("memory://plain"), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    (found, *_) = mosaic.repository.ancestry(branch="main")
    assert json.loads(json.dumps(found.metadata)) == found.metadata


@pytest.mark.parametrize("change", ["roll_back", "publish"])
def test_a_change_that_a_build_overtakes_at_the_last_moment_changes_nothing(
    place: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic, records = new(place), MemoryRecords()
    put(records, A)
    build_of(mosaic, records)(PLACES)
    put(records, B)
    build_of(mosaic, records)(PLACES)
    put(records, C)
    waiting = build_of(mosaic, records)(PLACES, hold=True).versions[0]
    original = Repository.reset_branch

    def overtaken(repository, *args, **options):  # type: ignore[no-untyped-def]
        build_of(mosaic, records, why="faster")(PLACES)
        original(repository, *args, **options)

    monkeypatch.setattr(Repository, "reset_branch", overtaken)
    monkeypatch.setattr("deepsalt.versions.storage._locked", lambda folder: nullcontext())
    with pytest.raises(OvertakenError, match="nothing was changed"):
        roll_back(mosaic) if change == "roll_back" else publish(mosaic, waiting.id)
    assert mosaic.head().why == "faster"  # type: ignore[union-attr]
    check(mosaic, [A, B, C])


def test_a_tile_that_cannot_be_written_is_named() -> None:
    def away(store: IcechunkStore, job: Job) -> Report:
        raise IcechunkError("the bucket is away")

    mosaic = new("memory://away")
    with pytest.raises(StoreError, match=r"tile x30_y-300 cannot be written to memory://away"):
        Build(mosaic, MemoryRecords(), lambda period, tile: [A], away)([place_of(A)])
