"""Builds: what is composed, what is published, and what other drivers do meanwhile."""

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from icechunk import IcechunkError, IcechunkStore

from deepsalt.errors import (
    DeepsaltError,
    GridError,
    StoreAccessError,
    StoreAwayError,
    StoreError,
    StoreMismatchError,
)
from deepsalt.grid import Tile
from deepsalt.objects import Objects
from deepsalt.store.periods import Period
from deepsalt.types import Report
from deepsalt.versions import (
    Build,
    Job,
    Mosaic,
    commit,
    held,
    live_builds,
    open_mosaic,
    periods_of,
    products_of,
    write_tile,
)
from deepsalt.versions.commit import Done, PeriodTile, Work
from deepsalt.versions.records import BuildRecord, slots_of
from deepsalt.versions.storage import PREFIX
from tests.versions.world import (
    BEFORE,
    PX,
    YEAR,
    always,
    at_once,
    build_of,
    by_period_tile,
    check,
    compose,
    names_of,
    new,
    period_tile_of,
    product,
    put,
    tile,
    wanted_of,
    withdraw,
)

A, B, C = product(0, 3), product(1, 5, shard=2), product(0, 7, shard=3)
PERIOD_TILES = [period_tile_of(A), period_tile_of(B)]


def test_what_was_wanted_is_published(place: str) -> None:
    mosaic = new(place)
    put(mosaic, A, B, C)
    built = build_of(mosaic, run=at_once)(PERIOD_TILES)
    check(mosaic, [A, B, C])
    assert mosaic.head() == built.versions[0]
    assert built.composed == 2


def test_a_second_build_of_the_same_finds_nothing_to_do() -> None:
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    again = build_of(mosaic)(PERIOD_TILES)
    assert (again.versions, again.composed) == ((), 0)


def test_only_tiles_that_changed_are_composed() -> None:
    mosaic = new()
    put(mosaic, A, B)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, C)
    assert build_of(mosaic)(PERIOD_TILES).composed == 1


def test_a_version_says_what_tiles_gained_and_lost() -> None:
    mosaic = new()
    put(mosaic, A, B)
    build_of(mosaic, why="first")(PERIOD_TILES)
    put(mosaic, C)
    withdraw(mosaic, B)
    build_of(mosaic, why="second")(PERIOD_TILES)
    second, first = mosaic.history()
    assert (first.why, first.added, first.removed, first.parent) == ("first", (A, B), (), None)
    assert (second.added, second.removed, second.parent) == ((C,), (B,), first.id)
    assert (second.added_count, second.removed_count, second.tiles) == (1, 1, 2)
    check(mosaic, [A, C], [B])


def test_more_products_than_are_named_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsalt.versions.repository.NAMED", 2)
    mosaic = new()
    put(mosaic, A, B, C)
    (version,) = build_of(mosaic)(PERIOD_TILES).versions
    assert (len(version.added), version.added_count) == (2, 3)


def test_facts_of_the_builder_are_kept_and_told_to_readers() -> None:
    mosaic = new()
    put(mosaic, A)
    build = Build(mosaic, always(A), compose, facts=lambda parent, done: {"sensors": ["enmap"]})
    (version,) = build([period_tile_of(A)]).versions
    assert version.facts == {"sensors": ["enmap"]}
    assert open_mosaic(mosaic).attrs["sensors"] == ["enmap"]


def test_what_each_tile_was_made_of_is_kept_with_the_version() -> None:
    mosaic = new()
    put(mosaic, A, B, C)
    (version,) = build_of(mosaic)(PERIOD_TILES).versions
    made_of = {tile: names for _, tile, names in products_of(mosaic, version)}
    assert made_of == {tile(0): (A, C), tile(1): (B,)}


