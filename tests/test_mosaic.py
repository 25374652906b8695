"""Builds: tiles as functions of their products, resumed, shared, published whole."""

import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepsalt.composite import composite
from deepsalt.errors import StoreError, StoreMismatchError, UsageError
from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import Build, all_sets, begin_build, compose_tile, united_sets
from deepsalt.store import Period, Store, complete_versions, history, open_mosaic
from tests.store.builders import acquisition, add_product, build, layers, make_store, scene_grid

ALL = Period.all()
Y2023 = Period(date(2023, 1, 1), date(2023, 12, 31))
Y2024 = Period(date(2024, 1, 1), date(2024, 12, 31))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def add(store: Store, name: str, *, row: int = 0, column: int = 0, **kw: object) -> str:
    grid = scene_grid(row=row, column=column)
    day = kw.get("day", 1)
    assert isinstance(day, int)
    acq = acquisition(name, day=day, grid=grid, version=str(kw.get("version", "1")))
    return add_product(store.scenes, acq, seed=ord(name))


def read(store: Store) -> xr.Dataset:
    """Read the published mosaic without Dask, which is slow on tiny chunks."""
    return xr.open_zarr(store.mosaic, chunks=None).load()


def test_a_mosaic_is_the_composite_of_its_products(store: Store) -> None:
    names = [add(store, "a"), add(store, "b", row=20, column=30)]
    version = build(store, {ALL: names})
    extent_grid = store.grid.extent_grid(version.layout.extent)
    expected = composite([store.scenes / f"{name}.zarr" for name in names], extent_grid)
    found = open_mosaic(store)
    np.testing.assert_array_equal(found.salinity.values[0], expected.salinity.values)
    np.testing.assert_array_equal(found.quality_flags.values[0], expected.quality_flags.values)


def test_a_scene_of_the_same_grid_is_not_resampled(store: Store) -> None:
    name = add(store, "a")
    build(store, {ALL: [name]})
    product = xr.open_zarr(store.scenes / f"{name}.zarr")
    found = open_mosaic(store).salinity.isel(period=0).sel(x=product.x, y=product.y)
    np.testing.assert_allclose(found.values, product.salinity.values, rtol=1e-6)


def test_only_tiles_under_a_new_scene_are_composed_again(store: Store) -> None:
    first = add(store, "a")
    build(store, {ALL: [first]})
    second = add(store, "b", column=90)
    with begin_build(store, united_sets(store, ALL, [second])) as plan:
        touched = set(store.grid.tiles_over(scene_grid(column=90)))
        assert {task.tile for task in plan.tasks} == touched
        assert len(plan.tiles) > len(touched)


def test_unchanged_shards_are_hard_links_also_when_the_extent_grows_north_west(
    store: Store,
) -> None:
    first = add(store, "a")
    before = build(store, {ALL: [first]})
    after = build(store, {ALL: [first, add(store, "b", row=-90, column=-90)]})
    tile = store.grid.tiles_over(scene_grid())[0]
    old = before.layout.shard_paths("all", tile)["salinity/0/0"]
    new = after.layout.shard_paths("all", tile)["salinity/0/0"]
    assert old.relative_to(before.layout.group) != new.relative_to(after.layout.group)
    assert os.path.samefile(old, new)


@pytest.mark.parametrize("shift", [(-90, -90), (90, 90), (0, 90)], ids=str)
def test_a_mosaic_that_grew_equals_one_built_at_once(
    tmp_path: Path, shift: tuple[int, int]
) -> None:
    one, two = make_store(tmp_path / "1"), make_store(tmp_path / "2")
    for store in (one, two):
        names = [add(store, "a"), add(store, "b", row=shift[0], column=shift[1])]
    build(one, {ALL: names[:1]})
    build(one, {ALL: names})
    build(two, {ALL: names[::-1]})
    xr.testing.assert_equal(read(one), read(two))


