"""A kill at any step on the file system: readers see the old or the new, and repeating finishes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deepsalt.mosaic.sets import published_sets

from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import all_sets, readmit, readmitted_sets, withdraw
from deepsalt.store import Period, Store, history, prune
from deepsalt.validate import check_store
from tests.store.builders import GRID, add_small, build, make_store, published, roll_back
from tests.store.crash import counting, killed_at
from tests.store.scenarios import read

ALL = Period.all()
TINY = MosaicGrid(GRID.crs, anchor=GRID.anchor, chunk_px=16, shard_px=16, tile_shards=1)
Act = Callable[[Store], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with {a} and then {a, b} published, and a product c that no version has."""
    store = make_store(tmp_path_factory.mktemp("base") / "store", TINY)
    a, b = add_small(store, "a"), add_small(store, "b", column=20)
    build(store, {ALL: [a]})
    build(store, {ALL: [a, b]})
    add_small(store, "c", column=25)
    return store.path


def add_c(store: Store) -> None:
    build(store, all_sets(store))


def withdraw_b(store: Store) -> None:
    withdraw(store, ["test/b/1"])
    build(store, published_sets(store))


def readmit_b(store: Store) -> None:
    build(store, readmitted_sets(store, readmit(store, ["test/b/1"])))


def roll_back_to_first(store: Store) -> None:
    roll_back(store, history(store)[0].version)


def prune_all_but_one(store: Store) -> None:
    prune(store, keep=1)


def nothing(store: Store) -> None:
    """Leave the store as it is."""


ACTS: dict[str, tuple[Act, Act]] = {
    "build": (nothing, add_c),
    "withdraw": (nothing, withdraw_b),
    "readmit": (withdraw_b, readmit_b),
    "roll back": (nothing, roll_back_to_first),
    "prune": (nothing, prune_all_but_one),
}


def copy_of(path: Path, target: Path) -> Store:
    return Store.open(shutil.copytree(path, target, symlinks=True))


def check_kills(base: Path, folder: Path, acts: tuple[Act, Act], *, kills: int | None) -> None:
    """Kill an act at so many steps, or at each; look at what is left, and repeat it."""
    prepare, act = acts
    ready = copy_of(base, folder / "ready")
    prepare(ready)
    old = read(ready)
    whole = copy_of(ready.path, folder / "whole")
    with counting(whole.path) as seam:
        act(whole)
    new = read(whole)
    for step in range(1, seam.steps + 1, max(1, seam.steps // kills) if kills else 1):
        for torn in (True, False):
            store = copy_of(ready.path, folder / f"{step}-{torn}")
            with killed_at(store.path, step, torn=torn) as killed:
                act(store)
            assert killed.steps >= step, "the act was to be killed"
            left = read(store)
            assert left.identical(old) or left.identical(new), f"step {step} of {seam.steps}"
            assert published(store), step
            act(store)
            assert read(store).identical(new), f"step {step} of {seam.steps}, repeated"
            assert not [f for f in check_store(store.path) if f.severity == "error"], step
            shutil.rmtree(store.path)
            if not killed.tore:
                break  # no file was written at this step: the other kill would be the same


@pytest.mark.parametrize("name", ACTS)
def test_a_kill_at_some_steps_leaves_the_old_or_the_new_and_repeating_finishes(
    name: str, base: Path, tmp_path: Path
) -> None:
    check_kills(base, tmp_path, ACTS[name], kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_and_repeating_finishes(
    name: str, base: Path, tmp_path: Path
) -> None:
    check_kills(base, tmp_path, ACTS[name], kills=None)


def test_the_seam_stops_a_step_and_all_that_follow(tmp_path: Path) -> None:
    done = []
    with killed_at(tmp_path, 2):
        (tmp_path / "a").write_text("")
        try:
            (tmp_path / "b").write_text("")
        finally:
            done.append("tidied")
            (tmp_path / "a").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert done == ["tidied"]
    (tmp_path / "b").write_text("alive again")


def test_the_seam_tears_the_file_that_is_being_written(tmp_path: Path) -> None:
    with killed_at(tmp_path, 1, torn=True):
        (tmp_path / "a").write_text("a long text")
    assert (tmp_path / "a").read_text() == "torn"
