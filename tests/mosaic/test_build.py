"""Builds: tiles as functions of their products, shared, checked, published whole."""

import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepsalt.compositing import composite
from deepsalt.errors import StoreError, StoreMismatchError, UsageError
from deepsalt.grid import Extent, MosaicGrid
from deepsalt.layers import CHANCE, CHANCE_FILL, CHANCE_STEP
from deepsalt.mosaic import Builder, Wanted, all_period_tiles, period_tiles_of
from deepsalt.mosaic import wanted as wanting
from deepsalt.mosaic.tile import Composer
from deepsalt.objects import Objects
from deepsalt.products import find_marker, prefix_of, unmark
from deepsalt.store import Period, Store
from deepsalt.types import PixelGrid
from deepsalt.validate import Limits
from deepsalt.versions import filled_periods, open_mosaic, open_repository, products_of, publish
from tests.store.builders import (
    REF,
    acquisition,
    add_product,
    add_small,
    build,
    layers,
    make_store,
    published,
    scene_grid,
)
from tests.store.test_any_order import InTurn
from tests.store.test_any_order import build as build_period_tiles

ALL = Period.all()
Y2023 = Period(date(2023, 1, 1), date(2023, 12, 31))
Y2024 = Period(date(2024, 1, 1), date(2024, 12, 31))


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def dated() -> Store:
    return make_store(layout="dated")


def add(
    store: Store,
    name: str,
    *,
    row: int = 0,
    column: int = 0,
    day: int | None = 1,
    version: str = "1",
) -> str:
    grid = scene_grid(row=row, column=column)
    acq = acquisition(name, day=day, grid=grid, version=version)
    return add_product(store, acq, seed=ord(name))


def opened(store: Store) -> xr.Dataset:
    """The published mosaic without Dask, which is slow on tiny chunks."""
    return open_mosaic(open_repository(store.objects), chunks=None)


def pixels(store: Store) -> dict[str, np.ndarray]:
    """Layers and coordinates of the published mosaic."""
    ds = opened(store)
    return {name: ds[name].values for name in [*ds.data_vars, "y", "x"]}


def assert_same(one: Store, two: Store) -> None:
    found, expected = pixels(one), pixels(two)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def covered(store: Store) -> PixelGrid:
    """The pixels of all tiles that the published mosaic has."""
    mosaic = open_repository(store.objects)
    head = mosaic.head()
    assert head is not None
    tiles = [tile for period in filled_periods(mosaic, head) for tile in period.tiles]
    return store.grid.extent_grid(Extent.of(tiles))


def test_a_mosaic_is_the_composite_of_its_products(store: Store) -> None:
    names = [add(store, "a"), add(store, "b", row=20, column=30)]
    build(store)
    expected = composite(store, names, covered(store))
    found = opened(store).isel(period=0)
    for name, layer in expected.data_vars.items():
        stored = found[name].fillna(layer.values[0, 0]) if name == "last_observed" else found[name]
        if name == CHANCE:
            stored = np.rint(stored / CHANCE_STEP).fillna(CHANCE_FILL)
        np.testing.assert_array_equal(stored.values, layer.values, err_msg=str(name))
    np.testing.assert_array_equal(found.x.values, expected.x.values)
    np.testing.assert_array_equal(found.y.values, expected.y.values)


def test_a_scene_of_the_same_grid_is_not_resampled(store: Store) -> None:
    add(store, "a")
    build(store)
    expected = layers(scene_grid(), seed=ord("a")).salinity.values
    x = scene_grid().transform[2] + 15 + 30 * np.arange(50)
    y = scene_grid().transform[5] - 15 - 30 * np.arange(40)
    found = opened(store).salinity.isel(period=0).sel(x=x, y=y)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_only_tiles_under_a_new_scene_are_composed_again(store: Store) -> None:
    add(store, "a")
    build(store)
    add(store, "b", column=90)
    made = build(store)
    assert {each.job.tile for each in made.tiles} == {*store.grid.tiles_over(scene_grid(column=90))}


@pytest.mark.parametrize("shift", [(-90, -90), (90, 90), (0, 90)], ids=str)
def test_a_mosaic_that_grew_equals_one_built_at_once(shift: tuple[int, int]) -> None:
    one, two = make_store(), make_store()
    add(one, "a")
    build(one)
    add(one, "b", row=shift[0], column=shift[1])
    build(one)
    add(two, "b", row=shift[0], column=shift[1])
    add(two, "a")
    build(two)
    assert_same(one, two)


def test_a_tile_without_a_change_is_not_composed(store: Store) -> None:
    add(store, "a")
    build(store)
    again = build(store)
    assert (again.versions, again.composed) == ((), 0)


