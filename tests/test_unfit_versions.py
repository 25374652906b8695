"""Versions that a check finds an error in are not published, and the next build mends them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from deepsalt.errors import StoreError
from deepsalt.layers import DATE_FILL
from deepsalt.mosaic import Build, begin_build, compose_tile
from deepsalt.products import is_complete
from deepsalt.store import Period, Store, Version, current_version, open_mosaic
from deepsalt.store.files import sha256_of
from deepsalt.store.versions import TileManifest
from deepsalt.types import QualityFlag
from deepsalt.validate import Limits
from flows.publication import drawing
from tests.store.builders import acquisition, add_product, build, make_store, scene_grid
from tests.store.scenarios import read
from tests.test_validate import flip, truncate, write_item

Harm = Callable[[Build], object]
GRIDS = (scene_grid(), scene_grid(row=20, column=30))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store whose mosaic holds the first of its two products."""
    store = make_store(tmp_path_factory.mktemp("published") / "store")
    names = [
        add_product(store.scenes, acquisition(f"s{i}", grid=grid), seed=i)
        for i, grid in enumerate(GRIDS)
    ]
    for name in names:
        write_item(store, name, f"../scenes/{name}.zarr")
    build(store, {Period.all(): names[:1]})
    return store.path


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    shutil.copytree(published, tmp_path / "store", symlinks=True)
    return Store.open(tmp_path / "store")


def sets(store: Store) -> dict[Period, list[str]]:
    return {Period.all(): [path.stem for path in sorted(store.scenes.glob("*.zarr"))]}


def build_harmed(store: Store, harm: Harm) -> Version:
    with begin_build(store, sets(store)) as plan:
        for task in plan.tasks:
            compose_tile(task)
        harm(plan)
        return plan.publish()


def shard(plan: Build, layer: str) -> Path:
    """Return a shard with data of the first tile that was composed."""
    task = plan.tasks[0]
    files = plan.layout.shard_paths(task.period, task.tile)
    found = [path for name, path in files.items() if name.startswith(layer) and path.exists()]
    return found[0]


def array(plan: Build, layer: str) -> "zarr.Array[Any]":
    found = zarr.open_group(plan.layout.group, mode="r+")[layer]
    assert isinstance(found, zarr.Array)
    return found


def sign(plan: Build) -> None:
    """Sign all shards anew: the damage is what the build computed, not what the disk did."""
    for manifest in plan.layout.tile_manifests():
        files = plan.layout.shard_paths(manifest.period, manifest.tile)
        shards = {name: sha256_of(files[name]) if files[name].exists() else None for name in files}
        signed = TileManifest(
            manifest.period,
            manifest.tile,
            manifest.digest,
            manifest.products,
            tuple(sorted(shards.items())),
            manifest.report,
        )
        signed.write(plan.layout.manifest_path(manifest.period, manifest.tile))


def swap_ends(plan: Build) -> None:
    lower, upper = (array(plan, f"salinity_{end}") for end in ("lower", "upper"))
    kept = lower[...]
    lower[...] = upper[...]
    upper[...] = kept
    sign(plan)


def flood(plan: Build) -> None:
    for name in ("salinity", "salinity_lower", "salinity_upper", "disagreement"):
        array(plan, name)[...] = np.nan
    array(plan, "observations")[...] = 0
    array(plan, "last_observed")[...] = DATE_FILL
    quality_flags = array(plan, "quality_flags")
    outside = (quality_flags[...] & np.uint16(QualityFlag.OUTSIDE)) != 0
    quality_flags[...] = np.where(outside, quality_flags[...], np.uint16(QualityFlag.DEFECTIVE))
    sign(plan)


def exceed(plan: Build) -> None:
    upper = array(plan, "salinity_upper")
    values = upper[...]
    upper[...] = np.where(np.isfinite(values), np.float32(1e6), values)
    sign(plan)


def misplace(plan: Build) -> None:
    root = plan.layout.group / "zarr.json"
    root.write_text(root.read_text().replace("EPSG:32633", "EPSG:32634"))


def forget(plan: Build) -> None:
    root = plan.layout.group / "zarr.json"
    document = json.loads(root.read_text())
    del document["consolidated_metadata"]["metadata"]["quality_flags"]
    root.write_text(json.dumps(document))


def item(plan: Build) -> Path:
    """Return the Item of the product that is new."""
    version = current_version(plan.store)
    assert version is not None
    return next(p for p in plan.store.items.glob("*.json") if p.stem not in version.products)


