"""`to_item`: `Acquisition` to STAC 1.1 Item, the inverse of `parse_item`."""

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pystac

from catalog.extensions import used_extensions
from catalog.geometry import checked_ring, crosses_antimeridian, footprint_geometry
from catalog.items.bands import write_bands, write_nodata
from catalog.statistics import UNKNOWN_END, UNKNOWN_START
from deepsalt.errors import FormatError
from deepsalt.types import Acquisition, Asset, PixelGrid

_PLATFORMS = {"enmap": ("enmap", "hsi", "L2A"), "prisma": ("prisma", "prisma", "L2D")}
_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".xml": "application/xml",
    ".he5": "application/x-hdf5",
    ".h5": "application/x-hdf5",
    ".hdr": "text/plain",
}


def to_item(acquisition: Acquisition) -> pystac.Item:
    """Return the STAC 1.1 Item of a scene; `parse_item` gives the same acquisition back.

    Properties with the prefix ``deepsalt:`` carry what STAC has no field for: the sensor (which
    reader), the identity that reprocessing keeps, the shape of a file block, which bands to use. A
    scene without a date gets an interval that covers any date, 1970 to 2099, and
    ``deepsalt:date_unknown``.

    Raises
    ------
    FormatError
        The scene has no files, two files of the same name, or no footprint.
    """
    where = f"scene {acquisition.scene_id}"
    names = [asset.name for asset in acquisition.assets]
    if not names or len(set(names)) != len(names):
        raise FormatError(f"{where} has the files {names}; expected at least one, each name once")
    ring = checked_ring(acquisition.footprint, where)
    geometry, bbox = footprint_geometry(ring)
    properties = _properties(acquisition)
    if crosses_antimeridian(ring):
        properties["deepsalt:footprint"] = [list(point) for point in ring]
    image = "image" if "image" in names else names[0]
    assets = {
        asset.name: _asset(asset, acquisition if asset.name == image else None)
        for asset in acquisition.assets
    }
    return pystac.Item(
        id=acquisition.scene_id,
        geometry=geometry,
        bbox=bbox,
        datetime=acquisition.start,
        properties=properties,
        stac_extensions=used_extensions(
            properties, *(asset.extra_fields for asset in assets.values())
        ),
        collection=acquisition.collection,
        assets=assets,
    )


def grid_properties(grid: PixelGrid) -> dict[str, Any]:
    """Return the projection extension's fields of a grid."""
    code = re.fullmatch(r"[A-Za-z]+:\w+", grid.crs)
    return {
        "proj:code": grid.crs if code else None,
        **({} if code else {"proj:wkt2": grid.crs}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform),
    }


def time_properties(start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """Return start and end as STAC expects them, the widest interval if the start is unknown."""
    if start is None:
        return {
            "start_datetime": UNKNOWN_START,
            "end_datetime": UNKNOWN_END if end is None else _text(end),
            "deepsalt:date_unknown": True,
        }
    return {} if end is None else {"start_datetime": _text(start), "end_datetime": _text(end)}


def _properties(acquisition: Acquisition) -> dict[str, Any]:
    stated: dict[str, Any] = {
        **time_properties(acquisition.start, acquisition.end),
        **grid_properties(acquisition.grid),
        "view:sun_elevation": acquisition.sun_elevation_deg,
        "eo:cloud_cover": acquisition.cloud_cover_pct,
        "processing:version": acquisition.version or None,
        "deepsalt:sensor": acquisition.sensor,
        "deepsalt:acquisition_id": acquisition.acquisition_id,
        "deepsalt:simulated": acquisition.simulated or None,
        "deepsalt:block_shape": acquisition.block_shape and list(acquisition.block_shape),
    }
    quality = (
        "enmap:overallQuality" if acquisition.sensor == "enmap" else "deepsalt:overall_quality"
    )
    stated[quality] = acquisition.overall_quality
    if acquisition.sensor in _PLATFORMS:
        platform, instrument, level = _PLATFORMS[acquisition.sensor]
        stated |= {
            "platform": platform,
            "instruments": [instrument],
            "processing:level": level,
        }
    return {k: v for k, v in stated.items() if v is not None or k == "proj:code"}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _asset(asset: Asset, image_of: Acquisition | None) -> pystac.Asset:
    suffix = PurePosixPath(asset.href.partition("?")[0]).suffix.lower()
    extra: dict[str, Any] = {} if asset.size_bytes is None else {"file:size": asset.size_bytes}
    if asset.checksum is not None:
        extra["file:checksum"] = asset.checksum
    role = "metadata" if asset.name == "metadata" else "quality"
    if image_of is not None:
        role = "data"
        extra["data_type"] = image_of.dtype
        extra |= write_nodata(image_of.nodata)
        extra["bands"] = write_bands(image_of)
    return pystac.Asset(
        href=asset.href, media_type=_MEDIA_TYPES.get(suffix), roles=[role], extra_fields=extra
    )
