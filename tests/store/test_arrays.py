"""Arrays of layers: how they are encoded, their attributes, one document for a group."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from deepsalt.errors import StoreError
from deepsalt.layers import MOSAIC_LAYERS, SCENE_LAYERS, Layer
from deepsalt.store.arrays import (
    consolidated,
    count_pixels,
    create_axes,
    create_layer,
    open_layers,
)
from deepsalt.types import QualityFlag
from tests.store.builders import layers, scene_grid

GRID = scene_grid(height=96, width=128)
SHARDED = ((16, 16), (32, 32))
PLAIN = ((16, 16), None)
EVERY_LAYER = pytest.mark.parametrize("layer", MOSAIC_LAYERS, ids=lambda layer: layer.name)


@pytest.fixture
def objects() -> dict[str, Any]:
    """The objects of a group with all layers, unwritten, and coordinates."""
    found: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(found), mode="w", zarr_format=3)
    for layer in MOSAIC_LAYERS:
        create(group, layer, SHARDED)
    create_axes(group, GRID)
    return found


def create(group: zarr.Group, layer: Layer, sharding: Any) -> zarr.Array[Any]:
    shape = (GRID.height, GRID.width)
    return create_layer(
        group, layer, dims=("y", "x"), shape=shape, sharding=sharding, attrs={"depth": "0-5 cm"}
    )


def read(objects: dict[str, Any]) -> xr.Dataset:
    return xr.open_zarr(MemoryStore(objects), consolidated=False, chunks=None)


@EVERY_LAYER
def test_what_was_never_written_has_no_object_and_reads_as_fill(
    objects: dict[str, Any], layer: Layer
) -> None:
    assert not [key for key in objects if key.startswith(f"{layer.name}/c")]
    array = zarr.open_group(MemoryStore(objects), mode="r")[layer.name]
    np.testing.assert_array_equal(np.unique(array[...]), np.asarray(layer.fill, layer.dtype))


def test_coordinates_are_pixel_centres(objects: dict[str, Any]) -> None:
    found = read(objects)
    assert (float(found.x[0]), float(found.y[0])) == (300030.0, 5800020.0)
    assert np.unique(np.diff(found.x.values)).tolist() == [30.0]
    assert np.unique(np.diff(found.y.values)).tolist() == [-30.0]


def test_layers_say_what_they_are(objects: dict[str, Any]) -> None:
    found = read(objects)
    assert found.salinity.attrs["units"] == "dS m-1"
    assert found.salinity.attrs["depth"] == "0-5 cm"
    assert found.quality_flags.attrs["flag_masks"][:3] == [1, 2, 4]
    assert len(found.quality_flags.attrs["flag_meanings"].split()) == len(
        found.quality_flags.attrs["flag_masks"]
    )
    assert found.quality_flags.dtype == np.uint16


def test_shards_and_chunks_are_as_asked(objects: dict[str, Any]) -> None:
    found = read(objects).salinity.encoding
    assert (found["chunks"], found["shards"]) == SHARDED


@EVERY_LAYER
def test_a_bit_that_flipped_in_a_chunk_is_noticed(layer: Layer) -> None:
    objects: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(objects), mode="w", zarr_format=3)
    rng = np.random.default_rng(0)
    shape = (GRID.height, GRID.width)
    create(group, layer, PLAIN)[...] = rng.integers(1, 9, shape).astype(layer.dtype)
    key, data = next((k, v.to_bytes()) for k, v in objects.items() if "/c/" in k)
    buffer = type(objects[key])
    for place in range(0, len(data), max(1, len(data) // 25)):
        flipped = bytes([data[place] ^ 4])
        objects[key] = buffer.from_bytes(data[:place] + flipped + data[place + 1 :])
        array = zarr.open_group(MemoryStore(objects), mode="r")[layer.name]
        with pytest.raises((ValueError, RuntimeError)):
            array[...]


def test_the_document_of_a_group_has_all_its_arrays(objects: dict[str, Any]) -> None:
    bare = {key: data.to_bytes() for key, data in objects.items()}
    document = json.loads(consolidated(bare))
    arrays = document["consolidated_metadata"]["metadata"]
    coordinates = {"x", "y", "threshold", "spatial_ref"}
    assert set(arrays) == {layer.name for layer in MOSAIC_LAYERS} | coordinates
    for name, metadata in arrays.items():
        assert metadata == json.loads(bare[f"{name}/zarr.json"])


def test_pixels_are_counted_by_flag() -> None:
    ds = layers(GRID, seed=3)
    report = count_pixels(ds)
    flags = ds.quality_flags.values
    assert report.pixels == GRID.height * GRID.width
    assert report.estimated == int(np.isfinite(ds.salinity.values).sum())
    assert dict(report.by_flag) == {
        name: int((flags & int(QualityFlag[name.upper()]) != 0).sum())
        for name in ("outside", "cloud", "extrapolated")
    }


def test_opening_what_is_no_group_says_so() -> None:
    with pytest.raises(StoreError, match=r"product a of s is not a Zarr group .*make it again"):
        open_layers(MemoryStore(), SCENE_LAYERS, "product a of s")


def test_opening_a_group_that_lacks_a_layer_says_so(objects: dict[str, Any]) -> None:
    del objects["salinity_upper/zarr.json"]
    with pytest.raises(StoreError, match="lacks the layer 'salinity_upper'; make it again"):
        open_layers(MemoryStore(objects), SCENE_LAYERS, "product a of s")
