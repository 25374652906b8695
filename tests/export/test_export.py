"""What an export holds, what it costs, and what is refused."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from deepsalt import open_mosaic
from deepsalt.errors import DeepsaltError, StoreError, StoreMissingError, UsageError
from deepsalt.export import Exported, check_target, export_mosaic, open_export
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store import Store
from deepsalt.store.arrays import create_layer
from deepsalt.versions import encoded, prune, roll_back
from deepsalt.versions import open_mosaic as open_version
from tests.export.world import (
    GRID,
    YEARS,
    World,
    in_memory,
    objects_in,
    shards_in,
    tile,
    version_in,
)


@pytest.fixture(scope="module")
def world() -> World:
    """Two periods, the later one published first, and tiles on both sides of an edge."""
    world = World.at()
    world.publish((YEARS[1], tile(15), ["a"]), (YEARS[1], tile(16, 1), ["b"]))
    world.publish((YEARS[0], tile(15, 1), ["a", "c"]))
    return world


@pytest.fixture(params=["sharded", "unsharded"])
def is_sharded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "sharded")


def test_an_export_reads_as_the_store_does(world: World, is_sharded: bool) -> None:
    target = in_memory(".zarr")
    export_mosaic(world.mosaic, target, sharded=is_sharded)
    xr.testing.assert_identical(open_export(target).load(), open_version(world.mosaic).load())


def test_xarray_alone_opens_an_export_in_a_folder(world: World, tmp_path: Path) -> None:
    export_mosaic(world.mosaic, tmp_path / "mosaic.zarr")
    ds = xr.open_zarr(tmp_path / "mosaic.zarr", chunks=None)
    west, south, east, north = ds.attrs["data_bbox"]
    cropped = ds.sel(x=slice(west, east), y=slice(north, south))
    expected = open_version(world.mosaic)
    assert {"period", "period_bounds", "spatial_ref", "threshold", "x", "y"} == {*ds.coords}
    assert ds.attrs["version_id"] == expected.attrs["version_id"]
    np.testing.assert_array_equal(ds.period, expected.period)
    for name in expected.data_vars:
        np.testing.assert_array_equal(cropped[name], expected[name])


def test_an_export_covers_the_data_rounded_out_to_sixteen_tiles(world: World) -> None:
    target = in_memory(".zarr")
    export_mosaic(world.mosaic, target)
    shape = json.loads(target.read("salinity/zarr.json"))["shape"]
    assert shape == [2, 16 * GRID.tile_px, 32 * GRID.tile_px]


def test_shards_are_carried_over_byte_for_byte(world: World) -> None:
    target = in_memory(".zarr")
    export_mosaic(world.mosaic, target)
    head = world.mosaic.head()
    assert head is not None
    source, frame = encoded(world.mosaic, head), world.mosaic.frame
    found = shards_in(target)
    assert found
    layers = {layer.name: layer for layer in MOSAIC_LAYERS}
    for (layer, slot, y, x), data in found.items():
        row, column = y - 2 * frame.extent.iy0, x - 2 * frame.extent.ix0
        key = layers[layer].key((slot, row, column))
        read = sync(source.get(key, default_buffer_prototype()))
        assert read is not None
        assert read.to_bytes() == data


def test_layers_are_encoded_as_a_store_encodes_them(world: World, is_sharded: bool) -> None:
    target = in_memory(".zarr")
    export_mosaic(world.mosaic, target, sharded=is_sharded)
    group = zarr.open_group(MemoryStore(), mode="w", zarr_format=3)
    for layer in MOSAIC_LAYERS:
        chunk, shard = ((1, *layer.shape(n, n)) for n in (GRID.chunk_px, GRID.shard_px))
        found = json.loads(target.read(f"{layer.name}/zarr.json"))
        made = create_layer(
            group,
            layer,
            dims=("period", *layer.dims),
            shape=tuple(found["shape"]),
            sharding=(chunk, shard if is_sharded else None),
            attrs={},
        )
        wanted = json.loads(json.dumps(made.metadata.to_dict()))
        for key in ("codecs", "chunk_grid", "data_type", "chunk_key_encoding", "dimension_names"):
            assert found[key] == wanted[key], (layer.name, key)


def test_without_shards_each_chunk_is_an_object_that_zarr_reads(world: World) -> None:
    target = in_memory(".zarr")
    export_mosaic(world.mosaic, target, sharded=False)
    array = zarr.open_array(target.zarr_store("salinity", read_only=True), mode="r")
    assert array.shards is None
    assert array.chunks == (1, GRID.chunk_px, GRID.chunk_px)
    edge = 16 * GRID.tile_px
    assert np.isfinite(array[:, : 2 * GRID.tile_px, edge - GRID.tile_px : edge + 1]).any()


def test_exporting_the_same_version_again_writes_nothing(world: World, tmp_path: Path) -> None:
    export_mosaic(world.mosaic, tmp_path / "x")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    again = export_mosaic(world.mosaic, tmp_path / "x")
    assert (again.objects, again.bytes, again.shards) == (0, 0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


def test_a_later_version_writes_the_shards_that_differ_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(1), ["b"]))
    export_mosaic(world.mosaic, target)
    before = shards_in(target)
    world.publish((YEARS[0], tile(1), ["c"]))
    written = recorded(monkeypatch)
    export = export_mosaic(world.mosaic, target)
    layers = tuple(f"{layer.name}/c/" for layer in MOSAIC_LAYERS)
    touched = {key for key in written if key.startswith(layers)}
    assert touched
    assert all(int(key.split("/")[-1]) in (2, 3) for key in touched)
    assert not export.is_full
    after = shards_in(target)
    column = 2 * tile(0).ix
    assert {k: v for k, v in before.items() if k[3] < column + 2} == {
        k: v for k, v in after.items() if k[3] < column + 2
    }


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that are written from now on."""
    written: list[str] = []
    write = Objects.write

    def note(objects: Objects, key: str, data: bytes) -> None:
        written.append(key)
        write(objects, key, data)

    monkeypatch.setattr(Objects, "write", note)
    return written


