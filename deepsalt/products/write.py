"""Writing a scene product once, reading it back, and checking its files."""

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from deepsalt.errors import GridError, StoreError
from deepsalt.georef import GRID_MAPPING, group_attrs, history_attr
from deepsalt.layers import SCENE_LAYERS
from deepsalt.objects.disk import storing, sync, sync_tree
from deepsalt.products.marker import (
    ALGORITHM_VERSION,
    LABEL_ATTRS,
    MARKER,
    is_complete,
    iso,
    read_marker,
)
from deepsalt.store.arrays import (
    consolidate,
    count_pixels,
    create_axes,
    create_layer,
    open_group,
)
from deepsalt.store.files import is_dead, process_mark, sha256_of, write_json
from deepsalt.store.versions import report_to
from deepsalt.types import Acquisition, ModelRef, PixelGrid, Report

CHUNK_PX = 512
"""Only stage 2 reads products, and in large windows: fewer chunks are read quicker."""
SHARD_PX = 1024


def write_product(
    ds: xr.Dataset,
    directory: Path,
    *,
    name: str,
    key: str,
    acquisition: Acquisition,
    ref: ModelRef,
    attrs: Mapping[str, Any] | None = None,
) -> Report:
    """Compute the layers of a scene once and write them; a complete product is left as it is.

    Parameters
    ----------
    ds
        `SCENE_LAYERS` (y, x), lazy, on the scene's own grid.
    directory
        Where products lie (`Store.scenes`).
    name, key
        `product_name` and `product_key` of the scene.
    acquisition, ref
        The scene and the model.
    attrs
        Further attributes (JSON values): ``simulated``, the card's name ...

    Returns
    -------
    Report
        Pixels of the scene.

    Raises
    ------
    GridError
        The layers are not on the scene's grid.
    StoreError
        A layer is missing or of another type, or the folder cannot be written.
    """
    path = directory / f"{name}.zarr"
    if is_complete(path):
        return read_marker(path).report
    check_layers(ds, acquisition)
    layers = ds[[layer.name for layer in SCENE_LAYERS]].compute()
    report = count_pixels(layers)
    staging = directory / f".{name}~{process_mark()}~{secrets.token_hex(4)}"
    with storing(path):
        _remove_leftovers(directory, name)
        try:
            write_layers(layers, staging, acquisition.grid, _attributes(acquisition, ref, attrs))
            sync_tree(staging)
            marker = _marker(acquisition, ref, attrs or {}, name=name, key=key)
            facts = {"report": report_to(report), "label": _label(layers), "files": _files(staging)}
            write_json(staging / MARKER, {**marker, **facts})
            _move(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return report


def check_layers(ds: xr.Dataset, acquisition: Acquisition) -> None:
    """Refuse layers that are not those of a product on the scene's grid, before computing them."""
    shape = (acquisition.grid.height, acquisition.grid.width)
    for layer in SCENE_LAYERS:
        if layer.name not in ds:
            raise StoreError(f"scene {acquisition.scene_id} has no layer {layer.name} to write")
        found = ds[layer.name]
        if found.dims != ("y", "x") or found.shape != shape:
            raise GridError(
                f"layer {layer.name} of scene {acquisition.scene_id} is {dict(found.sizes)}, "
                f"its grid is (y, x) {shape}"
            )
        if found.dtype != np.dtype(layer.dtype):
            raise StoreError(
                f"layer {layer.name} of scene {acquisition.scene_id} is {found.dtype}, "
                f"a product stores {layer.dtype}"
            )


def write_layers(layers: xr.Dataset, path: Path, grid: PixelGrid, attrs: Mapping[str, Any]) -> None:
    """Write layers in memory as a Zarr group with georeferencing."""
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    # A shard never reaches beyond the scene by more than a chunk.
    shard = [min(SHARD_PX, -(-size // CHUNK_PX) * CHUNK_PX) for size in (grid.height, grid.width)]
    for layer in SCENE_LAYERS:
        values = layers[layer.name]
        array = create_layer(
            group,
            layer,
            dims=("y", "x"),
            shape=(grid.height, grid.width),
            sharding=((CHUNK_PX, CHUNK_PX), tuple(shard)),
            attrs={k: v for k, v in values.attrs.items() if k != "grid_mapping"},
        )
        array[...] = values.values
    create_axes(group, grid)
    group.attrs.put(
        {"Conventions": "CF-1.11", "coordinates": GRID_MAPPING, **group_attrs(grid), **attrs}
    )
    consolidate(path)


def _attributes(
    acquisition: Acquisition, ref: ModelRef, attrs: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "title": f"Surface soil salinity of scene {acquisition.scene_id}",
        **history_attr(f"mapped on the scene's own grid with model {ref.digest[:12]}"),
        "scene_key": acquisition.key,
        "scene_id": acquisition.scene_id,
        "sensor": acquisition.sensor,
        "start": iso(acquisition.start),
        "end": iso(acquisition.end),
        "model_family": ref.family,
        "model_digest": ref.digest,
        "algorithm_version": ALGORITHM_VERSION,
        **(attrs or {}),
    }


def _marker(
    acquisition: Acquisition, ref: ModelRef, attrs: Mapping[str, Any], *, name: str, key: str
) -> dict[str, Any]:
    return {
        "name": name,
        "key": key,
        "scene_key": acquisition.key,
        "collection": acquisition.collection,
        "scene_id": acquisition.scene_id,
        "acquisition_id": acquisition.acquisition_id,
        "version": acquisition.version,
        "sensor": acquisition.sensor,
        "start": iso(acquisition.start),
        "end": iso(acquisition.end),
        "grid": asdict(acquisition.grid),
        "footprint": [list(corner) for corner in acquisition.footprint],
        "model_digest": ref.digest,
        "model_family": ref.family,
        "created": iso(datetime.now(UTC)),
        "attrs": dict(attrs),
    }


def _label(layers: xr.Dataset) -> dict[str, Any]:
    attrs = layers["salinity"].attrs
    return {name: attrs[name] for name in LABEL_ATTRS if name in attrs}


def _files(root: Path) -> list[tuple[str, str, int]]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return [
        (path.relative_to(root).as_posix(), sha256_of(path), path.stat().st_size) for path in paths
    ]


def _move(staging: Path, path: Path) -> None:
    if is_complete(path):  # another process was faster with the same work
        return
    if path.exists():
        shutil.rmtree(path)
    staging.rename(path)
    sync(path.parent)


def _remove_leftovers(directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f".{name}~*"):
        if is_dead(leftover.name.split("~")[1]):
            shutil.rmtree(leftover, ignore_errors=True)


def open_product(path: Path) -> xr.Dataset:
    """Open a complete product, lazily: `SCENE_LAYERS` (y, x) on the scene's own grid.

    Parameters
    ----------
    path
        Folder of the product.

    Raises
    ------
    StoreError
        The product is unfinished.
    """
    read_marker(path)
    return open_group(path)


def verify_product(path: Path) -> None:
    """Compare every file of a product with its checksum.

    Raises
    ------
    StoreError
        Names the first file that is missing or damaged.
    """
    if (found := _damage(path)) is not None:
        raise StoreError(f"{found}; remove the product and run its scene again")


def refuse_damaged(path: Path) -> None:
    """Refuse a damaged product before it is read, and let the next run map its scene anew.

    Raises
    ------
    StoreError
        Names the first file that is missing or damaged.
    """
    if (found := _damage(path)) is not None:
        with storing(path):
            (path / MARKER).unlink(missing_ok=True)
        raise StoreError(f"{found}; the product counts as unfinished now, run its scene again")


def _damage(path: Path) -> str | None:
    for name, digest, size in read_marker(path).files:
        file = path / name
        with storing(file):
            if not file.is_file():
                return f"{file} is missing"
            if file.stat().st_size != size or sha256_of(file) != digest:
                return f"{file} is damaged (another checksum than when it was written)"
    return None
