"""Opening a mosaic from a store or from an export."""

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from deepsalt.errors import StoreMissingError, UsageError
from deepsalt.export import MOSAIC_ZARR, open_export
from deepsalt.export.target import group_at
from deepsalt.extras import installed
from deepsalt.grid.georef import plain_attrs
from deepsalt.objects import Objects
from deepsalt.store import Store, Where
from deepsalt.types import Bbox
from deepsalt.versions import open_mosaic as open_version
from deepsalt.versions import open_repository

if TYPE_CHECKING:
    import xarray as xr


def open_mosaic(
    where: Where | Store,
    *,
    version: str | None = None,
    time: datetime | date | str | None = None,
    bbox: Bbox | None = None,
) -> "xr.Dataset":
    """Open a mosaic lazily.

    A Dataset of a store always reads the same version, whatever is published later. So does one of
    an export in a bucket's series; an export at a fixed path, such as ``STORE/mosaic.zarr``, is
    overwritten in place.

    Parameters
    ----------
    where
        A store or its path or URI, or the path or URI of an export.
    version
        Id of the version, or its first characters. Stores only. Default: the published version.
    time
        Open the last version published before this moment instead: UTC unless it has a time zone; a
        day means its first moment. Stores only.
    bbox
        Crop to the pixels within (west, south, east, north), degrees WGS84.

    Returns
    -------
    xr.Dataset
        Layers (period, y, x) as in `deepsalt.layers.MOSAIC_LAYERS`, over the tiles and periods that
        have data, periods in order of time; coordinates `period` (first day), `period_bounds`, `y`,
        `x` (pixel centres) and `spatial_ref`. `last_observed` in days from 1970-01-01 as float64,
        NaN where no scene contributed. Layers are Dask arrays in chunks of one shard; without Dask,
        as in a light installation, arrays that read a selection when its values are used. Its
        attributes are text and numbers, so that `to_netcdf` writes it.

    Raises
    ------
    UsageError
        The location is invalid, version and time are given together or for an export, the time is
        not a moment, or the bounding box is invalid or meets no data.
    StoreMissingError
        There is no mosaic.
    VersionMissingError
        The version does not exist, or no longer.
    StoreError
        No access, or damaged data.

    Examples
    --------
    >>> import deepsalt
    >>> mosaic = deepsalt.open_mosaic("store")
    >>> mosaic.salinity.dims
    ('period', 'y', 'x')

    Points are sampled with xarray's own indexing; only their chunks are read.

    >>> import xarray as xr
    >>> x = xr.DataArray(mosaic.x.values[[100, 150]], dims="point")
    >>> y = xr.DataArray(mosaic.y.values[[100, 150]], dims="point")
    >>> points = mosaic.isel(period=0).sel(x=x, y=y, method="nearest")
    >>> points[["salinity", "salinity_lower", "salinity_upper"]].sizes["point"]
    2
    """
    at = None if time is None else _moment(time)
    by_shard = installed("dask")
    objects = where.objects if isinstance(where, Store) else Objects.of(where)
    if isinstance(where, Store) or Store.exists(objects):
        mosaic = open_repository(objects)
        ds = open_version(
            mosaic, version=version, at=at, bbox=bbox, chunks="shard" if by_shard else None
        )
        return _plain(ds)
    if group_at(objects) is None:
        raise StoreMissingError(
            f"{objects} is neither a store nor an export of one{_hint(objects)}"
        )
    if version is not None or time is not None:
        raise UsageError(
            f"{objects} is an export, which holds one version; open the store for other versions"
        )
    return _plain(open_export(objects, bbox=bbox, chunked=by_shard))


def _plain(ds: "xr.Dataset") -> "xr.Dataset":
    ds.attrs = plain_attrs(ds.attrs)
    return ds


def _hint(objects: Objects) -> str:
    """Return a hint if a store's own export is missing."""
    store = next(objects.outer(), None)
    if objects.location.prefix.rpartition("/")[2] == MOSAIC_ZARR and store and Store.exists(store):
        return f"; open {store} itself, or export its mosaic"
    return "; `deepsalt run` makes one"


def _moment(given: datetime | date | str) -> datetime:
    """Return a moment, in UTC unless the text has a time zone."""
    moment: datetime | date = given if not isinstance(given, str) else _parsed(given)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r:.100} is not a time; give a time such as 2024-05-01 or 2024-05-01T12:00"
        ) from error
