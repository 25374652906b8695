"""Zarr v3 arrays of layers: how they are encoded, their coordinates, one document for a group."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, Crc32cCodec

from deepsalt.documents import encode
from deepsalt.errors import StoreError
from deepsalt.grid.georef import GRID_MAPPING, axis_attrs, grid_mapping_attrs, pixel_centers
from deepsalt.layers import THRESHOLD, THRESHOLD_ATTRS, THRESHOLDS_DS_M, Layer
from deepsalt.store.documents import decode
from deepsalt.types import PixelGrid, QualityFlag, Report

Array = zarr.Array[Any]
Sharding = tuple[tuple[int, ...], tuple[int, ...] | None]
"""Shape of a chunk and of a shard; None if each chunk is its own object."""

# The bits of estimates are noise: zstd makes files a twentieth smaller, those of probabilities a
# tenth, and takes four times as long. Counts, days and flags are runs of few values, of which zstd
# leaves half of what LZ4 does.
_ESTIMATES = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
_RUNS = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


def create_layer(
    group: zarr.Group,
    layer: Layer,
    *,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    sharding: Sharding,
    attrs: Mapping[str, Any],
) -> Array:
    """Create the array of one layer in an open group.

    Parameters
    ----------
    group
        Where.
    layer
        Its name, type, fill value and attributes.
    dims, shape
        Names and sizes of its dimensions.
    sharding
        (chunk, shard), pixels along each dimension.
    attrs
        Attributes beside those of the layer.
    """
    chunks, shards = sharding
    return group.create_array(
        layer.name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=layer.dtype,
        fill_value=layer.fill,
        dimension_names=dims,
        # LZ4 does not detect flipped bits. A checksum per chunk takes 2 to 8 ms of CPU per layer of
        # a tile: a fifth of encoding it, a hundredth of composing it of three scenes.
        compressors=[_RUNS if layer.is_runs else _ESTIMATES, Crc32cCodec()],
        attributes={**layer.fill_attribute(), **layer.attributes(), **attrs},
    )


def create_axes(group: zarr.Group, grid: PixelGrid) -> None:
    """Add the coordinates of layers to an open group: `y`, `x`, `threshold`, `spatial_ref`."""
    for axis, values in zip("yx", pixel_centers(grid), strict=True):
        create_coordinate(group, axis, values, (axis,), axis_attrs(axis))
    create_thresholds(group)
    create_coordinate(group, GRID_MAPPING, np.array(0), (), grid_mapping_attrs(grid))


def create_thresholds(group: zarr.Group) -> None:
    """Add the coordinate `threshold` of probabilities to an open group, dS/m."""
    values = np.array(THRESHOLDS_DS_M)
    create_coordinate(group, THRESHOLD, values, (THRESHOLD,), THRESHOLD_ATTRS)


def create_coordinate(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dims: tuple[str, ...],
    attrs: Mapping[str, Any],
) -> None:
    """Add an array of one chunk to an open group."""
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(size, 1) for size in values.shape),
        dtype=values.dtype,
        dimension_names=dims,
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )
    array[...] = values


def consolidated(objects: Mapping[str, bytes]) -> bytes:
    """Return the document of a group with the metadata of its arrays, so that opening is one read.

    Written by hand: Zarr v3 has no specification of it yet and zarr-python warns when it writes
    the same document.

    Parameters
    ----------
    objects
        The group's objects by key, ``zarr.json`` and those of its arrays among them.
    """
    document = decode(objects["zarr.json"], "zarr.json")
    document["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {
            name: decode(data, key)
            for key, data in sorted(objects.items())
            if (name := key.removesuffix("/zarr.json")) != key
        },
    }
    return encode(document)


def count_pixels(ds: xr.Dataset) -> Report:
    """Count the pixels of a Dataset with `salinity` and `quality_flags` in memory."""
    quality_flags = ds["quality_flags"].values
    return Report(
        pixels=quality_flags.size,
        estimated=int(np.isfinite(ds["salinity"].values).sum()),
        by_flag=tuple(
            (str(bit.name).lower(), count)
            for bit in QualityFlag
            if (count := int(np.count_nonzero(quality_flags & np.uint16(bit))))
        ),
    )


def open_layers(store: ZarrStore, layers: Iterable[Layer], where: str) -> dict[str, Array]:
    """Open layers of a Zarr group that deepsalt wrote, as stored, without coordinates.

    Raises
    ------
    StoreError
        The group or a layer is missing.
    """
    try:
        group = zarr.open_group(store, mode="r", zarr_format=3)
        return {layer.name: cast(Array, group[layer.name]) for layer in layers}
    except (FileNotFoundError, ValueError) as error:
        raise StoreError(f"{where} is not a Zarr group ({error}); make it again") from error
    except KeyError as error:
        raise StoreError(f"{where} lacks the layer {error}; make it again") from error