def test_readers_keep_the_version_they_opened(store: Store) -> None:
    add(store, "a")
    build(store)
    before = opened(store)
    add(store, "b")
    build(store)
    assert float(before.observations.max()) == 1
    assert float(opened(store).observations.max()) == 2


def test_a_report_adds_up_over_tiles(store: Store) -> None:
    add(store, "a")
    made = build(store)
    estimated = sum(each.note.report.estimated for each in made.tiles)
    assert made.versions[-1].totals.estimated == estimated > 0


def test_a_version_is_the_same_however_it_is_found(store: Store) -> None:
    add(store, "a")
    version = build(store).versions[-1]
    assert len(version.totals.by_flag) > 1
    mosaic = open_repository(store.objects)
    for _ in range(10):
        assert [*mosaic.history()] == [version] == [mosaic.head()] == [mosaic.find(version.short)]


def test_a_version_says_what_sensors_and_days_it_has(store: Store) -> None:
    add(store, "a", day=3)
    add(store, "b", day=9, column=90)
    facts = {"sensors": ["enmap"], "newest": "2024-05-09"}
    assert facts.items() <= build(store).versions[-1].facts.items()
    add(store, "c", day=5)
    assert facts.items() <= build(store).versions[-1].facts.items()


@pytest.mark.parametrize("shard_px", [16, 64])
def test_tiles_are_composed_side_by_side(shard_px: int) -> None:
    grid = MosaicGrid("EPSG:6933", chunk_px=16, shard_px=shard_px, tile_shards=2)
    parallel, serial = make_store(grid=grid), make_store(grid=grid)
    for made in (parallel, serial):
        add(made, "a")
        add(made, "b", row=20, column=30)
    with ThreadPoolExecutor(4) as pool:
        Builder(parallel, pool)(all_period_tiles(parallel), why="test")
    Builder(serial, InTurn())(all_period_tiles(serial), why="test")
    assert_same(parallel, serial)


def test_tile_size_does_not_change_a_mosaic() -> None:
    found = []
    for shard_px in (32, 128):
        store = make_store(grid=MosaicGrid("EPSG:6933", chunk_px=16, shard_px=shard_px))
        add(store, "a")
        add(store, "b", row=20, column=30)
        build(store)
        ds = opened(store).isel(period=0).load()
        seen = ds.quality_flags != 1
        found.append(ds.salinity.where(seen, drop=True))
    xr.testing.assert_equal(*found)


def test_a_composer_travels_to_other_processes(store: Store) -> None:
    composer = Composer(store, Limits(), 1, "build")
    assert pickle.loads(pickle.dumps(composer)) == composer


def test_the_newest_version_of_a_scene_replaces_the_older(store: Store) -> None:
    old = add(store, "a", version="9")
    build(store)
    new = add(store, "a", version="10")
    version = build(store).versions[-1]
    assert (version.added, version.removed) == ((new,), (old,))


def test_an_older_version_that_comes_late_changes_nothing(store: Store) -> None:
    new = add(store, "a", version="10")
    build(store)
    add(store, "a", version="9")
    assert build(store).versions == ()
    assert published(store) == (new,)


def test_a_late_build_of_some_tiles_takes_all_that_is_complete_over_them(store: Store) -> None:
    """So whoever comes second need not know who was there before."""
    first, second = add(store, "a"), add(store, "b")
    build_period_tiles(store, period_tiles_of(store, [second], ALL))
    assert published(store) == tuple(sorted((first, second)))


def test_places_are_those_under_a_product_and_its_other_versions(store: Store) -> None:
    add(store, "a")
    new = add(store, "a", column=200, version="2")
    tiles = {
        tile for column in (0, 200) for tile in store.grid.tiles_over(scene_grid(column=column))
    }
    assert period_tiles_of(store, [new], Y2024) == sorted((Y2024, tile) for tile in tiles)


def test_products_that_are_not_complete_change_no_place(store: Store) -> None:
    name = add(store, "a")
    unmark(store, name)
    assert period_tiles_of(store, [name, "no-such"], ALL) == []


@pytest.mark.parametrize("few", [0, 1000], ids=["whole index", "tile by tile"])
def test_what_is_wanted_does_not_depend_on_how_the_index_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    names = [add(store, "a"), add(store, "b", column=90), add(store, "c", column=10)]
    monkeypatch.setattr(wanting, "FEW_TILES", few)
    period_tiles = all_period_tiles(store)
    found = Wanted(store)(period_tiles)
    grids = dict(zip(names, (0, 90, 10), strict=True))
    assert found == {
        (ALL, tile): sorted(
            name
            for name, column in grids.items()
            if tile in store.grid.tiles_over(scene_grid(column=column))
        )
        for _, tile in period_tiles
    }


