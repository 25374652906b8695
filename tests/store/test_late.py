"""What a late scene costs: requests that do not depend on how much else is in the store."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deepsalt.mosaic import Builder, period_tiles_of
from deepsalt.products import mark_done, read_marker, write_product
from deepsalt.store import Period, Store
from tests.store.builders import (
    REF,
    acquisition,
    add_small,
    build,
    in_memory,
    layers,
    make_store,
    published,
    scene_grid,
)
from tests.store.served import counted

ALL = Period.all()
LATE = scene_grid(column=5, height=20, width=20)


def store_with(count: int, *, built: int) -> Store:
    """Make a store with a scene where the late one will lie, and so many far from it."""
    store = make_store(in_memory())
    add_small(store, "a")
    for number in range(built):
        add_small(store, chr(0x4E00 + number), column=1000 + 64 * number)
    build(store)
    first = read_marker(store, add_small(store, "b", column=1000))
    for number in range(count - built):
        grid = scene_grid(column=1000 + 64 * (number % 50), height=20, width=20)
        name = f"far-{number:04d}"
        mark_done(store, replace(first, name=name, acquisition_id=name, grid=grid))
    return store


def add_late(store: Store) -> Counter[str]:
    """Add a scene as a run does; return what was asked for."""
    acq = acquisition("late", grid=LATE)
    ds = layers(LATE, seed=1)
    with counted() as asked, ThreadPoolExecutor(2) as pool:
        marker = mark_done(store, write_product(ds, store, acq, REF))
        built = Builder(store, pool)(period_tiles_of(store, [marker.name], ALL), why="late")
    assert built.composed == len(store.grid.tiles_over(LATE))
    assert marker.name in published(store)
    return asked


@pytest.mark.parametrize(
    "built", [5, pytest.param(300, marks=pytest.mark.slow)], ids=["marked", "built"]
)
def test_a_late_scene_asks_for_as_much_beside_300_products_as_beside_10(built: int) -> None:
    few, many = (add_late(store_with(n, built=min(n, built))) for n in (10, 300))
    assert few == many
    assert sum(few.values()) < 100


def test_a_late_scene_composes_only_the_tiles_under_it() -> None:
    store = make_store()
    add_small(store, "a")
    add_small(store, "far", column=1000)
    build(store)
    add_small(store, "b", column=5)
    built = build(store)
    assert {each.job.tile for each in built.tiles} == {*store.grid.tiles_over(LATE)}