def test_shards_of_a_withdrawn_scene_are_removed() -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(5), ["b"]))
    export_mosaic(world.mosaic, target)
    world.publish((YEARS[0], tile(5), []))
    assert not export_mosaic(world.mosaic, target).is_full
    edge = 2 * (tile(0).ix + 1)
    assert all(column < edge for _, _, _, column in shards_in(target))


@pytest.mark.parametrize(
    ("change", "grown"),
    [
        ((YEARS[1], tile(15, 15), ["b"]), False),
        ((YEARS[2], tile(0), ["b"]), False),
        ((YEARS[0], tile(0), ["b"]), True),
        ((YEARS[1], tile(16), ["b"]), True),
        ((YEARS[1], tile(-1), ["b"]), True),
        ((YEARS[1], tile(0, -1), ["b"]), True),
    ],
    ids=["inside", "later period", "earlier period", "east", "west", "north"],
)
def test_only_growth_that_moves_shards_is_a_full_copy_and_is_announced(
    change: tuple, grown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[1], tile(0), ["a"]))
    assert export_mosaic(world.mosaic, target).is_full
    world.publish(change)
    with caplog.at_level(logging.WARNING):
        export = export_mosaic(world.mosaic, target)
    assert (export.is_full, export.grown) == (grown, grown)
    assert ("exporting all of it again" in caplog.text) == grown
    fresh = in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert objects_in(target) == objects_in(fresh)


def test_after_a_roll_back_digests_tell_what_differs() -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(1), ["b"]))
    world.publish((YEARS[0], tile(1), ["c"]))
    export_mosaic(world.mosaic, target)
    roll_back(world.mosaic)
    export = export_mosaic(world.mosaic, target)
    assert not export.is_full
    assert export.shards == 4 * len(MOSAIC_LAYERS)
    fresh = in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert objects_in(target) == objects_in(fresh)


