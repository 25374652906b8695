"""Retention: what goes, what stays, and that a crash in the middle harms nothing."""

from pathlib import Path

import pytest

from deepsalt.errors import StoreError, UsageError
from deepsalt.mosaic import (
    begin_build,
    compose_tile,
)
from deepsalt.store import (
    Period,
    Store,
    complete_versions,
    find_prunable,
    open_mosaic,
    prune,
)
from tests.store.builders import (
    add_small,
    build,
    make_store,
    published,
    roll_back,
)

ALL = Period.all()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


@pytest.fixture
def two(store: Store) -> tuple[Store, str, str]:
    """A store with scenes a, then a and b published."""
    a, b = add_small(store, "a"), add_small(store, "b", column=90)
    build(store, {ALL: [a]})
    build(store, {ALL: [a, b]})
    return store, a, b


def ids(store: Store) -> list[str]:
    return [version.id for version in complete_versions(store)]


def test_pruning_keeps_the_versions_published_last(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    build(store, {ALL: [a, b, add_small(store, "c")]})
    first, *kept = ids(store)
    assert prune(store, keep=2).versions == (first,)
    assert ids(store) == kept


def test_pruning_never_removes_the_published_version(two: tuple[Store, str, str]) -> None:
    store, a, _ = two
    roll_back(store)
    prune(store, keep=1)
    assert published(store) == (a,)
    assert open_mosaic(store).attrs["version_id"] == ids(store)[0]


def test_a_mosaic_reads_the_same_after_the_version_it_shares_with_is_gone(
    two: tuple[Store, str, str],
) -> None:
    store, _, _ = two
    before = open_mosaic(store).load()
    prune(store, keep=1)
    assert open_mosaic(store).load().identical(before)


def test_what_would_be_pruned_is_only_shown(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    before = ids(store)
    found = find_prunable(store, keep=1)
    assert (found.versions, found.kept) == ((before[0],), (before[1],))
    assert ids(store) == before


def test_pruning_frees_the_bytes_it_promises(two: tuple[Store, str, str]) -> None:
    store, _, _ = two

    def used() -> int:
        files = [p for p in store.path.rglob("*") if p.is_file() and ".lock" not in p.name]
        return sum({p.stat().st_ino: p.stat().st_size for p in files}.values())

    before = used()
    promised = prune(store, keep=1).freed_bytes
    assert before - used() == promised


def test_leftovers_of_unfinished_builds_are_pruned(two: tuple[Store, str, str]) -> None:
    store, a, b = two
    with begin_build(store, {ALL: [a, b, add_small(store, "c")]}) as plan:
        compose_tile(plan.tasks[0])
    found = prune(store, keep=5)
    assert found.leftovers == (
        f"records/versions/{plan.version}",
        f"versions/{plan.version}.building",
    )
    assert not list(store.versions.glob("*.building"))


def test_nothing_is_pruned_while_a_build_is_going_on(two: tuple[Store, str, str]) -> None:
    store, a, _ = two
    with (
        begin_build(store, {ALL: [a, add_small(store, "c")]}),
        pytest.raises(StoreError, match="is building in this store"),
    ):
        prune(store, keep=1)


def test_at_least_one_version_is_kept(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    with pytest.raises(UsageError, match="at least 1"):
        prune(store, keep=0)


def test_a_version_that_was_pruned_can_be_built_again(two: tuple[Store, str, str]) -> None:
    store, a, _ = two
    gone = ids(store)[0]
    prune(store, keep=1)
    assert build(store, {ALL: [a]}).id == gone
    assert float(open_mosaic(store).observations.max()) == 1


def test_a_rollback_to_a_version_that_was_pruned_is_refused(two: tuple[Store, str, str]) -> None:
    store, _, _ = two
    prune(store, keep=1)
    with pytest.raises(UsageError, match="does not keep version"):
        roll_back(store)
