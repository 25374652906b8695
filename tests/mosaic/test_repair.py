"""What is damaged in a store is found, said in one sentence, and made again."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import StoreAccessError, StoreError
from deepsalt.mosaic import Builder, Repaired, all_period_tiles, repair_mosaic
from deepsalt.objects import Objects
from deepsalt.products import (
    complete_names,
    open_product,
    prefix_of,
    read_marker,
    verify_product,
)
from deepsalt.products.read import product_layers
from deepsalt.store import Store
from deepsalt.versions import open_mosaic, open_repository
from tests.check.harm import (
    GRIDS,
    check_store,
    chunk,
    errors,
    fill,
    flip,
    head,
    keys,
    lose,
    problems,
    product,
    publish,
    shard,
    truncate,
)
from tests.servers.s3 import serving_s3
from tests.store.builders import (
    acquisition,
    add_product,
    add_small,
    build,
    make_store,
    scene_grid,
)

Harm = Callable[[Store, str], object]


def empty(store: Store, key: str) -> None:
    store.objects.write(key, b"")


HARMS = pytest.mark.parametrize("harm", [flip, truncate, lose, empty])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(make_store(tmp_path_factory.mktemp("sound") / "store")).objects.path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Store:
    shutil.copytree(sound, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(scope="module")
def expected(sound: Path) -> xr.Dataset:
    return read(Store.open(sound))


def read(store: Store) -> xr.Dataset:
    ds = open_mosaic(open_repository(store.objects)).load()
    return ds.assign_attrs(version_id="", history="")


def repair(store: Store) -> Repaired:
    with ThreadPoolExecutor(2) as pool:
        return repair_mosaic(Builder(store, pool))


def map_again(store: Store) -> None:
    """Do what the next run does: map the scenes whose product does not count."""
    for i, grid in enumerate(GRIDS):
        if not any(f"_s{i}_" in name for name in complete_names(store)):
            add_product(store, acquisition(f"s{i}", grid=grid), seed=i)


@HARMS
def test_a_damaged_chunk_of_the_mosaic_is_found_and_mended(
    store: Store, harm: Harm, expected: xr.Dataset
) -> None:
    harm(store, chunk(store))
    (found,) = errors(store)
    assert found.check == "checksums"
    assert found.message.endswith("run `deepsalt mosaic repair`")
    assert "\n" not in found.message
    before = head(store)
    done = repair(store)
    assert len(done.again) == 1
    assert (head(store).why, head(store).parent) == ("repaired", before.id)
    xr.testing.assert_identical(read(store), expected)
    publish(store)
    assert problems(store) == []


@HARMS
def test_a_damaged_product_is_found_and_mended_by_running_again(
    store: Store, harm: Harm, expected: xr.Dataset
) -> None:
    key = shard(store)
    name = key.split("/")[1].removesuffix(".zarr")
    harm(store, key)
    (found,) = errors(store)
    assert (found.check, found.where) == ("products", prefix_of(name))
    assert "\n" not in found.message
    assert found.message.endswith("run its scene again")
    before = head(store)
    done = repair(store)
    assert done.products == (name,)
    assert not done.is_whole
    map_again(store)
    build(store)
    assert head(store) == before
    assert problems(store) == []
    xr.testing.assert_identical(read(store), expected)


@HARMS
def test_reading_a_damaged_product_never_gives_values(store: Store, harm: Harm) -> None:
    key = shard(store)
    name = key.split("/")[1].removesuffix(".zarr")
    harm(store, key)
    with pytest.raises((StoreError, ValueError), match=r"damaged|checksum"):
        open_product(store, name)["salinity"].load()


def test_a_shard_that_is_lost_after_opening_is_no_sea_of_nan(store: Store) -> None:
    key = shard(store)
    name = key.split("/")[1].removesuffix(".zarr")
    ds = open_product(store, name)
    _, arrays = product_layers(store, name, "some build")
    lose(store, key)
    with pytest.raises(StoreError, match="salinity/c/0/0 is missing"):
        ds["salinity"].load()
    with pytest.raises(StoreError, match="salinity/c/0/0 is missing"):
        np.asarray(arrays["salinity"][:])
    assert name not in complete_names(store)


def test_a_chunk_that_is_empty_by_right_reads_as_such(store: Store) -> None:
    add_product(store, acquisition("far", grid=scene_grid(row=400, height=600, width=20)))
    (name,) = (each for each in complete_names(store) if "_far_" in each)
    assert np.isfinite(open_product(store, name)["salinity"].values).any()


def test_who_may_only_read_is_told_of_the_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = product(store)
    lose(store, keys(store, f"{prefix_of(name)}/salinity/c")[0])

    def refuse(self: Objects, _: object) -> None:
        raise StoreAccessError("may not be deleted")

    monkeypatch.setattr(Objects, "delete", refuse)
    with pytest.raises(StoreError, match=f"product {name} .* is damaged .*; ask the owner of"):
        open_product(store, name)


def test_a_tile_waits_for_a_damaged_product_it_is_made_of(
    store: Store, expected: xr.Dataset
) -> None:
    lose(store, chunk(store))
    for name in complete_names(store):
        flip(store, keys(store, f"{prefix_of(name)}/salinity/c")[0])
    before = head(store)
    done = repair(store)
    assert (done.again, len(done.products), head(store)) == ((), 2, before)
    (waiting,) = [each for each in done.findings if each.check == "checksums"]
    assert "run its scene again and repair again" in waiting.message
    map_again(store)
    assert len(repair(store).again) == 1
    xr.testing.assert_identical(read(store), expected)


def test_kept_older_versions_stay_as_they_are_and_this_is_said(store: Store) -> None:
    lose(store, chunk(store))
    broken = head(store).short
    done = repair(store)
    (said,) = [each for each in done.findings if each.severity == "warning"]
    assert broken in said.message
    assert "cannot be repaired" in said.message
    with pytest.raises(StoreError):
        open_mosaic(open_repository(store.objects), version=broken).load()


def test_a_sound_store_is_left_as_it_is(store: Store) -> None:
    before = head(store)
    done = repair(store)
    assert (done.tiles, done.again, done.products, done.findings) == (2, (), (), ())
    assert done.built is None
    assert done.is_whole
    assert head(store) == before


def test_only_the_damaged_tile_is_composed(store: Store) -> None:
    add_small(store, "x", column=500)
    lose(store, chunk(store))
    done = repair(store)
    assert done.built is not None
    assert done.built.composed == 1
    assert any("do not match the scenes" in each.found for each in check_store(store))


def test_a_repaired_version_counts_what_the_one_before_did(store: Store) -> None:
    before = head(store)
    lose(store, chunk(store))
    repair(store)
    after = head(store)
    assert (after.totals, after.simulated) == (before.totals, before.simulated)
    assert (after.added, after.removed) == ((), ())


def test_a_tile_whose_list_of_products_is_lost_is_mended(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    for i in range(16):  # so many names are no longer part of a manifest
        name = sha256(bytes([i])).hexdigest()
        add_product(store, acquisition(name, grid=scene_grid(height=8, width=8)), seed=i)
    build(store)
    built = read(store)
    # Zstandard alone: no layer.
    (key,) = (k for k in keys(store, "mosaic/chunks") if store.objects.read(k)[:4] == b"(\xb5/\xfd")
    lose(store, key)
    (found,) = [each for each in errors(store) if each.check == "checksums"]
    assert "\n" not in found.message
    assert len(repair(store).again) == 1
    xr.testing.assert_identical(read(store), built)
    assert not [each for each in errors(store) if each.check == "checksums"]


def test_references_that_are_lost_cannot_be_mended_and_this_is_said(store: Store) -> None:
    before = {key: store.objects.read(key) for key in keys(store, "mosaic/manifests")}
    for key, data in before.items():
        lose(store, key)
        said = errors(store)
        store.objects.write(key, data)
        assert said, key
        assert any("remove everything under mosaic/" in each.message for each in said), (key, said)


def test_a_mosaic_that_was_removed_is_built_anew(store: Store, expected: xr.Dataset) -> None:
    store.objects.delete(keys(store, "mosaic/manifests"))
    store.objects.delete(keys(store, "mosaic"))
    build(store)
    xr.testing.assert_identical(read(store), expected)
    publish(store)
    assert problems(store) == []


def test_a_tile_is_composed_again_though_it_is_as_wanted(store: Store) -> None:
    before = head(store)
    with ThreadPoolExecutor(2) as pool:
        builder = Builder(store, pool)
        lose(store, chunk(store))
        period_tile = all_period_tiles(store)[0]
        assert builder([period_tile], why="asked").versions == ()
        built = builder([period_tile], why="asked", again=[period_tile])
    assert (built.composed, head(store).parent) == (1, before.id)


def test_a_damaged_marker_is_taken_away(store: Store) -> None:
    name = product(store)
    flip(store, f"records/done/{name}.json")
    assert repair(store).products == (name,)
    map_again(store)
    assert problems(store) == []


def test_a_product_is_verified_without_being_unmarked(store: Store) -> None:
    name = product(store)
    flip(store, keys(store, f"{prefix_of(name)}/salinity/c")[0])
    with pytest.raises(StoreError, match="is damaged"):
        verify_product(store, read_marker(store, name))
    assert name in complete_names(store)


@pytest.mark.slow
def test_a_store_in_a_bucket_is_checked_and_mended_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_s3(tmp_path, "salt") as url:
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
        store = fill(make_store("s3://salt/a/store"))
        built = read(store)
        assert problems(store) == []
        before: set[str] = set()
        for harm in (flip, truncate, lose):
            # One that is read: those that a repair left behind stay, and ids are random.
            chunks = keys(store, "mosaic/chunks")
            harm(store, next(key for key in chunks if key not in before))
            before = {*chunks}
            assert [each.check for each in errors(store)] == ["checksums"]
            assert len(repair(store).again) == 1
            xr.testing.assert_identical(read(store), built)
            harm(store, shard(store))
            assert [each.check for each in errors(store) if each.check != "stac"] == ["products"]
            assert len(repair(store).products) == 1
            map_again(store)
            store.objects.delete(keys(store, "records/index"))
            check_store(store, repair_index=True)
            publish(store)
            assert problems(store) == []