def test_after_the_version_exported_last_expired_digests_tell_what_differs() -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(1), ["b"]))
    export_mosaic(world.mosaic, target)
    world.publish((YEARS[0], tile(1), ["c"]))
    prune(world.mosaic, keep=1)
    export = export_mosaic(world.mosaic, target)
    assert not export.is_full
    assert export.shards == 4 * len(MOSAIC_LAYERS)
    fresh = in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert objects_in(target) == objects_in(fresh)


def test_an_older_version_can_be_exported(world: World) -> None:
    target, versions = in_memory(".zarr"), [*world.mosaic.history()]
    export = export_mosaic(world.mosaic, target, version=versions[1].short)
    assert export.version == versions[1].short
    xr.testing.assert_identical(
        open_export(target).load(), open_version(world.mosaic, version=versions[1].id).load()
    )


def test_a_damaged_shard_is_not_carried_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    target = in_memory(".zarr")
    head = world.mosaic.head()
    assert head is not None
    store = type(encoded(world.mosaic, head))
    get = store.get

    async def flipped(
        self: Any, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = await get(self, key, prototype, byte_range)
        if found is None or "salinity/c/" not in key:
            return found
        data = bytearray(found.to_bytes())
        data[5] ^= 1
        return type(found).from_bytes(bytes(data))

    monkeypatch.setattr(store, "get", flipped)
    with pytest.raises(StoreError, match=r"salinity/c/.* is damaged: .*; run `deepsalt check`"):
        export_mosaic(world.mosaic, target)
    assert version_in(target) == ""


class Counting:
    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.done = 0

    def start(self, stage: str, total: int) -> None:
        self.stages.append((stage, total))

    def advance(self, stage: str, units: int = 1) -> None:
        self.done += units


def test_a_listener_is_told_of_each_tile(world: World) -> None:
    listener = Counting()
    export_mosaic(world.mosaic, in_memory(".zarr"), progress=listener)
    assert (listener.stages, listener.done) == ([("export", 3)], 3)


# In a series


def test_a_bucket_gets_a_prefix_per_version_and_a_pointer(world: World) -> None:
    target, versions = in_memory(), [*world.mosaic.history()]
    export_mosaic(world.mosaic, target, version=versions[1].id)
    ds = open_export(target)
    export = export_mosaic(world.mosaic, target)
    assert target.folders("versions") == tuple(sorted(f"{v.short}.zarr" for v in versions))
    assert export.group == f"{target}/versions/{versions[0].short}.zarr"
    assert open_export(target).attrs["version_id"] == versions[0].short
    xr.testing.assert_identical(
        ds.load(), open_version(world.mosaic, version=versions[1].id).load()
    )


def test_what_did_not_change_is_copied_inside_the_bucket() -> None:
    world, target = World.at(), in_memory()
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(1), ["b"]))
    export_mosaic(world.mosaic, target)
    world.publish((YEARS[0], tile(1), ["c"]))
    export = export_mosaic(world.mosaic, target)
    head = world.mosaic.head()
    assert head is not None
    fresh = in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert objects_in(target.below(f"versions/{head.short}.zarr")) == objects_in(fresh)
    edge = 2 * (tile(0).ix + 1)
    assert export.copied == sum(column < edge for *_, column in shards_in(fresh))
    assert not export.is_full


def test_growth_is_announced_in_a_series_too() -> None:
    world, target = World.at(), in_memory()
    world.publish((YEARS[0], tile(0), ["a"]))
    assert not export_mosaic(world.mosaic, target).grown
    world.publish((YEARS[0], tile(20), ["a"]))
    export = export_mosaic(world.mosaic, target)
    assert (export.is_full, export.grown, export.copied) == (True, True, 0)


