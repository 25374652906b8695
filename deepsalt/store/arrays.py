"""The arrays of a mosaic: one Zarr v3 group (period, y, x), written a region at a time.

The shard is the unit of parallel writing. Two writers on different chunks of one shard lose data
without an error, and xarray lets in-memory data be written anywhere, so `write_region` refuses
whatever cuts a shard. Shards without data are not written: a mosaic's extent is a bounding box.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from deepsalt.errors import GridError, StoreError
from deepsalt.georef import GRID_MAPPING, axis_attrs, grid_mapping_attrs, group_attrs, pixel_centers
from deepsalt.grid import Region
from deepsalt.layers import MOSAIC_LAYERS, Layer
from deepsalt.objects.disk import storing
from deepsalt.store.files import read_json, write_json
from deepsalt.types import PixelGrid, QualityFlag, Report

DIMS = ("period", "y", "x")
EPOCH = date(1970, 1, 1)
Array = zarr.Array[Any]
Sharding = tuple[tuple[int, ...], tuple[int, ...]]


# The bits of estimates are noise: zstd makes the files of a mosaic a twentieth smaller and takes
# four times as long. Counts, days and flags are runs of few values, of which zstd leaves half of
# what LZ4 does.
_FLOATS = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
_INTEGERS = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


def create_mosaic(
    path: Path,
    grid: PixelGrid,
    periods: Sequence[tuple[date, date]],
    *,
    chunk_px: int,
    shard_px: int,
    attrs: Mapping[str, Any],
    layer_attrs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Create the arrays of a mosaic, all of them unwritten.

    Parameters
    ----------
    path
        Folder of the group; one that exists is replaced.
    grid
        Pixels of the whole mosaic.
    periods
        First and last day of each period, in order.
    chunk_px, shard_px
        Edge of a chunk and of a shard, pixels.
    attrs
        Attributes of the group beside the georeferencing.
    layer_attrs
        Attributes per layer beside those of `MOSAIC_LAYERS`: which EC, at which depth.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    with storing(path):
        group = zarr.open_group(path, mode="w", zarr_format=3)
        for layer in MOSAIC_LAYERS:
            create_layer(
                group,
                layer,
                dims=DIMS,
                shape=(len(periods), grid.height, grid.width),
                sharding=((1, chunk_px, chunk_px), (1, shard_px, shard_px)),
                attrs=layer_attrs.get(layer.name, {}),
            )
        create_axes(group, grid)
        _create_periods(group, periods)
        coordinates = f"{GRID_MAPPING} period_bounds"
        group.attrs.put(
            {"Conventions": "CF-1.11", "coordinates": coordinates, **group_attrs(grid), **attrs}
        )
    consolidate(path)


def create_layer(
    group: zarr.Group,
    layer: Layer,
    *,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    sharding: Sharding,
    attrs: Mapping[str, Any],
) -> Array:
    """Create the array of one layer in an open group: (chunks, shards) as given, blosc."""
    chunks, shards = sharding
    return group.create_array(
        layer.name,
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=layer.dtype,
        fill_value=layer.fill,
        dimension_names=dims,
        compressors=_FLOATS if layer.dtype == "float32" else _INTEGERS,
        attributes={**layer.fill_attribute(), **layer.attributes(), **attrs},
    )


def create_axes(group: zarr.Group, grid: PixelGrid) -> None:
    """Add the coordinates `y`, `x` (pixel centres) and `spatial_ref` to an open group."""
    for axis, values in zip("yx", pixel_centers(grid), strict=True):
        _create_coordinate(group, axis, values, (axis,), axis_attrs(axis))
    _create_coordinate(group, GRID_MAPPING, np.array(0), (), grid_mapping_attrs(grid))


def _create_periods(group: zarr.Group, periods: Sequence[tuple[date, date]]) -> None:
    days = np.array([[(day - EPOCH).days for day in period] for period in periods], np.int64)
    units = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    attrs = {
        "standard_name": "time",
        "long_name": "first day of the period",
        "axis": "T",
        "bounds": "period_bounds",
        **units,
    }
    _create_coordinate(group, "period", days[:, 0], ("period",), attrs)
    _create_coordinate(group, "period_bounds", days, ("period", "bounds"), units)


def _create_coordinate(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dims: tuple[str, ...],
    attrs: Mapping[str, Any],
) -> None:
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


def consolidate(path: Path) -> None:
    """Copy the metadata of a group's arrays into the group's own, so that opening is one read.

    Written by hand: Zarr v3 has no specification of it yet and zarr-python warns when it writes
    the same document.
    """
    document = read_json(path / "zarr.json")
    arrays = {child.parent.name: read_json(child) for child in sorted(path.glob("*/zarr.json"))}
    document["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": arrays,
    }
    write_json(path / "zarr.json", document)


def write_region(ds: xr.Dataset, group_path: Path, region: Region, *, period_index: int) -> Report:
    """Write the layers of a tile into their region of a mosaic.

    Parameters
    ----------
    ds
        Layers of a mosaic (y, x) in memory, of the region's shape.
    group_path
        Zarr group of the mosaic.
    region
        Pixels to write; whole shards.
    period_index
        Position along `period`.

    Raises
    ------
    GridError
        The region cuts a shard, lies outside the mosaic or has another shape than the data.
    StoreError
        A layer is missing or of another type, or the folder cannot be written.
    """
    with storing(group_path):
        group = zarr.open_group(group_path, mode="r+", zarr_format=3)
        for layer in MOSAIC_LAYERS:
            array = cast(Array, group[layer.name])
            _check_region(array, region, period_index)
            values = _check_values(ds, layer, region)
            for part, shard, name in _shards(array, region):
                # An empty shard has no file; to hand it to zarr chunk by chunk takes as long as one
                # with data.
                file = group_path / layer.name / "c" / str(period_index) / name
                if file.exists() or not _is_empty(values[part], layer.fill):
                    array[(period_index, *shard)] = values[part]
    return count_pixels(ds)


Slices = tuple[slice, slice]


def _shards(array: Array, region: Region) -> Iterator[tuple[Slices, Slices, str]]:
    """Yield each shard of a region: its slices in the region and in the array, and its file."""
    height, width = (array.shards or array.chunks)[1:]
    for y in range(*region.y, height):
        for x in range(*region.x, width):
            part = slice(y - region.y[0], y - region.y[0] + height)
            across = slice(x - region.x[0], x - region.x[0] + width)
            place = slice(y, y + height), slice(x, x + width)
            yield (part, across), place, f"{y // height}/{x // width}"


def _is_empty(values: NDArray[Any], fill: float | int) -> bool:
    return bool((np.isnan(values) if fill != fill else values == fill).all())


def _check_region(array: Array, region: Region, period_index: int) -> None:
    shards = array.shards or array.chunks
    if not 0 <= period_index < array.shape[0]:
        raise GridError(f"period {period_index} is not one of the mosaic's {array.shape[0]}")
    for axis, (start, stop), size, shard in zip(
        "yx", (region.y, region.x), array.shape[1:], shards[1:], strict=True
    ):
        if not 0 <= start < stop <= size:
            raise GridError(
                f"region {axis} {start}:{stop} lies outside the mosaic, which has {size} pixels"
            )
        if start % shard or stop % shard:
            raise GridError(
                f"region {axis} {start}:{stop} cuts a shard of {shard} pixels; two writers in one "
                "shard lose data, so write whole tiles"
            )


def _check_values(ds: xr.Dataset, layer: Layer, region: Region) -> NDArray[Any]:
    if layer.name not in ds:
        raise StoreError(f"layer {layer.name} is missing; a mosaic tile has all layers")
    values = ds[layer.name]
    if values.dims != ("y", "x") or values.shape != region.shape:
        raise GridError(
            f"layer {layer.name} is {dict(values.sizes)}, the region is (y, x) {region.shape}"
        )
    if values.dtype != np.dtype(layer.dtype):
        raise StoreError(f"layer {layer.name} is {values.dtype}, a mosaic stores {layer.dtype}")
    return values.values


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


def open_layers(path: Path, layers: Iterable[Layer]) -> dict[str, Array]:
    """Open layers of a Zarr group that deepsalt wrote, as stored, without coordinates.

    Raises
    ------
    StoreError
        There is no such group, or a layer is missing.
    """
    _refuse_no_group(path)
    with storing(path):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        try:
            return {layer.name: cast(Array, group[layer.name]) for layer in layers}
        except KeyError as error:
            raise StoreError(f"{path} lacks the layer {error}; build again") from error


def _refuse_no_group(path: Path) -> None:
    if not (path / "zarr.json").is_file():
        raise StoreError(f"{path} is not a Zarr group; give the folder of a store or its mosaic")


def open_group(path: Path, *, chunked: bool = True) -> xr.Dataset:
    """Open a Zarr group that deepsalt wrote, lazily.

    Parameters
    ----------
    path
        Folder of the group.
    chunked
        Whether layers are Dask arrays; else indexing reads directly.

    Raises
    ------
    StoreError
        There is no such group.
    """
    _refuse_no_group(path)
    # Said, not tried: a group that somebody copied without it opens as well, only slower.
    consolidated = "consolidated_metadata" in read_json(path / "zarr.json")
    with storing(path):
        ds: xr.Dataset = xr.open_zarr(
            path, chunks={} if chunked else None, consolidated=consolidated
        )
    return ds
