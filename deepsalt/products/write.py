"""Writing a scene product once."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from deepsalt.documents import encode
from deepsalt.errors import GridError, StoreError
from deepsalt.grid.georef import GRID_MAPPING, group_attrs
from deepsalt.layers import CHANCE, CHANCE_ATTRS, CHANCE_FILL, CHANCE_STEP, SCENE_LAYERS
from deepsalt.products.done import done_key, index_key, join_acquisition, read_marker
from deepsalt.products.marker import (
    ALGORITHM_VERSION,
    LABEL_ATTRS,
    ProductMarker,
    iso,
    prefix_of,
    product_key,
    product_name,
)
from deepsalt.store import Store
from deepsalt.store.arrays import consolidated, count_pixels, create_axes, create_layer
from deepsalt.types import Acquisition, ModelRef, PixelGrid

CHUNK_PX = 512
"""Only stage 2 reads products, and in large windows: fewer chunks read faster."""
SHARD_PX = 1024

_ENTRIES_AT_ONCE = 16
_AT_ONCE = 8
"""Number of objects sent at a time."""


def write_product(
    ds: xr.Dataset,
    store: Store,
    acquisition: Acquisition,
    ref: ModelRef,
    *,
    attrs: Mapping[str, Any] | None = None,
) -> ProductMarker:
    """Compute the layers of a scene once and write them; `mark_done` makes them count.

    Concurrent writers of the same product write the same bytes.

    Parameters
    ----------
    ds
        `SCENE_LAYERS`, lazy, on the scene's own grid; probabilities as stored, or as
        `open_product` decodes them.
    store
        The store.
    acquisition, ref
        The scene and the model.
    attrs
        Further attributes (JSON values): ``simulated``, the card's name ...

    Returns
    -------
    ProductMarker
        The marker of the product.

    Raises
    ------
    GridError
        The layers are not on the scene's grid.
    StoreError
        A layer is missing or has another type, or the store cannot be written.
    """
    ds = _as_stored(ds)
    check_layers(ds, acquisition)
    layers = ds[[layer.name for layer in SCENE_LAYERS]].compute()
    name = product_name(acquisition, ref)
    attrs = attrs or {}
    found = encode_layers(layers, acquisition.grid, _attributes(acquisition, ref, attrs))
    # A product without its group's document is not a group: it is sent last.
    first = {**found}
    last = found["zarr.json"]
    del first["zarr.json"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sent = (
            pool.submit(store.objects.write, f"{prefix_of(name)}/{key}", data)
            for key, data in first.items()
        )
        for each in [*sent]:
            each.result()
    store.objects.write(f"{prefix_of(name)}/zarr.json", last)
    return ProductMarker(
        name=name,
        key=product_key(acquisition, ref),
        scene_key=acquisition.key,
        collection=acquisition.collection,
        scene_id=acquisition.scene_id,
        acquisition_id=acquisition.acquisition_id,
        version=acquisition.version,
        sensor=acquisition.sensor,
        start=acquisition.start,
        end=acquisition.end,
        grid=acquisition.grid,
        footprint=acquisition.footprint,
        model_digest=ref.digest,
        model_family=ref.family,
        created=datetime.now(UTC),
        report=count_pixels(layers),
        label=_stated(layers["salinity"], LABEL_ATTRS),
        chances=_stated(layers[CHANCE], CHANCE_ATTRS),
        attrs=attrs,
        files=tuple(
            (key, sha256(data).hexdigest(), len(data)) for key, data in sorted(found.items())
        ),
    )


def mark_done(store: Store, marker: ProductMarker) -> ProductMarker:
    """Make a written product count; return its present marker.

    Parameters
    ----------
    store
        The store.
    marker
        The result of `write_product`.

    Raises
    ------
    GridError
        The scene lies outside the mosaic.
    StoreError
        The store cannot be written.
    """
    tiles = store.grid.tiles_over(marker.grid)
    store.frame.refuse_beyond(f"scene {marker.scene_key}", tiles)
    own = sorted(tile.id for tile in tiles)
    members = join_acquisition(store, marker, own)
    over = sorted({tile for ids in members.values() for tile in ids})
    entries = [index_key(tile, name) for tile in over for name in members]
    with ThreadPoolExecutor(_ENTRIES_AT_ONCE) as pool:
        for _ in pool.map(lambda key: store.objects.create(key, b""), entries):
            pass
    marked = replace(marker, tiles=tuple(over), own=tuple(own))
    if store.objects.create(done_key(marker.name), encode(marked.to_dict())):
        return marked
    return read_marker(store, marker.name)


def _as_stored(ds: xr.Dataset) -> xr.Dataset:
    """Return layers with probabilities in whole steps, if they were decoded."""
    if CHANCE not in ds or ds[CHANCE].dtype.kind != "f":
        return ds
    steps = (ds[CHANCE] / CHANCE_STEP).round().fillna(CHANCE_FILL).astype(np.uint16)
    return ds.assign({CHANCE: steps.assign_attrs(ds[CHANCE].attrs)})


def check_layers(ds: xr.Dataset, acquisition: Acquisition) -> None:
    """Refuse layers that are not those of a product on the scene's grid, before computing them."""
    shape = (acquisition.grid.height, acquisition.grid.width)
    for layer in SCENE_LAYERS:
        if layer.name not in ds:
            raise StoreError(f"scene {acquisition.scene_id} has no layer {layer.name} to write")
        found = ds[layer.name]
        expected = dict(zip(layer.dims, layer.shape(*shape), strict=True))
        if list(found.sizes.items()) != list(expected.items()):
            raise GridError(
                f"layer {layer.name} of scene {acquisition.scene_id} is {dict(found.sizes)}, but "
                f"on its grid it is {expected}"
            )
        if found.dtype != np.dtype(layer.dtype):
            raise StoreError(
                f"layer {layer.name} of scene {acquisition.scene_id} is {found.dtype}, but a "
                f"product stores {layer.dtype}"
            )


