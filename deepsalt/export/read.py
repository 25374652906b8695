"""Opening an export lazily, like `deepsalt.versions.open_mosaic` does a store."""

from typing import Any

import numpy as np
import xarray as xr
from xarray.coders import CFDatetimeCoder
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.errors import BaseZarrError
from zarr.storage import WrapperStore

from deepsalt.errors import FormatError, StoreError, StoreMissingError, VersionMissingError
from deepsalt.export.group import DATA, ROOT, VERSION
from deepsalt.export.target import group_at
from deepsalt.grid import PixelWindow
from deepsalt.grid.georef import GRID_MAPPING, grid_mapping_attrs, group_attrs, pixel_grid_of
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.objects.zarr import Chunks
from deepsalt.store import Where
from deepsalt.store.documents import decode
from deepsalt.types import Bbox
from deepsalt.versions.points import by_chunk
from deepsalt.versions.read import crop, cut, part


def open_export(target: Where, *, bbox: Bbox | None = None, chunked: bool = True) -> xr.Dataset:
    """Open the last export to a target, cropped to the tiles that have data.

    The pointer of a series is followed once: later exports do not mix in. An export at a fixed path
    is overwritten in place, and parts read later may belong to a later version.

    Parameters
    ----------
    target
        Path or URI.
    bbox
        Crop to the pixels within (west, south, east, north), degrees WGS84.
    chunked
        Whether layers are Dask arrays, in chunks of a shard.

    Returns
    -------
    xr.Dataset
        As `deepsalt.versions.open_mosaic` returns it: `last_observed` in days as float64, `period`
        as dates.

    Raises
    ------
    UsageError
        The location or the bounding box is invalid, or the box meets no data.
    StoreMissingError
        There is no export.
    StoreError
        The export is between two versions, is damaged, or cannot be read.
    """
    objects = Objects.of(target)
    group = group_at(objects)
    if group is None:
        raise StoreMissingError(f"{objects} has no export; `deepsalt mosaic export` makes one")
    version = decode(group.read(ROOT), f"{group}/{ROOT}").get("attributes", {}).get(VERSION)
    if version == "":
        raise StoreError(
            f"{group} is between two versions, because an export is running or was interrupted; "
            f"try again later, or export again"
        )
    store = _Whole(Chunks(group, read_only=True), group, str(version))
    try:
        ds = _open(store, bbox, chunked)
    except (FormatError, KeyError, ValueError, BaseZarrError) as error:
        raise StoreError(
            f"{group} is not a readable export of deepsalt ({error!r:.200}); export again"
        ) from error
    return ds


def _open(store: Store, bbox: Bbox | None, chunked: bool) -> xr.Dataset:
    ds: xr.Dataset = xr.open_zarr(
        store,
        chunks=None,
        zarr_format=3,
        consolidated=True,
        decode_times=CFDatetimeCoder(time_unit="s"),
    )
    pixels = pixel_grid_of(ds.attrs)
    first = ds[MOSAIC_LAYERS[0].name]
    west, south, east, north = ds.attrs.pop(DATA)
    a, _, c, _, e, f = pixels.transform
    rows = round((north - f) / e), round((south - f) / e)
    region = PixelWindow(y=rows, x=(round((west - c) / a), round((east - c) / a)))
    if bbox is not None:
        region = crop(pixels, region, bbox)
    sizes = first.encoding.get("shards") or first.encoding["chunks"]
    names = [*(layer.name for layer in MOSAIC_LAYERS), "period_bounds"]
    ds = ds[names].isel(y=slice(*region.y), x=slice(*region.x))
    grid = part(pixels, region)
    ds = ds.assign_coords({GRID_MAPPING: ((), np.int64(0), grid_mapping_attrs(grid))})
    ds.attrs = {**ds.attrs, **group_attrs(grid)}
    if not chunked:
        chunk_px = first.encoding["chunks"][-1]
        return ds.assign(
            {layer.name: by_chunk(ds[layer.name], chunk_px) for layer in MOSAIC_LAYERS}
        )
    chunks: dict[str, Any] = {
        "period": 1,
        "y": cut(*region.y, sizes[1]),
        "x": cut(*region.x, sizes[2]),
    }
    return ds.assign({name: layer.chunk(chunks) for name, layer in ds.data_vars.items()})


class _Whole(WrapperStore[Store]):
    """Reads a group for as long as it holds the opened version.

    A missing chunk means fill values, or that the export was changed or removed.
    """

    def __init__(self, store: Store, group: Objects, version: str) -> None:
        super().__init__(store)
        self._group = group
        self._version = version
        self._said = f'"{VERSION}": "{version}"'.encode()  # faster than parsing

    def _with_store(self, store: Store) -> "_Whole":
        return _Whole(store, self._group, self._version)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value, see zarr."""
        found = await self._store.get(key, prototype, byte_range)
        if found is None and "/c/" in key:
            root = await self._store.get(ROOT, default_buffer_prototype())
            if root is None or self._said not in root.to_bytes():
                raise VersionMissingError(
                    f"version {self._version} was replaced in {self._group} while it was read; "
                    "open the export again"
                )
        return found
