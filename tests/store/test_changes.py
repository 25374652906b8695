"""Scenes that an operator withdraws and takes back, and late scenes: the mosaic follows."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from deepsalt.errors import StoreMissingError, UsageError
from deepsalt.mosaic import (
    period_tiles_of,
    prune,
    readmit,
    refuse_withdrawn,
    withdraw,
    withdrawn_names,
)
from deepsalt.products import unmark
from deepsalt.store import Period, Store, tombstones
from deepsalt.versions import Version, filled_periods, open_mosaic, open_repository, roll_back
from tests.store.builders import (
    acquisition,
    add_product,
    add_small,
    build,
    make_store,
    published,
    scene_grid,
)
from tests.store.test_any_order import build as build_places

ALL = Period.all()


@pytest.fixture
def store() -> Store:
    return make_store()


def key(name: str, version: str = "1") -> str:
    return acquisition(name, version=version).key


@pytest.fixture
def two(store: Store) -> tuple[Store, str, str]:
    """A store with scenes a, then a and b published, side by side."""
    a = add_small(store, "a")
    build(store)
    b = add_small(store, "b", column=90)
    build(store)
    return store, a, b


def head(store: Store) -> Version:
    found = open_repository(store.objects).head()
    assert found is not None
    return found


def test_a_withdrawn_scene_is_left_out_of_every_build(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    assert withdraw(store, [key("b")]).scenes == (key("b"),)
    build_places(store, period_tiles_of(store, [b], ALL))
    assert published(store) == (a,)
    build(store)
    assert published(store) == (a,)


def test_a_scene_that_is_withdrawn_and_mapped_again_stays_out(
    two: tuple[Store, str, str],
) -> None:
    store, a, b = two
    withdraw(store, [key("b")])
    unmark(store, b)
    add_small(store, "b", column=90)
    build(store)
    assert published(store) == (a,)


def test_a_product_name_withdraws_its_scene(two: tuple[Store, str, str]) -> None:
    store, _, b = two
    assert withdraw(store, [b]).scenes == (key("b"),)
    assert withdrawn_names(store) == {b}


def test_a_withdrawal_composes_only_the_tiles_under_the_scene(store: Store) -> None:
    for name, column in (("a", 0), ("b", 10), ("c", 150)):
        add_small(store, name, column=column)
    build(store)
    touched = {*store.grid.tiles_over(scene_grid(column=10, height=20, width=20))}
    changed = withdraw(store, [key("b")])
    assert changed.tiles == touched
    made = build(store)
    assert {each.job.tile for each in made.tiles} == touched


def test_tiles_of_a_withdrawn_scene_alone_are_emptied(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    withdraw(store, [key("b")])
    version = build(store).versions[-1]
    assert (version.added, version.removed) == ((), (b,))
    (period,) = filled_periods(open_repository(store.objects), version)
    assert {*period.tiles} == {*store.grid.tiles_over(scene_grid(height=20, width=20))}
    assert published(store) == (a,)


def test_older_versions_are_withdrawn_with_a_scene_and_a_newer_one_counts(store: Store) -> None:
    other = add_small(store, "a")
    for version in ("1", "2"):
        add_small(store, "b", version=version)
    withdraw(store, [key("b", "2")])
    build(store)
    assert published(store) == (other,)
    newest = add_small(store, "b", version="10")
    build(store)
    assert published(store) == tuple(sorted((other, newest)))


def test_withdrawing_an_older_version_leaves_the_newer_one(store: Store) -> None:
    names = [add_small(store, "b", version=version) for version in ("1", "2")]
    withdraw(store, [key("b", "1")])
    build(store)
    assert published(store) == (names[1],)


def test_all_versions_of_a_scene_follow_wherever_they_lie(store: Store) -> None:
    add_small(store, "a", column=500)
    for version, column in (("1", 0), ("2", 100)):
        add_small(store, "b", version=version, column=column)
    build(store)
    changed = withdraw(store, [key("b", "2")])
    grids = [scene_grid(column=column, height=20, width=20) for column in (0, 100)]
    assert changed.tiles == {tile for grid in grids for tile in store.grid.tiles_over(grid)}


def test_a_record_of_a_withdrawal_says_why(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")], reason="bad geolocation")
    (record,) = tombstones(Store.open(store.objects)).values()
    assert (record.scene, record.reason) == (key("b"), "bad geolocation")


def test_withdrawing_twice_keeps_the_first_record(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")], reason="first")
    before = tombstones(store)
    withdraw(store, [key("b")], reason="second")
    assert tombstones(store) == before


def test_a_withdrawal_is_repeated_also_when_the_product_was_pruned_since(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    withdraw(store, [key("b")], reason="clouds")
    build(store)
    later = datetime.now(UTC) + timedelta(days=60)
    prune(store, open_repository(store.objects), keep=1, now=later)
    again = withdraw(store, [key("b")])
    assert (again.scenes, again.products) == ((key("b"),), ())
    assert published(store) == (a,)


def test_an_unknown_scene_is_refused_and_nothing_is_recorded(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    with pytest.raises(UsageError, match="has no scene test/c/1; it has test/a/1, test/b/1"):
        withdraw(store, [key("b"), key("c")])
    assert tombstones(store) == {}


@pytest.mark.parametrize("scene", ["", "/", "b", "test/b", "test//1", "test/b/1/", "a b"])
def test_what_names_no_scene_is_refused(two: tuple[Store, str, str], scene: str) -> None:
    store, _, _ = two
    for act in (withdraw, readmit):
        with pytest.raises(UsageError, match=r"has no scene|is not withdrawn"):
            act(store, [scene])
    assert tombstones(store) == {}


def test_a_mosaic_whose_scenes_are_all_withdrawn_is_empty_until_one_comes_back(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    withdraw(store, [key("a"), key("b")])
    build(store)
    assert head(store).totals.pixels == 0
    with pytest.raises(StoreMissingError, match="is empty"):
        open_mosaic(open_repository(store.objects))
    readmit(store, [key("a")])
    build(store)
    assert published(store) == (a,)


def test_a_scene_can_be_withdrawn_before_the_first_mosaic(store: Store) -> None:
    a, _ = add_small(store, "a"), add_small(store, "b")
    withdraw(store, [key("b")])
    build(store)
    assert published(store) == (a,)


def test_a_mosaic_of_nothing_but_withdrawn_scenes_is_not_begun(store: Store) -> None:
    add_small(store, "a")
    withdraw(store, [key("a")])
    with pytest.raises(UsageError, match=r"has no scene products, or only withdrawn ones"):
        build(store)


def test_a_withdrawal_taken_back_brings_back_the_same_bits(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    before = open_mosaic(open_repository(store.objects), chunks=None).salinity.values
    withdraw(store, [key("b")])
    build(store)
    readmit(store, [key("b")])
    build(store)
    assert published(store) == tuple(sorted((a, b)))
    after = open_mosaic(open_repository(store.objects), chunks=None).salinity.values
    np.testing.assert_array_equal(after, before)


def test_taking_back_twice_ends_in_the_same_state(two: tuple[Store, str, str]) -> None:
    store, _, b = two
    withdraw(store, [key("b")])
    build(store)
    first = readmit(store, [key("b")])  # and killed before the build
    again = readmit(store, [b])
    assert again == first
    build_places(store, [(ALL, tile) for tile in again.tiles])
    assert b in published(store)


def test_a_scene_that_was_never_withdrawn_cannot_be_taken_back(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")])
    with pytest.raises(UsageError, match=r"test/a/1 is not withdrawn .* withdrawn are test/b/1"):
        readmit(store, [key("b"), key("a")])
    assert [record.lifted for record in tombstones(store).values()] == [None]


def test_a_period_whose_scenes_are_all_withdrawn_is_not_shown() -> None:
    store = make_store(layout="dated")
    grid = scene_grid(height=20, width=20)
    spring = Period(date(2024, 5, 1), date(2024, 5, 5))
    summer = Period(date(2024, 5, 6), date(2024, 5, 31))
    for name, day in (("a", 1), ("b", 9)):
        add_product(store, acquisition(name, day=day, grid=grid))
    for period in (spring, summer):
        build(store, period)
    assert open_mosaic(open_repository(store.objects)).sizes["period"] == 2
    withdraw(store, [key("b")])
    build(store)
    found = open_mosaic(open_repository(store.objects))
    assert [str(day)[:10] for day in found.period.values] == ["2024-05-01"]


def test_days_of_a_withdrawn_scene_do_not_widen_the_unlimited_period(store: Store) -> None:
    grid = scene_grid(height=20, width=20)
    for name, day in (("a", 3), ("b", 9)):
        add_product(store, acquisition(name, day=day, grid=grid))
    withdraw(store, [key("b")])
    build(store)
    bounds = open_mosaic(open_repository(store.objects)).period_bounds.values[0]
    assert [str(day)[:10] for day in bounds] == ["2024-05-03", "2024-05-03"]


def test_a_version_with_a_scene_withdrawn_since_is_refused(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    mosaic, before = open_repository(store.objects), head(store)
    withdraw(store, [key("b")], reason="clouds")
    build(store)
    with pytest.raises(
        UsageError,
        match=rf"{before.short} has scene test/b/1, withdrawn on .*: clouds; readmit it "
        rf"first: `deepsalt mosaic withdraw --undo STORE test/b/1`",
    ):
        refuse_withdrawn(store, mosaic, before)


def test_a_version_without_the_withdrawn_scene_is_not_refused(
    two: tuple[Store, str, str],
) -> None:
    store, _, _ = two
    mosaic = open_repository(store.objects)
    first = [*mosaic.history()][-1]
    withdraw(store, [key("b")])
    refuse_withdrawn(store, mosaic, first)
    assert first.added_count == 1


def test_a_withdrawal_that_was_taken_back_refuses_no_version(two: tuple[Store, str, str]) -> None:
    store, _, b = two
    withdraw(store, [key("b")])
    readmit(store, [key("b")])
    refuse_withdrawn(store, open_repository(store.objects), head(store))
    assert b in published(store)


def test_a_run_after_a_rollback_starts_from_the_version_rolled_back_to(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    roll_back(open_repository(store.objects))
    c = add_small(store, "c")
    build_places(store, period_tiles_of(store, [c], ALL))
    assert published(store) == tuple(sorted((a, c)))


def test_the_history_says_what_each_version_changed_and_why(
    two: tuple[Store, str, str],
) -> None:
    store, a, b = two
    withdraw(store, [key("b")])
    build(store, why="withdrawn: clouds")
    found = [(v.added, v.removed, v.why) for v in open_repository(store.objects).history()]
    assert found == [
        ((), (b,), "withdrawn: clouds"),
        ((b,), (), "test"),
        ((a,), (), "test"),
    ]


def test_building_what_is_published_makes_no_version(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    assert build(store).versions == ()


def test_a_late_scene_touches_only_its_tiles(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    before = tiles(store)
    late = add_small(store, "c", column=5)
    build_places(store, period_tiles_of(store, [late], ALL))
    under = {*store.grid.tiles_over(scene_grid(column=5, height=20, width=20))}
    after = tiles(store)
    assert {tile for tile in before | after if before.get(tile) != after.get(tile)} == under
    assert head(store).added == (late,)


def test_a_damaged_product_that_was_mapped_again_touches_no_other_tile(
    two: tuple[Store, str, str],
) -> None:
    store, _, b = two
    before = tiles(store)
    unmark(store, b)
    add_small(store, "b", column=90)
    assert build(store).versions == ()
    assert tiles(store) == before


def tiles(store: Store) -> dict[object, int]:
    (period,) = filled_periods(open_repository(store.objects), head(store))
    return dict(period.tiles)