def encode_layers(
    layers: xr.Dataset, grid: PixelGrid, attrs: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return layers in memory as the objects of a Zarr group with georeferencing, by key."""
    objects: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(objects), mode="w", zarr_format=3)
    # A shard never exceeds the scene by more than a chunk.
    shard = [min(SHARD_PX, -(-size // CHUNK_PX) * CHUNK_PX) for size in (grid.height, grid.width)]
    chunk = (CHUNK_PX, CHUNK_PX)
    for layer in SCENE_LAYERS:
        values = layers[layer.name]
        array = create_layer(
            group,
            layer,
            dims=layer.dims,
            shape=layer.shape(grid.height, grid.width),
            sharding=(layer.shape(*chunk), layer.shape(*shard)),
            attrs={k: v for k, v in values.attrs.items() if k != "grid_mapping"},
        )
        array[...] = values.values
    create_axes(group, grid)
    group.attrs.put(
        {"Conventions": "CF-1.11", "coordinates": GRID_MAPPING, **group_attrs(grid), **attrs}
    )
    found = {key: buffer.to_bytes() for key, buffer in objects.items()}
    return {**found, "zarr.json": consolidated(found)}


def _attributes(
    acquisition: Acquisition, ref: ModelRef, attrs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return attributes that do not depend on when the product is written."""
    return {
        "title": f"Surface soil salinity of scene {acquisition.scene_id}",
        "scene_key": acquisition.key,
        "scene_id": acquisition.scene_id,
        "sensor": acquisition.sensor,
        "start": iso(acquisition.start),
        "end": iso(acquisition.end),
        "model_family": ref.family,
        "model_digest": ref.digest,
        "algorithm_version": ALGORITHM_VERSION,
        **attrs,
    }


def _stated(layer: xr.DataArray, names: Iterable[str]) -> dict[str, Any]:
    return {name: layer.attrs[name] for name in names if name in layer.attrs}