def test_older_versions_beyond_those_kept_are_removed() -> None:
    world, target, versions = World.at(), in_memory(), []
    for name in "abcd":
        versions.append(world.publish((YEARS[0], tile(0), [name])))
        removed = export_mosaic(world.mosaic, target, keep=2).removed
    assert target.folders("versions") == tuple(sorted(f"{v.short}.zarr" for v in versions[2:]))
    assert removed == 1


def test_a_reader_of_a_removed_version_is_told() -> None:
    world, target = World.at(), in_memory()
    world.publish((YEARS[0], tile(0), ["a"]))
    export_mosaic(world.mosaic, target)
    ds = open_export(target)
    world.publish((YEARS[0], tile(0), ["b"]))
    export_mosaic(world.mosaic, target, keep=1)
    with pytest.raises(DeepsaltError, match=r"was replaced in .* while it was read; open the exp"):
        ds.load()


def test_a_version_that_was_removed_is_exported_again() -> None:
    world, target = World.at(), in_memory()
    first = world.publish((YEARS[0], tile(0), ["a"]))
    export_mosaic(world.mosaic, target)
    # As a removal that was killed leaves it.
    target.delete([f"versions/{first.short}.zarr/zarr.json"])
    assert export_mosaic(world.mosaic, target).is_full
    assert open_export(target).attrs["version_id"] == first.short


# Refusals


@pytest.fixture
def local(tmp_path: Path) -> World:
    """A mosaic in a store in a folder."""
    folder = tmp_path / "store"
    Store.create(folder, grid=GRID, model="ab" * 32)
    world = World.at(folder)
    world.publish((YEARS[0], tile(0), ["a"]))
    return world


def inside_another(folder: Path) -> Path:
    Store.create(folder / "other", grid=GRID, model="ab" * 32)
    return folder / "other" / "mosaic.zarr"


def something_else(folder: Path) -> Path:
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.jpg").write_bytes(b"cat")
    return folder / "photos"


def a_link_into_the_store(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "store")
    return folder / "link" / "exports"


def a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "store", "belongs to the store itself"),
        (lambda folder: folder / "store" / "mosaic", "belongs to the store itself"),
        (lambda folder: folder / "store" / "mosaic" / "x", "lies inside the store .*store; export"),
        (lambda folder: folder / "store" / "scenes", "lies inside the store .*store; export"),
        (lambda folder: folder / "store" / "mosaic.zarr" / "x", "lies inside the store"),
        (lambda folder: folder, "holds store/.*, which is not an export of deepsalt"),
        (inside_another, "lies inside the store .*other; export beside it"),
        (lambda folder: inside_another(folder).parent, "other is a store"),
        (a_link_into_the_store, "lies inside the store"),
        (something_else, "holds cat.jpg, which is not an export of deepsalt; export to"),
        (a_file, "file is a file"),
        (lambda folder: "ftp://host/x", "cannot hold a store"),
    ],
    ids=[
        "the store",
        "the repository",
        "in the repository",
        "in the store",
        "in its export",
        "around the store",
        "in another store",
        "another store",
        "by a link",
        "something else",
        "a file",
        "scheme",
    ],
)
def test_a_target_that_belongs_to_others_is_refused_and_left_alone(
    make: Callable[[Path], Path | str], message: str, local: World, tmp_path: Path
) -> None:
    target = make(tmp_path)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match=message) as caught:
        export_mosaic(local.mosaic, target)
    assert "\n" not in str(caught.value)
    assert before == {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}


def test_the_stores_own_place_for_an_export_is_taken(local: World, tmp_path: Path) -> None:
    export_mosaic(local.mosaic, tmp_path / "store" / "mosaic.zarr")
    xr.testing.assert_identical(
        open_mosaic(tmp_path / "store" / "mosaic.zarr").load(),
        open_mosaic(tmp_path / "store").load(),
    )


def test_a_target_can_be_checked_before_there_is_a_store(tmp_path: Path) -> None:
    store = Objects.of(tmp_path / "store")
    with pytest.raises(UsageError, match="belongs to the store itself"):
        check_target(store, tmp_path / "store")
    assert not check_target(store, tmp_path / "maps").is_series
    assert not [*tmp_path.iterdir()]


