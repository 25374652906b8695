"""Withdrawn scenes, rollbacks, and the journal of publications."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from deepsalt.mosaic.sets import published_sets

from deepsalt.errors import StoreError, UsageError
from deepsalt.mosaic import (
    all_sets,
    begin_build,
    compose_tile,
    readmit,
    readmitted_sets,
    united_sets,
    withdraw,
    withdrawn_products,
)
from deepsalt.store import (
    Period,
    Store,
    history,
    open_mosaic,
    tombstones,
)
from tests.store.builders import (
    acquisition,
    add_product,
    add_small,
    build,
    make_store,
    published,
    roll_back,
    scene_grid,
)

ALL = Period.all()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def key(name: str, version: str = "1") -> str:
    return acquisition(name, version=version).key


def follow(store: Store) -> None:
    """Build what the published version becomes under the tombstones there are."""
    build(store, published_sets(store))


@pytest.fixture
def two(store: Store) -> tuple[Store, str, str]:
    """A store with scenes a, then a and b published."""
    a, b = add_small(store, "a"), add_small(store, "b", column=90)
    build(store, {ALL: [a]})
    build(store, {ALL: [a, b]})
    return store, a, b


def test_a_withdrawn_scene_is_left_out_of_every_build(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    assert withdraw(store, [key("b")]) == (key("b"),)
    for sets in (united_sets(store, ALL, [b]), all_sets(store)):
        build(store, sets)
        assert published(store) == (a,)


def test_a_product_name_withdraws_its_scene(two: tuple[Store, str, str]) -> None:
    store, _, b = two
    assert withdraw(store, [b]) == (key("b"),)
    assert withdrawn_products(store) == {b}


def test_a_withdrawal_composes_only_the_tiles_under_the_scene(store: Store) -> None:
    a, b = add_small(store, "a"), add_small(store, "b", column=10)
    far = add_small(store, "c", column=150)
    build(store, {ALL: [a, b, far]})
    withdraw(store, [key("b")])
    touched = set(store.grid.tiles_over(scene_grid(column=10, height=20, width=20)))
    with begin_build(store, published_sets(store)) as plan:
        assert {task.tile for task in plan.tasks} == touched < {tile for _, tile in plan.tiles}


def test_older_versions_are_withdrawn_with_a_scene_and_a_newer_one_counts(store: Store) -> None:
    other, old, new = (
        add_small(store, "a"),
        add_small(store, "b"),
        add_small(store, "b", version="2"),
    )
    build(store, {ALL: [other, old, new]})
    withdraw(store, [key("b", "2")])
    build(store, all_sets(store))
    assert published(store) == (other,)
    newest = add_small(store, "b", version="10")
    build(store, united_sets(store, ALL, [newest]))
    assert published(store) == tuple(sorted((other, newest)))


def test_withdrawing_an_older_version_leaves_the_newer_one(store: Store) -> None:
    names = [add_small(store, "b"), add_small(store, "b", version="2")]
    build(store, {ALL: names})
    withdraw(store, [key("b", "1")])
    build(store, all_sets(store))
    assert published(store) == (names[1],)


def test_a_record_of_a_withdrawal_says_why(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")], reason="bad geolocation")
    (record,) = tombstones(Store.open(store.path)).values()
    assert (record.scene, record.reason) == (key("b"), "bad geolocation")


def test_withdrawing_twice_keeps_the_first_record(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")], reason="first")
    before = tombstones(store)
    withdraw(store, [key("b")], reason="second")
    assert tombstones(store) == before


def test_an_unknown_scene_is_refused_and_nothing_is_recorded(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    with pytest.raises(UsageError, match="has no scene test/c/1; it has test/a/1, test/b/1"):
        withdraw(store, [key("b"), key("c")])
    assert tombstones(store) == {}


def test_withdrawing_all_scenes_is_refused_and_nothing_is_recorded(
    two: tuple[Store, str, str],
) -> None:
    store, _, _ = two
    with pytest.raises(UsageError, match="would be empty"):
        withdraw(store, [key("a"), key("b")])
    assert tombstones(store) == {}


def test_a_scene_can_be_withdrawn_before_the_first_mosaic(store: Store) -> None:
    a, _ = add_small(store, "a"), add_small(store, "b")
    withdraw(store, [key("b")])
    build(store, all_sets(store))
    assert published(store) == (a,)


def test_a_withdrawal_taken_back_brings_the_scene_back(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    withdraw(store, [key("b")])
    follow(store)
    build(store, readmitted_sets(store, readmit(store, [key("b")])))
    assert published(store) == tuple(sorted((a, b)))


def test_taking_back_twice_ends_in_the_same_state(two: tuple[Store, str, str]) -> None:
    store, _, b = two
    withdraw(store, [key("b")])
    follow(store)
    readmit(store, [key("b")])  # and killed before the build
    build(store, readmitted_sets(store, readmit(store, [b])))
    assert b in published(store)


def test_a_scene_that_was_never_withdrawn_cannot_be_taken_back(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")])
    with pytest.raises(UsageError, match=r"test/a/1 is not withdrawn .* withdrawn are test/b/1"):
        readmit(store, [key("b"), key("a")])
    assert [record.lifted for record in tombstones(store).values()] == [None]


def test_a_period_whose_scenes_are_all_withdrawn_stays_and_is_empty(tmp_path: Path) -> None:
    store = make_store(tmp_path / "dated", layout="dated")
    spring = Period(date(2024, 5, 1), date(2024, 5, 31))
    summer = Period(date(2024, 6, 1), date(2024, 6, 30))
    grid = scene_grid(height=20, width=20)
    names = [add_product(store.scenes, acquisition(n, grid=grid)) for n in "ab"]
    build(store, {spring: names[:1], summer: names[1:]})
    withdraw(store, [key("b")])
    follow(store)
    assert open_mosaic(store).observations.max(("y", "x")).values.tolist() == [1, 0]


def test_a_damaged_tombstone_is_named(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    withdraw(store, [key("b")])
    (path,) = (store.records / "tombstones").iterdir()
    path.write_text("{}")
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        tombstones(store)


def test_a_rollback_publishes_the_version_before(two: tuple[Store, str, str]) -> None:
    store, a, _ = two
    roll_back(store)
    assert published(store) == (a,)
    assert [each.why for each in history(store)][-1] == "rollback"


def test_rollbacks_go_further_back_each_time(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    build(store, {ALL: [a, b, add_small(store, "c")]})
    roll_back(store)
    roll_back(store)
    assert published(store) == (a,)


def test_there_is_nothing_before_the_first_version(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    roll_back(store)
    with pytest.raises(UsageError, match="is the first"):
        roll_back(store)


def test_a_rollback_to_a_named_version_can_go_forward(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    last = history(store)[-1].version
    roll_back(store)
    roll_back(store, last)
    assert published(store) == tuple(sorted((a, b)))


def test_a_version_that_is_not_there_is_refused(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    with pytest.raises(UsageError, match="does not keep version nonsense; it keeps"):
        roll_back(store, "nonsense")


def test_a_store_without_a_mosaic_has_nothing_to_roll_back(store: Store) -> None:
    with pytest.raises(UsageError, match="no published mosaic"):
        roll_back(store)


def test_a_version_with_a_withdrawn_scene_is_not_published_again(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    withdraw(store, [key("b")], reason="clouds")
    follow(store)
    with pytest.raises(UsageError, match=r"test/b/1, withdrawn on .*: clouds; take that back"):
        roll_back(store)
    assert published(store) == (a,)


def test_a_run_after_a_rollback_starts_from_the_version_rolled_back_to(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    roll_back(store)
    c = add_small(store, "c")
    build(store, united_sets(store, ALL, [c]))
    assert published(store) == tuple(sorted((a, c)))


def test_the_history_says_what_each_publication_changed_and_why(
    two: tuple[Store, str, str],
) -> None:
    store, a, b = two
    withdraw(store, [key("b")])
    with begin_build(store, published_sets(store), why="withdrawn: clouds") as plan:
        plan.publish()
    found = [(each.added, each.removed, each.why) for each in history(store)]
    assert found == [
        ((a,), (), "mosaic build"),
        ((b,), (), "mosaic build"),
        ((), (b,), "withdrawn: clouds"),
    ]


def test_publishing_what_is_published_is_no_event(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    before = history(store)
    build(store, {ALL: [a, b]})
    assert history(store) == before


def test_a_publication_that_was_interrupted_is_no_event(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    before = store.mosaic.readlink()
    build(store, {ALL: [a, b, add_small(store, "c")]})
    store.mosaic.unlink()
    store.mosaic.symlink_to(before)
    assert len(history(store)) == 2
    next_one = build(store, {ALL: [a, b, add_small(store, "d")]})
    numbers = sorted(path.name for path in (store.records / "history").glob("*.json"))
    assert numbers == ["000001.json", "000002.json", "000003.json"]
    assert history(store)[-1].version == next_one.id


def test_a_store_without_a_journal_has_the_history_of_its_versions(
    two: tuple[Store, str, str],
) -> None:
    store, a, _ = two
    ids = [each.version for each in history(store)]
    shutil.rmtree(store.records / "history")
    assert [each.version for each in history(store)] == ids
    roll_back(store)
    assert published(store) == (a,)
    assert [each.version for each in history(store)] == [*ids, ids[0]]


def test_a_damaged_journal_entry_is_named(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    path = store.records / "history" / "000001.json"
    path.write_text("{}")
    with pytest.raises(StoreError, match=r"000001.json is damaged"):
        history(store)


def test_products_published_meanwhile_are_not_lost(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    c, d = add_small(store, "c"), add_small(store, "d")

    def sets() -> dict[Period, tuple[str, ...]]:
        with pytest.raises(StoreError, match="is building"), store.locked():
            pass
        return united_sets(store, ALL, [d])

    build(store, united_sets(store, ALL, [c]))
    with begin_build(store, sets) as plan:
        for task in plan.tasks:
            compose_tile(task)
        plan.publish()
    assert published(store) == tuple(sorted((a, b, c, d)))