def test_versions_are_named_by_their_content(tmp_path: Path) -> None:
    ids = set()
    for folder in ("1", "2"):
        store = make_store(tmp_path / folder)
        ids.add(build(store, {ALL: [add(store, "a"), add(store, "b")]}).id)
    assert len(ids) == 1


def test_building_the_published_set_again_does_nothing(store: Store) -> None:
    names = [add(store, "a")]
    version = build(store, {ALL: names})
    with begin_build(store, {ALL: names}) as plan:
        assert (plan.tasks, plan.version) == ((), version.id)
        assert plan.publish().created == version.created


def test_an_interrupted_build_goes_on_where_it_was(store: Store) -> None:
    names = [add(store, "a"), add(store, "b", column=90)]
    with begin_build(store, {ALL: names}) as plan:
        done = plan.tasks[0]
        compose_tile(done)
    with begin_build(store, {ALL: names}) as plan:
        assert done not in plan.tasks
        for task in plan.tasks:
            compose_tile(task)
        plan.publish()


def test_a_tile_without_all_its_shards_is_composed_again(store: Store) -> None:
    names = [add(store, "a")]
    with begin_build(store, {ALL: names}) as plan:
        task = plan.tasks[0]
        compose_tile(task)
        task.layout.shard_paths("all", task.tile)["quality_flags/0/0"].unlink()
    with begin_build(store, {ALL: names}) as plan:
        assert (task.period, task.tile) in {(each.period, each.tile) for each in plan.tasks}


def test_a_build_killed_before_its_record_is_finished_by_the_next(store: Store) -> None:
    names = [add(store, "a")]
    with begin_build(store, {ALL: names}) as plan:
        for task in plan.tasks:
            compose_tile(task)
        plan.layout.group.rename(plan.layout.group.with_suffix(".zarr"))
    with begin_build(store, {ALL: names}) as plan:
        assert plan.tasks == ()
        plan.publish()
    assert open_mosaic(store).attrs["version_id"] == plan.version


def test_a_mosaic_whose_arrays_were_lost_can_be_built_again(store: Store) -> None:
    names = [add(store, "a")]
    shutil.rmtree(build(store, {ALL: names}).layout.group)
    assert complete_versions(store) == []
    build(store, united_sets(store, ALL, []))
    assert float(open_mosaic(store).observations.max()) == 1


def test_builds_that_were_given_up_are_removed_by_the_next(store: Store) -> None:
    names = [add(store, "a"), add(store, "b")]
    with begin_build(store, {ALL: names}):
        pass
    build(store, {ALL: names[:1]})
    assert list(store.versions.glob("*.building")) == []


def test_a_damaged_product_is_named(store: Store) -> None:
    name = add(store, "a")
    shard = store.scenes / f"{name}.zarr" / "salinity" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(StoreError, match=f"{name}.zarr.* is damaged"):
        build(store, {ALL: [name]})


def test_arrays_left_half_made_are_made_anew(store: Store) -> None:
    names = [add(store, "a")]
    with begin_build(store, {ALL: names}) as plan:
        group = plan.layout.group
    (group / "zarr.json").unlink()
    build(store, {ALL: names})
    assert open_mosaic(store).sizes["period"] == 1


def test_an_incomplete_build_is_not_published(store: Store) -> None:
    names = [add(store, "a"), add(store, "b", column=90)]
    with begin_build(store, {ALL: names}) as plan:
        compose_tile(plan.tasks[0])
        with pytest.raises(StoreError, match="is not done"):
            plan.publish()
    assert not store.mosaic.exists()


def test_readers_keep_the_version_they_opened(store: Store) -> None:
    names = [add(store, "a")]
    build(store, {ALL: names})
    opened = open_mosaic(store)
    before = opened.observations.max().compute()
    build(store, {ALL: [*names, add(store, "b")]})
    assert opened.observations.max().compute() == before
    assert open_mosaic(store).observations.max().compute() == before + 1