# Damage, place and cause that the refusal names.
DAMAGE: dict[str, tuple[Harm, str, str]] = {
    "shard lost": (lambda p: shard(p, "quality_flags").unlink(), "tile", "not done"),
    "shard truncated": (lambda p: truncate(shard(p, "salinity")), "tile", "other checksum"),
    "bit flipped": (lambda p: flip(shard(p, "salinity")), "tile", "other checksum"),
    "ends swapped": (swap_ends, "tile", "outside their interval"),
    "flooded": (flood, "tile", "no estimate without a reason"),
    "impossible": (exceed, "tile", "are above 300"),
    "another CRS": (misplace, "versions/", "proj:code is 'EPSG:32634'"),
    "layer forgotten": (forget, "versions/", "layer quality_flags is missing"),
    "layer's metadata lost": (
        lambda p: (p.layout.group / "quality_flags" / "zarr.json").unlink(),
        "versions/",
        "layer quality_flags has no metadata",
    ),
}
ITEMS: dict[str, tuple[Harm, str, str]] = {
    "item lost": (lambda p: item(p).unlink(), "items/", "no STAC Item"),
    "link broken": (
        lambda p: write_item(p.store, item(p).stem, "../scenes/gone.zarr"),
        "items/",
        "leads to ../scenes/gone.zarr",
    ),
    "item garbled": (lambda p: item(p).write_text("{"), "items/", "not a readable"),
}


@pytest.mark.parametrize("damage", [*DAMAGE, *ITEMS])
def test_an_unfit_version_is_refused_and_readers_keep_the_old_one(
    store: Store, damage: str
) -> None:
    harm, place, cause = (DAMAGE | ITEMS)[damage]
    before = open_mosaic(store).load()
    with pytest.raises(StoreError) as refusal:
        build_harmed(store, harm)
    assert place in str(refusal.value)
    assert cause in str(refusal.value)
    xr.testing.assert_identical(open_mosaic(store).load(), before)


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(max_salinity_ds_m=0.5), "above 0.5 dS/m"),
        (Limits(max_missing=0.001), "have no estimate, more than 0.1%"),
        (Limits(max_age_days=30), "30 days are allowed"),
    ],
)
def test_a_version_beyond_the_limits_of_its_run_is_refused(
    store: Store, limits: Limits, cause: str
) -> None:
    before = current_version(store)
    with begin_build(store, sets(store)) as plan:
        for task in plan.tasks:
            compose_tile(task)
        with pytest.raises(StoreError, match=f"is not published.*{cause}"):
            plan.publish(limits)
    assert current_version(store) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_next_build_mends_what_was_refused(store: Store, tmp_path: Path, damage: str) -> None:
    with pytest.raises(StoreError):
        build_harmed(store, DAMAGE[damage][0])
    mended = build(store, sets(store))
    clean = make_store(tmp_path / "clean")
    for i, grid in enumerate(GRIDS):
        add_product(clean.scenes, acquisition(f"s{i}", grid=grid), seed=i)
    build(clean, sets(clean))
    assert mended.is_current
    xr.testing.assert_identical(read(store), read(clean))


def test_tiles_taken_over_are_not_read_again(store: Store) -> None:
    """The cost of publishing follows what changed, so only their presence is looked at."""
    version = current_version(store)
    assert version is not None
    far = add_product(store.scenes, acquisition("far", grid=scene_grid(row=500)), seed=5)
    write_item(store, far, f"../scenes/{far}.zarr")
    files = version.layout.shard_paths("all", version.layout.tile_manifests()[0].tile)
    taken = next(path for path in files.values() if path.exists())
    flip(taken)
    grown = build(store, {Period.all(): [*version.products, far]})
    assert far in grown.products


def test_a_product_with_a_flipped_bit_is_refused_and_made_anew_by_the_next_run(
    store: Store, tmp_path: Path
) -> None:
    shutil.copytree(store.path, tmp_path / "sound", symlinks=True)
    sound = Store.open(tmp_path / "sound")
    build(sound, sets(sound))
    (product,) = sorted(store.scenes.glob("*s1*.zarr"))
    flip(next(path for path in sorted(product.glob("salinity/c/**/*")) if path.is_file()))
    with pytest.raises(StoreError, match=r"is damaged .* run its scene again"):
        build(store, sets(store))
    assert not is_complete(product)
    add_product(store.scenes, acquisition("s1", grid=GRIDS[1]), seed=1)
    build(store, sets(store))
    expected = open_mosaic(sound).salinity.values
    np.testing.assert_array_equal(open_mosaic(store).salinity.values, expected)


def test_nothing_moves_when_what_comes_before_fails(store: Store) -> None:
    before = current_version(store)
    assert before is not None

    def fail() -> None:
        raise StoreError("the picture cannot be drawn")

    with begin_build(store, sets(store)) as plan:
        for task in plan.tasks:
            compose_tile(task)
        with pytest.raises(StoreError, match="drawn"):
            plan.publish(before=fail)
    after = current_version(store)
    assert after is not None
    assert after.id == before.id != plan.version
    with begin_build(store, sets(store)) as plan:
        assert not plan.tasks
        assert plan.publish().id == plan.version


def test_what_has_begun_to_be_drawn_is_given_up_when_a_version_is_refused(store: Store) -> None:
    with begin_build(store, sets(store)) as plan:
        for task in plan.tasks:
            compose_tile(task)
        with pytest.raises(StoreError, match="refused"), drawing(plan.layout) as quicklook:
            raise StoreError("refused")
    assert quicklook.done()