def test_the_export_of_another_mosaic_is_left_alone(world: World, tmp_path: Path) -> None:
    export_mosaic(world.mosaic, tmp_path / "x")
    before = objects_in(Objects.of(tmp_path / "x"))
    other = World.at()
    other.mosaic.repository  # noqa: B018 - opened
    session = other.mosaic.repository.writable_session("main")
    zarr.open_group(session.store, mode="r+").attrs["model_digests"] = ["cd" * 32]
    session.commit("another model")
    other.publish((YEARS[0], tile(0), ["a"]))
    with pytest.raises(UsageError, match="is the export of a mosaic with another grid or"):
        export_mosaic(other.mosaic, tmp_path / "x")
    assert objects_in(Objects.of(tmp_path / "x")) == before


def test_a_folder_that_cannot_be_made_is_a_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"cannot be read or written: .*a part of the path is a file"
    ):
        export_mosaic(world.mosaic, a_file(tmp_path) / "below")


@pytest.mark.parametrize(
    ("suffix", "keep", "message"),
    [("", 0, "cannot keep 0 versions"), (".zarr", 2, "keeps no older versions; leave out keep")],
    ids=["none", "at a fixed path"],
)
def test_versions_that_cannot_be_kept_are_refused(
    world: World, suffix: str, keep: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export_mosaic(world.mosaic, in_memory(suffix), keep=keep)


def test_a_mosaic_without_a_version_is_not_exported() -> None:
    target = in_memory()
    with pytest.raises(StoreMissingError, match="has no published mosaic"):
        export_mosaic(World.at().mosaic, target)
    assert not [*target.list()]


def test_an_empty_version_leaves_the_export_as_it_is() -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]))
    export_mosaic(world.mosaic, target)
    before = objects_in(target)
    world.publish((YEARS[0], tile(0), []))
    with pytest.raises(StoreMissingError, match="is empty, so there is nothing to export"):
        export_mosaic(world.mosaic, target)
    assert objects_in(target) == before


# On a server


@pytest.mark.parametrize("name", ["maps", "maps.zarr"], ids=["series", "fixed path"])
def test_exports_to_s3_hold_what_one_in_memory_holds(bucket: str, name: str) -> None:
    world, target = World.at(), f"{bucket}/{name}"
    exports: list[Exported] = []
    for products in (["a"], ["b"], ["c"]):
        world.publish((YEARS[0], tile(0), products), (YEARS[0], tile(1), ["a"]))
        exports.append(export_mosaic(world.mosaic, target, keep=2 if name == "maps" else None))
    fresh = in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert objects_in(Objects.of(exports[-1].group)) == objects_in(fresh)
    assert [each.is_full for each in exports] == [True, False, False]
    assert [each.removed for each in exports] == ([0, 0, 1] if name == "maps" else [0, 0, 0])
    xr.testing.assert_identical(open_export(target).load(), open_version(world.mosaic).load())


def test_an_export_without_its_record_opens(world: World, tmp_path: Path) -> None:
    export_mosaic(world.mosaic, tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "export")
    xr.testing.assert_identical(
        open_export(tmp_path / "x").load(), open_version(world.mosaic).load()
    )


@pytest.mark.parametrize(
    "names",
    [
        ("export/report.txt", "salinity/mine.csv"),
        ("published/paper.pdf", "versions/2023/maps.tif"),
    ],
    ids=["a folder called export", "folders called published and versions"],
)
def test_folders_of_others_with_names_of_ours_are_no_export(
    world: World, tmp_path: Path, names: tuple[str, ...]
) -> None:
    target = Objects.of(tmp_path / "theirs")
    for name in names:
        target.write(name, b"theirs")
    with pytest.raises(UsageError, match="which is not an export of deepsalt"):
        export_mosaic(world.mosaic, target)
    assert {entry.key for entry in target.list()} == set(names)