def test_periods_lie_side_by_side_in_order_of_time(dated: Store) -> None:
    may = [Period(date(2024, 5, day), date(2024, 5, day + 4)) for day in (1, 6)]
    names = [add(dated, "a", day=2), add(dated, "b", day=8, column=10)]
    later = build(dated, may[1]).versions[-1]
    earlier = build(dated, may[0]).versions[-1]
    assert (later.added, earlier.added) == ((names[1],), (names[0],))
    found = opened(dated)
    assert [str(day)[:10] for day in found.period.values] == ["2024-05-01", "2024-05-06"]
    assert [str(day)[:10] for day in found.period_bounds.values[1]] == ["2024-05-06", "2024-05-10"]
    single = make_store(layout="dated")
    add(single, "b", day=8, column=10)
    build(single, may[1])
    expected = opened(single).salinity.isel(period=0)
    again = found.salinity.isel(period=1).sel(x=expected.x, y=expected.y)
    np.testing.assert_array_equal(again.values, expected.values)


def test_a_scene_is_in_the_period_of_its_day_alone(dated: Store) -> None:
    name = add(dated, "a", day=2)
    add(dated, "b", day=None)
    assert all_period_tiles(dated, Y2023) == []
    build(dated, Y2024)
    mosaic = open_repository(dated.objects)
    head = mosaic.head()
    assert head is not None
    assert {names for _, _, names in products_of(mosaic, head)} == {(name,)}


def test_the_unlimited_period_says_from_when_its_scenes_are(store: Store) -> None:
    add(store, "a", day=3)
    add(store, "b", day=9)
    build(store)
    days = opened(store).period_bounds.values[0]
    assert [str(day)[:10] for day in days] == ["2024-05-03", "2024-05-09"]


def test_a_mosaic_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no scene products"):
        Builder(store, InTurn())([], why="test")
    assert [entry.key for entry in store.objects.list()] == ["store.json"]


def test_nothing_to_do_on_a_mosaic_that_is_there_makes_no_version(store: Store) -> None:
    add(store, "a")
    build(store)
    assert Builder(store, InTurn())([], why="test").versions == ()


@pytest.mark.parametrize(
    ("layout", "period", "said"),
    [("all", Y2024, "has 'all' periods"), ("dated", ALL, "has 'dated' periods")],
)
def test_periods_of_another_layout_are_refused(layout: str, period: Period, said: str) -> None:
    store = make_store(layout=layout)
    add(store, "a")
    with pytest.raises(StoreMismatchError, match=f"{said}, but this run has {period.id}"):
        build(store, period)


def test_periods_that_overlap_are_refused(dated: Store) -> None:
    add(dated, "a")
    build(dated, Y2024)
    with pytest.raises(StoreMismatchError, match="overlap"):
        build(dated, Period(date(2024, 5, 1), date(2025, 1, 1)))


def test_products_of_another_model_are_refused(store: Store) -> None:
    add(store, "a")
    add_product(store, acquisition("b"), ref=replace(REF, digest="cd" * 32))
    with pytest.raises(StoreMismatchError, match="model cdcd"):
        build(store)


def test_different_kinds_of_ec_are_never_mixed(store: Store) -> None:
    ds = layers(scene_grid())
    ds["salinity"].attrs["ec_method"] = "ECe"
    add(store, "a")
    add_product(store, acquisition("b"), ds)
    with pytest.raises(StoreMismatchError, match=r"ec_method EC.*different quantities"):
        build(store)


def test_a_mosaic_says_which_ec_it_shows(store: Store) -> None:
    add(store, "a")
    build(store)
    for name in ("salinity", "salinity_lower", "salinity_upper", CHANCE):
        assert opened(store)[name].attrs["ec_method"] == "EC 1:2"


def test_a_mosaic_says_what_its_probabilities_rest_on(store: Store) -> None:
    ds = layers(scene_grid(), seed=1)
    stated = {"base_rate": [0.1, 0.03, 0.012, 0.01], "calibrated": ["yes", "yes", "no", "no"]}
    ds[CHANCE].attrs |= stated
    add_product(store, acquisition("a"), ds)
    build(store)
    layer = opened(store)[CHANCE]
    assert stated.items() <= layer.attrs.items()
    assert layer.attrs["thresholds"] == layer.threshold.values.tolist() == [0.5, 1.0, 2.0, 4.0]
    assert layer.threshold.attrs["units"] == "dS m-1"


def test_a_mosaic_says_when_it_is_simulated(store: Store) -> None:
    add(store, "a")
    build(store)
    assert opened(store).attrs["simulated"] is True