def test_the_link_is_relative_so_that_a_store_can_move(store: Store, tmp_path: Path) -> None:
    build(store, {ALL: [add(store, "a")]})
    store.path.rename(tmp_path / "moved")
    assert open_mosaic(tmp_path / "moved").sizes["period"] == 1


def test_composing_a_tile_twice_gives_the_same_files(store: Store) -> None:
    with begin_build(store, {ALL: [add(store, "a")]}) as plan:
        task = plan.tasks[0]
        reports = [compose_tile(task), compose_tile(task)]
        manifest = task.layout.manifest_path(task.period, task.tile).read_text()
        compose_tile(task)
        assert task.layout.manifest_path(task.period, task.tile).read_text() == manifest
    assert reports[0] == reports[1]


def test_a_tile_task_travels_to_other_processes(store: Store) -> None:
    with begin_build(store, {ALL: [add(store, "a")]}) as plan:
        assert pickle.loads(pickle.dumps(plan.tasks[0])) == plan.tasks[0]


def test_tiles_are_composed_side_by_side(store: Store) -> None:
    grid = MosaicGrid("EPSG:6933", chunk_px=16, shard_px=16, tile_shards=2)
    parallel, serial = (make_store(store.path / name, grid) for name in "ab")
    for made in (parallel, serial):
        names = [add(made, "a"), add(made, "b", row=20, column=30)]
    with begin_build(parallel, {ALL: names}) as plan, ThreadPoolExecutor(4) as pool:
        list(pool.map(compose_tile, plan.tasks))
        plan.publish()
    build(serial, {ALL: names})
    xr.testing.assert_equal(read(parallel), read(serial))


def test_a_report_adds_up_over_tiles(store: Store) -> None:
    with begin_build(store, {ALL: [add(store, "a")]}) as plan:
        reports = [compose_tile(task) for task in plan.tasks]
        assert plan.report().estimated == sum(report.estimated for report in reports) > 0


def test_the_newest_version_of_a_scene_replaces_the_older(store: Store) -> None:
    old, new = add(store, "a", version="1"), add(store, "a", version="2")
    with begin_build(store, {ALL: [old, new]}) as plan:
        assert (plan.periods, plan.left_out) == (((ALL, (new,)),), (old,))


def test_a_run_adds_to_what_is_there_and_replace_starts_anew(store: Store) -> None:
    first, second = add(store, "a"), add(store, "b")
    build(store, {ALL: [first]})
    assert united_sets(store, ALL, [second]) == {ALL: tuple(sorted([first, second]))}
    assert united_sets(store, ALL, [second], replace=True) == {ALL: (second,)}


def test_history_lists_publications_oldest_first(store: Store) -> None:
    names = [add(store, "a"), add(store, "b")]
    ids = [build(store, {ALL: names[:1]}).id, build(store, {ALL: names}).id]
    assert [publication.version for publication in history(store)] == ids


def test_going_back_to_an_earlier_set_moves_only_the_link(store: Store) -> None:
    names = [add(store, "a"), add(store, "b")]
    first = build(store, {ALL: names[:1]})
    build(store, {ALL: names})
    with begin_build(store, {ALL: names[:1]}) as plan:
        assert plan.tasks == ()
        plan.publish()
    assert store.mosaic.readlink().name == f"{first.id}.zarr"


@pytest.fixture
def dated(tmp_path: Path) -> Store:
    return make_store(tmp_path / "dated", layout="dated")


def test_periods_lie_side_by_side_and_old_ones_are_taken_over(dated: Store) -> None:
    later, earlier = add(dated, "a"), add(dated, "b", column=10)
    build(dated, {Y2024: [later]})
    with begin_build(dated, united_sets(dated, Y2023, [earlier])) as plan:
        assert {task.period for task in plan.tasks} == {Y2023.id}
        for task in plan.tasks:
            compose_tile(task)
        plan.publish()
    found = open_mosaic(dated)
    assert [str(day)[:4] for day in found.period.values] == ["2023", "2024"]
    assert found.attrs["period_ids"] == [Y2023.id, Y2024.id]
    product = xr.open_zarr(dated.scenes / f"{later}.zarr")
    again = found.salinity.isel(period=1).sel(x=product.x, y=product.y)
    np.testing.assert_allclose(again.values, product.salinity.values, rtol=1e-6)


