"""A kill at any step: readers see the old or the new, and repeating finishes."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import xarray as xr

from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import readmit, withdraw
from deepsalt.objects import Objects
from deepsalt.store import Store
from deepsalt.versions import open_mosaic, open_repository, prune, roll_back
from tests.store.builders import GRID, add_small, build, make_store, published
from tests.store.crash import killed_at

TINY = MosaicGrid(GRID.crs, anchor=GRID.anchor, chunk_px=16, shard_px=16, tile_shards=1)
Act = Callable[[Store], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with {a} and then {a, b} published, and a product c that no version has."""
    store = make_store(tmp_path_factory.mktemp("base") / "store", TINY)
    add_small(store, "a")
    build(store)
    add_small(store, "b", column=20)
    build(store)
    add_small(store, "c", column=25)
    return store.objects.path


def add_d(store: Store) -> None:
    add_small(store, "d", column=10)
    build(store)


def withdraw_b(store: Store) -> None:
    withdraw(store, ["test/b/1"])
    build(store)


def readmit_b(store: Store) -> None:
    readmit(store, ["test/b/1"])
    build(store)


def roll_back_to_first(store: Store) -> None:
    mosaic = open_repository(store.objects)
    first = [*mosaic.history()][-1]
    if mosaic.head() != first:
        roll_back(mosaic, first.id)


def prune_all_but_one(store: Store) -> None:
    prune(open_repository(store.objects), keep=1, now=datetime.now(UTC) + timedelta(days=30))


def nothing(store: Store) -> None:
    """Leave the store as it is."""


ACTS: dict[str, tuple[Act, Act]] = {
    "build": (nothing, build),
    "add": (build, add_d),
    "withdraw": (build, withdraw_b),
    "readmit": (withdraw_b, readmit_b),
    "roll back": (nothing, roll_back_to_first),
    "prune": (build, prune_all_but_one),
}


def copy_of(path: Path, target: Path) -> Store:
    return Store.open(shutil.copytree(path, target))


def read(store: Store) -> xr.Dataset:
    ds = open_mosaic(open_repository(store.objects), chunks=None).load()
    return ds.drop_attrs()


def check_kills(base: Path, folder: Path, acts: tuple[Act, Act], *, kills: int | None) -> None:
    """Kill an act at so many steps, or at each; look at what is left, and repeat it."""
    prepare, act = acts
    ready = copy_of(base, folder / "ready")
    prepare(ready)
    old = read(ready)
    whole = copy_of(ready.objects.path, folder / "whole")
    with killed_at(None) as seam:
        act(whole)
    new, count = read(whole), len(seam.steps)
    for step in range(1, count + 1, max(1, count // kills) if kills else 1):
        store = copy_of(ready.objects.path, folder / f"{step}")
        with killed_at(step) as killed:
            act(store)
        assert killed.killed, f"the act was to be killed at {seam.steps[step - 1]}"
        left = read(store)
        assert left.equals(old) or left.equals(new), seam.steps[step - 1]
        assert published(store), step
        act(store)
        assert read(store).equals(new), f"{seam.steps[step - 1]}, repeated"
        shutil.rmtree(store.objects.path)


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
    objects, done = Objects.of(tmp_path), []
    with killed_at(2) as seam:
        objects.write("a", b"")
        try:
            objects.create("b", b"")
        finally:
            done.append("tidied")
            objects.delete(["a"])
    assert [entry.key for entry in objects.list()] == ["a"]
    assert done == ["tidied"]
    assert seam.steps == ["write", "create", "delete"]
    objects.write("b", b"alive again")