def harm(store: Store, name: str, change: Callable[[bytes], bytes]) -> None:
    key = f"{prefix_of(name)}/salinity/c/0/0"
    store.objects.write(key, change(store.objects.read(key)))


def test_a_damaged_product_ends_the_build_and_the_published_mosaic_stays(store: Store) -> None:
    first = add(store, "a")
    build(store)
    second = add(store, "b")
    harm(store, second, lambda data: data[:-200])
    with pytest.raises(StoreError, match=f"product {second} .* is damaged .*run its scene again"):
        build(store)
    assert published(store) == (first,)
    assert find_marker(store, second) is None


def test_the_next_build_goes_on_without_a_damaged_product(store: Store) -> None:
    first, second = add(store, "a"), add(store, "b")
    harm(store, second, lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(StoreError, match="is damaged"):
        build(store)
    build(store)
    assert published(store) == (first,)


def test_tiles_in_which_a_check_finds_an_error_are_not_published(store: Store) -> None:
    first = add(store, "a")
    build(store)
    ds = layers(scene_grid(column=90), seed=5)
    ds["salinity_upper"] = ds["salinity_upper"] * np.float32(0) + np.float32(1e6)
    add_product(store, acquisition("b", grid=scene_grid(column=90)), ds)
    with pytest.raises(
        StoreError, match=r"nothing is published: tile x\d+_y-\d+: .*above 300 dS/m"
    ):
        build(store)
    assert published(store) == (first,)


def test_scenes_that_are_too_old_are_not_published(store: Store) -> None:
    add(store, "a")
    builder = Builder(store, InTurn(), limits=Limits(max_age_days=1))
    with pytest.raises(StoreError, match=r"nothing is published: .*day"):
        builder(all_period_tiles(store), why="test")


def test_a_listener_is_told_about_every_tile(store: Store) -> None:
    class Listening:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def start(self, what: str, total: int | None = None) -> None:
            self.told.append((what, total))

        def advance(self, what: str, count: int = 1) -> None:
            self.told.append((what, count))

    add(store, "a")
    listener, period_tiles = Listening(), all_period_tiles(store)
    Builder(store, InTurn(), progress=listener)(period_tiles, why="test")
    assert listener.told == [("tiles", len(period_tiles)), *[("tiles", 1)] * len(period_tiles)]


def test_who_composes_looks_at_a_product_once_for_a_build(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = add(store, "a")
    listed: list[str] = []
    really = Objects.list

    def listing(self: Objects, prefix: str = "", *, offset: str | None = None) -> object:
        listed.append(prefix)
        return really(self, prefix, offset=offset)

    monkeypatch.setattr(Objects, "list", listing)
    made = Builder(store, InTurn())(all_period_tiles(store), why="test")
    assert made.composed > 1
    assert listed.count(prefix_of(name)) == 1


def test_a_held_version_is_not_published(store: Store) -> None:
    name = add(store, "a")
    build(store)
    add_small(store, "b")
    held = Builder(store, InTurn())(all_period_tiles(store), why="test", hold=True)
    assert held.held
    assert published(store) == (name,)


def test_a_held_version_can_be_published(store: Store) -> None:
    names = [add(store, "a")]
    build(store)
    names.append(add_small(store, "b"))
    made = Builder(store, InTurn())(all_period_tiles(store), why="test", hold=True)
    publish(open_repository(store.objects), made.versions[-1].short)
    assert published(store) == tuple(sorted(names))


@pytest.mark.parametrize("count", [2, 4])
def test_first_builders_at_once_make_one_mosaic(store: Store, count: int) -> None:
    name = add_small(store, "a")
    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(lambda _: build(store), range(count)))
    assert sum(len(each.versions) for each in made) == 1
    assert published(store) == (name,)


def test_a_folder_has_the_same_mosaic_as_memory(store: Store, tmp_path: object) -> None:
    folder = make_store(f"{tmp_path}/store")
    for each in (store, folder):
        add(each, "a")
        add(each, "b", row=20, column=30)
        build(each)
    assert_same(folder, store)
    record = json.loads((folder.objects.path / "store.json").read_text())
    assert record["schema"] == 3


def test_a_product_that_a_listing_does_not_show_yet_is_composed_all_the_same() -> None:
    store = make_store()
    name = add_small(store, "a")
    period_tiles = period_tiles_of(store, [name], Period.all())
    store.objects.delete([entry.key for entry in store.objects.list("records/index")])
    with ThreadPoolExecutor(1) as pool:
        Builder(store, pool)(period_tiles, why="run", known=[name])
    assert published(store) == (name,)