def test_a_product_that_arrives_while_tiles_are_composed_is_in_the_end_there() -> None:
    mosaic = new()
    put(mosaic, A)

    def late(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        put(mosaic, C)
        return done

    built = build_of(mosaic, run=late)(PERIOD_TILES)
    check(mosaic, [A, C])
    assert len(built.versions) == 2


def test_a_tile_that_another_driver_composed_meanwhile_is_composed_of_both() -> None:
    mosaic = new()
    put(mosaic, A, B)

    def overtaken(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        if C not in names_of(mosaic):
            put(mosaic, C)
            build_of(mosaic, why="other")([period_tile_of(A)])
        return done

    built = build_of(mosaic, run=overtaken, why="mine")(PERIOD_TILES)
    check(mosaic, [A, B, C])
    assert [version.why for version in mosaic.history()] == ["mine", "other"]
    assert built.versions[0].tiles == 1


def test_the_loser_of_a_race_for_a_commit_tries_again_at_the_new_head(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic = new(place)
    put(mosaic, A, B)
    original, raced = Build._check_composed, []

    def race(self, session, kept):  # type: ignore[no-untyped-def]
        original(self, session, kept)
        if not raced:  # the session is open: whoever commits now makes it out of date
            raced.append(True)
            monkeypatch.setattr(Build, "_check_composed", original)
            build_of(mosaic, why="other")([period_tile_of(B)])

    monkeypatch.setattr(Build, "_check_composed", race)
    monkeypatch.setattr("deepsalt.versions.storage.locked", lambda folder: nullcontext())
    build_of(mosaic, why="mine")([period_tile_of(A)])
    check(mosaic, [A, B])
    assert [version.why for version in mosaic.history()] == ["mine", "other"]


def test_periods_come_in_order_of_time_whenever_they_were_added() -> None:
    mosaic = new()
    build = Build(mosaic, always(A), compose)
    build([(YEAR, tile(0))])
    build([(BEFORE, tile(0))])
    ds = open_mosaic(mosaic)
    assert ds.period.dt.year.values.tolist() == [2023, 2024]
    assert ds.period_bounds.dt.dayofyear.values.tolist() == [[1, 365], [1, 366]]


ALL = Period.all()


def days_of(mosaic: Mosaic) -> list[list[str]]:
    """First and last day of each period."""
    return open_mosaic(mosaic).period_bounds.values.astype("datetime64[D]").astype(str).tolist()


@pytest.mark.parametrize(
    ("calls", "wanted"),
    [
        (["03-10/05-01"], ["03-10", "05-01"]),
        (["03-10/05-01", "04-01/06-01"], ["03-10", "06-01"]),
        (["03-10/05-01", "01-01/02-01"], ["01-01", "05-01"]),
        (["03-10/05-01", "04-01/04-02"], ["03-10", "05-01"]),
        (["03-10/05-01", ""], ["03-10", "05-01"]),
        (["", "03-10/05-01"], ["03-10", "05-01"]),
    ],
    ids=["first", "later", "earlier", "inside", "then-none", "none-first"],
)
def test_the_period_without_limits_reaches_over_the_scenes_of_all_calls(
    calls: list[str], wanted: list[str]
) -> None:
    mosaic = new()
    for number, call in enumerate(calls):
        first, _, last = call.partition("/")
        span = call and (date.fromisoformat(f"2024-{first}"), date.fromisoformat(f"2024-{last}"))
        build = Build(
            mosaic,
            always(*(product(0, 1 + n) for n in range(number + 1))),
            compose,
            days=lambda _, span=span: span or None,  # type: ignore[misc]
        )
        build([(ALL, tile(0))])
    assert days_of(mosaic) == [[f"2024-{day}" for day in wanted]]


def test_a_period_with_limits_has_these_whatever_its_scenes_are() -> None:
    mosaic = new()
    Build(mosaic, always(A), compose, days=lambda _: (date(2024, 5, 1), date(2025, 5, 2)))(
        [(YEAR, tile(0))]
    )
    assert days_of(mosaic) == [["2024-01-01", "2024-12-31"]]


def test_the_days_of_a_call_that_publishes_nothing_are_not_kept() -> None:
    mosaic = new()
    for last in (date(2024, 5, 1), date(2024, 6, 1)):
        Build(mosaic, always(A), compose, days=lambda _, last=last: (date(2024, 1, 1), last))(  # type: ignore[misc]
            [(ALL, tile(0))]
        )
    assert days_of(mosaic) == [["2024-01-01", "2024-05-01"]]


def test_simulated_tiles_are_counted_in_and_out() -> None:
    mosaic = new()
    simulated = {product(0, 1), product(1, 2), product(2, 4)}
    real = {product(0, 8), product(2, 16)}
    counted = []

    def build(*products: str) -> None:
        named = by_period_tile(products)
        Build(
            mosaic,
            lambda period_tiles: {
                period_tile: named.get(period_tile, ()) for period_tile in period_tiles
            },
            compose,
            simulated=simulated.__contains__,
        )([(YEAR, tile(x)) for x in range(3)])
        head = mosaic.head()
        assert head is not None
        counted.append((head.simulated, open_mosaic(mosaic).attrs["simulated"]))

    build(*simulated)
    build(*simulated, *real)  # the same tiles, with real scenes besides
    build(*simulated - {product(1, 2)}, *real)
    build(product(0, 1), *real)
    build(*real)
    assert counted == [(3, True), (3, True), (2, True), (1, True), (0, False)]


def test_a_job_says_whether_any_of_its_products_was_simulated() -> None:
    mosaic, found = new(), []

    def noting(store: IcechunkStore, job: Job) -> None:
        found.append((job.tile, job.simulated))
        compose(store, job)

    put(mosaic, A, B, C)
    Build(mosaic, wanted_of(mosaic), noting, simulated=C.__eq__)(PERIOD_TILES)
    assert found == [(tile(0), True), (tile(1), False)]


def test_wanted_is_asked_once_a_round_for_all_tiles() -> None:
    mosaic, asked = new(), []

    def wanted(period_tiles: Sequence[PeriodTile]) -> Mapping[PeriodTile, Sequence[str]]:
        asked.append([*period_tiles])
        return {period_tile: [A] for period_tile in period_tiles}

    Build(mosaic, wanted, compose)([*PERIOD_TILES, *PERIOD_TILES])
    assert asked == [PERIOD_TILES, PERIOD_TILES]


def test_notes_of_the_composer_reach_the_driver() -> None:
    mosaic = new()
    put(mosaic, A, B, C)
    built = build_of(mosaic)(PERIOD_TILES)
    found = {done.job.tile: done.note for done in built.tiles}
    assert {where: note.estimated for where, note in found.items()} == {
        tile(0): 2 * PX**2,
        tile(1): PX**2,
    }


def test_a_tile_that_is_emptied_has_a_note_as_well() -> None:
    mosaic = new()
    put(mosaic, A, B)
    build_of(mosaic)(PERIOD_TILES)
    withdraw(mosaic, B)
    (done,) = build_of(mosaic)(PERIOD_TILES).tiles
    assert (done.job.tile, done.job.products, done.note) == (tile(1), (), Report(0, 0))
    check(mosaic, [A], [B])


def test_a_tile_that_others_committed_has_no_note_of_ours() -> None:
    mosaic = new()
    put(mosaic, A, B)

    def overtaken(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        done = [work(item) for item in items]
        build_of(mosaic, why="other")([period_tile_of(A)])
        return done

    built = build_of(mosaic, run=overtaken)(PERIOD_TILES)
    assert [done.job.tile for done in built.tiles] == [tile(1)]
    assert built.composed == 2


class JudgementError(DeepsaltError):
    """What a judge raises."""


@pytest.mark.parametrize("hold", [False, True], ids=["published", "held"])
def test_a_judge_that_refuses_publishes_nothing_and_leaves_no_build(hold: bool) -> None:
    mosaic, seen = new(), []

    def judge(done: Sequence[Done]) -> str:
        seen.extend((each.job.tile, each.note.estimated) for each in done)
        raise JudgementError("unfit")

    put(mosaic, A, B)
    build = Build(mosaic, wanted_of(mosaic), compose, judge=judge)
    with pytest.raises(JudgementError, match="unfit"):
        build(PERIOD_TILES, hold=hold)
    assert seen == [(tile(0), PX**2), (tile(1), PX**2)]
    assert (mosaic.head(), held(mosaic), live_builds(mosaic.objects)) == (None, (), [])
    # Nor is anything of it in the next one's way.
    build_of(mosaic)(PERIOD_TILES)
    check(mosaic, [A, B])


def test_a_judge_that_refuses_later_leaves_what_was_published() -> None:
    mosaic, asked = new(), []

    def judge(done: Sequence[Done]) -> str:
        asked.append(done)
        if len(asked) == 2:
            raise JudgementError("unfit")

    def late(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        done = [work(item) for item in items]
        put(mosaic, C)
        return done

    put(mosaic, A, B)
    with pytest.raises(JudgementError):
        Build(mosaic, wanted_of(mosaic), compose, run=late, judge=judge)(PERIOD_TILES)
    check(mosaic, [A, B], [C])


def test_an_error_of_a_judge_is_its_own_also_where_storage_fails_alike() -> None:
    def judge(done: Sequence[Done]) -> str:
        raise FileNotFoundError("no picture")

    mosaic = new()
    with pytest.raises(FileNotFoundError, match="no picture"):
        Build(mosaic, always(A), compose, judge=judge)(PERIOD_TILES)


def test_a_tile_beyond_the_mosaic_is_refused() -> None:
    mosaic = new()
    with pytest.raises(GridError, match="x9999_y0"):
        build_of(mosaic)([(YEAR, Tile(9999, 0))])


def test_what_was_not_written_by_write_tile_is_not_published() -> None:
    def lazy(store: IcechunkStore, job: Job) -> Report:
        return Report()

    mosaic = new()
    with pytest.raises(StoreError, match=r"x30_y-300 was not written"):
        Build(mosaic, always(A), lazy)([period_tile_of(A)])
    assert mosaic.head() is None


def test_a_composer_that_fails_publishes_nothing() -> None:
    def failing(store: IcechunkStore, job: Job) -> Report:
        write_tile(store, job, ())
        raise StoreError("disk full")

    mosaic = new()
    with pytest.raises(StoreError, match="disk full"):
        Build(mosaic, always(A), failing)([period_tile_of(A)])
    assert mosaic.head() is None
    assert live_builds(mosaic.objects) == []


def test_a_build_of_another_machine_in_a_folder_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mosaic = new(tmp_path)
    monkeypatch.setattr("deepsalt.versions.records.host_name", lambda: "elsewhere")
    BuildRecord(mosaic.objects)
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        build_of(mosaic)([])
    assert "elsewhere also builds into" in caplog.text


def test_a_tile_that_cannot_be_written_is_named() -> None:
    def away(store: IcechunkStore, job: Job) -> Report:
        raise IcechunkError("the bucket is away")

    mosaic = new()
    with pytest.raises(StoreError, match=r"tile x30_y-300 could not be written: the bucket"):
        Build(mosaic, always(A), away)([period_tile_of(A)])


def test_a_fork_that_cannot_be_read_where_it_is_written_is_a_sentence(tmp_path: Path) -> None:
    def without_snapshots(work: Callable[[Work], Done], items: Sequence[Work]) -> Iterable[Done]:
        shutil.rmtree(tmp_path / PREFIX / "snapshots")
        return map(work, items)

    mosaic = new(tmp_path)
    with pytest.raises(StoreAwayError, match="while tile x30_y-300 was written; run again"):
        Build(mosaic, always(A), compose, run=without_snapshots)([period_tile_of(A)])


def test_a_period_that_overlaps_one_that_came_meanwhile_takes_no_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mosaic = new()
    create, spring = Objects.create, Period(date(2024, 3, 1), date(2024, 5, 31))

    def overtaken(objects: Objects, key: str, data: bytes) -> bool:
        if key == "records/periods/0000":
            monkeypatch.setattr(Objects, "create", create)
            create(objects, key, YEAR.id.encode())
        return create(objects, key, data)

    monkeypatch.setattr(Objects, "create", overtaken)
    with pytest.raises(StoreMismatchError, match="overlap"):
        slots_of(mosaic.objects, [spring])
    assert periods_of(mosaic.objects) == {YEAR: 0}


@pytest.mark.parametrize("behind_s", [0.2, 3600.0], ids=["a little", "an hour"])
def test_a_clock_that_is_behind_waits_a_little_or_says_so(
    behind_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic, refusals = new(), iter([True])
    put(mosaic, A)
    publish_version = Build._publish

    def refused(self, session, *args, **options):  # type: ignore[no-untyped-def]
        if next(refusals, False):
            raise IcechunkError("session error: invalid snapshot timestamp ordering")
        return publish_version(self, session, *args, **options)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(seconds=behind_s)

    monkeypatch.setattr(Build, "_publish", refused)
    monkeypatch.setattr(commit, "datetime", Clock)
    if behind_s < 60:
        assert build_of(mosaic)([period_tile_of(A)]).versions
    else:
        with pytest.raises(StoreAccessError, match="this machine's clock is"):
            build_of(mosaic)([period_tile_of(A)])


def test_a_build_that_published_does_not_fail_over_its_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mosaic = new()
    put(mosaic, A)

    def away(_: BuildRecord) -> None:
        raise StoreError("the server does not answer")

    monkeypatch.setattr(BuildRecord, "end", away)
    assert build_of(mosaic)([period_tile_of(A)]).versions
    assert "remains for a prune" in caplog.text
