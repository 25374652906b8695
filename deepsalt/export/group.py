"""The documents and coordinates of an exported Zarr group, as objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from deepsalt.documents import encode
from deepsalt.errors import StoreError
from deepsalt.export.layout import Layout, data_of
from deepsalt.grid.georef import GRID_MAPPING, group_attrs
from deepsalt.layers import MOSAIC_LAYERS, THRESHOLD, Layer
from deepsalt.store.arrays import consolidated, create_axes, create_coordinate
from deepsalt.store.documents import decode
from deepsalt.versions import Filled
from deepsalt.versions.arrays import EPOCH, TIME_UNITS

ROOT = "zarr.json"
VERSION = "version_id"
"""Root attribute: the version that the group holds; empty during changes."""
DATA = "data_bbox"
"""Root attribute: bounds of the tiles with data (west, south, east, north), CRS units."""
ARRAYS = (
    *(layer.name for layer in MOSAIC_LAYERS),
    "period",
    "period_bounds",
    "y",
    "x",
    THRESHOLD,
    GRID_MAPPING,
)

_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def documents(
    source: Store, layout: Layout, filled: Sequence[Filled], attrs: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return all objects of an exported group but its shards, by key.

    Parameters
    ----------
    source
        The version's documents.
    layout
        Extent of the export.
    filled
        The data of the version.
    attrs
        Attributes of the group; those of its georeferencing are replaced.

    Raises
    ------
    StoreError
        The mosaic's layers are encoded differently from this version of deepsalt.
    """
    objects: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(objects), mode="w", zarr_format=3)
    create_axes(group, layout.pixels)
    days = np.array([[(day - EPOCH).days for day in each.days] for each in filled], np.int64)
    time = {"standard_name": "time", "long_name": "first day of the period", "axis": "T"}
    first = {**TIME_UNITS, **time, "bounds": "period_bounds"}
    create_coordinate(group, "period", days[:, 0], ("period",), first)
    create_coordinate(group, "period_bounds", days, ("period", "bounds"), TIME_UNITS)
    west, north = layout.grid.anchor
    edge = layout.grid.tile_px * layout.grid.resolution_m
    data = data_of(filled)
    bounds = [
        west + data.ix0 * edge,
        north - data.iy1 * edge,
        west + data.ix1 * edge,
        north - data.iy0 * edge,
    ]
    coordinates = {"coordinates": f"{GRID_MAPPING} period_bounds"}  # which xarray removes
    group.attrs.put({**attrs, **coordinates, **group_attrs(layout.pixels), DATA: bounds})
    found = {key: buffer.to_bytes() for key, buffer in objects.items()}
    for layer in MOSAIC_LAYERS:
        key = f"{layer.name}/{ROOT}"
        found[key] = encode(_described(_document(source, key), layer, layout))
    return {**found, ROOT: consolidated(found)}


def emptied(root: bytes) -> bytes:
    """Return a root document that names no version."""
    document = decode(root, ROOT)
    document["attributes"][VERSION] = ""
    return encode(document)


def _described(document: dict[str, Any], layer: Layer, layout: Layout) -> dict[str, Any]:
    """Return a layer's document in the layout; its codecs stay, and hence its bytes."""
    n = layout.grid.chunk_px
    size = layout.grid.shard_px
    try:
        (sharding,) = document["codecs"]
        settings = sharding["configuration"]
        as_known = (
            document["chunk_grid"]["configuration"]["chunk_shape"] == [1, *layer.shape(size, size)]
            and sharding["name"] == "sharding_indexed"
            and settings["chunk_shape"] == [1, *layer.shape(n, n)]
            and settings["codecs"][-1]["name"] == "crc32c"
            and settings["index_codecs"] == _INDEX
            and settings["index_location"] == "end"
        )
    except (KeyError, ValueError, TypeError):
        as_known = False
    if not as_known:
        raise StoreError(
            f"layer {layer.name} of the mosaic was encoded by another version of deepsalt; export "
            f"with that version"
        )
    periods, height, width = layout.shape
    document["shape"] = [periods, *layer.shape(height, width)]
    if not layout.is_sharded:
        document["chunk_grid"]["configuration"]["chunk_shape"] = settings["chunk_shape"]
        document["codecs"] = settings["codecs"]
    return document


def _document(source: Store, key: str) -> dict[str, Any]:
    found = sync(source.get(key, default_buffer_prototype()))
    if found is None:
        raise StoreError(f"the mosaic has no {key}; run `deepsalt check`")
    return decode(found.to_bytes(), f"{key} of the mosaic")