def test_the_unlimited_period_says_from_when_its_scenes_are(store: Store) -> None:
    build(store, {ALL: [add(store, "a", day=3), add(store, "b", day=9)]})
    days = open_mosaic(store).period_bounds.values[0]
    assert [str(day)[:10] for day in days] == ["2024-05-03", "2024-05-09"]


def test_all_sets_takes_every_complete_product(dated: Store) -> None:
    names = [add(dated, "a"), add(dated, "b")]
    build(dated, {Y2024: names[:1], Y2023: []})
    assert all_sets(dated) == {Y2023: (), Y2024: tuple(sorted(names))}


def _no_products(store: Store) -> Build:
    with begin_build(store, {ALL: []}) as plan:
        return plan


def test_a_mosaic_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no scene products"):
        _no_products(store)


def test_dated_periods_do_not_go_into_an_undated_store(store: Store) -> None:
    with pytest.raises(StoreMismatchError, match="holds 'all'"):
        build(store, {Y2024: [add(store, "a")]})


def test_products_of_another_model_are_refused(store: Store) -> None:
    name = add(store, "a")
    marker = store.scenes / f"{name}.zarr" / "complete.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"model_digest": "cd" * 32}))
    with pytest.raises(StoreMismatchError, match="model cdcd"):
        build(store, {ALL: [name]})


def test_different_kinds_of_ec_are_never_mixed(store: Store) -> None:
    ds = layers(scene_grid())
    ds["salinity"].attrs["ec_method"] = "ECe"
    names = [add(store, "a"), add_product(store.scenes, acquisition("b"), ds)]
    with pytest.raises(StoreMismatchError, match="different quantities"):
        build(store, {ALL: names})


def test_an_unfinished_product_is_named(store: Store) -> None:
    name = add(store, "a")
    (store.scenes / f"{name}.zarr" / "complete.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        build(store, {ALL: [name]})


def test_a_mosaic_says_when_it_is_simulated(store: Store) -> None:
    build(store, {ALL: [add(store, "a")]})
    assert open_mosaic(store).attrs["simulated"] is True


def test_a_full_disk_is_one_sentence_and_the_published_mosaic_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add(store, "a")
    version = build(store, {ALL: [first]})
    second = add(store, "b")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zarr.Array.__setitem__", full)
    with pytest.raises(StoreError, match="disk is full"):
        build(store, {ALL: [first, second]})
    assert open_mosaic(store).attrs["version_id"] == version.id


def test_shards_are_copied_where_links_are_not_possible(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = add(store, "a"), add(store, "b", column=90)
    build(store, {ALL: [first]})

    link = os.link

    def refuse(source: Path, target: Path) -> None:
        if "zarr.json" not in str(target):  # zarr-python itself links metadata into place
            raise OSError(18, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr("deepsalt.store.versions.os.link", refuse)
    build(store, {ALL: [first, second]})
    assert float(open_mosaic(store).observations.max()) == 1


def test_tile_size_does_not_change_a_mosaic(tmp_path: Path) -> None:
    found = []
    for folder, shard_px in (("1", 32), ("2", 128)):
        grid = MosaicGrid("EPSG:6933", chunk_px=16, shard_px=shard_px, tile_shards=2)
        store = make_store(tmp_path / folder, grid)
        build(store, {ALL: [add(store, "a"), add(store, "b", row=20, column=30)]})
        mosaic = read(store).isel(period=0)
        found.append(
            mosaic.where(mosaic.quality_flags != 1).dropna("x", how="all").dropna("y", how="all")
        )
    xr.testing.assert_equal(found[0].salinity, found[1].salinity)
