"""`parse_item`: STAC Item to `Acquisition`, the last place that sees STAC fields."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pystac

from catalog.fields import Fields, shown
from catalog.geometry import Ring, checked_ring, ring_of
from catalog.hrefs import absolute_href
from catalog.items import enmap
from catalog.items.bands import ParsedBands, band_table, parse_bands
from catalog.items.recognise import ItemFields, refuse_unfit, sensor_of, take_apart
from catalog.statistics import UNKNOWN_END, cloud_cover, overall_quality, sun_elevation
from deepsalt.errors import FormatError, GridError
from deepsalt.types import MAX_PIXELS, MAX_SIDE_PX, Acquisition, Asset, PixelGrid

_MIN_BANDS = 10  # an asset with fewer bands is a quicklook, not the hyperspectral image
_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
_CODE = re.compile(r"[A-Za-z]+:\w+")
_PICTURES = frozenset({"thumbnail", "overview", "visual"})


def parse_item(item: pystac.Item | Mapping[str, Any]) -> Acquisition:
    """Return the acquisition that an Item describes.

    Accepts Items of `to_item` (exactly: ``parse_item(to_item(a)) == a``), EnMAP L2A Items of DLR's
    catalogue (STAC 1.0.0 with its own conventions), and Items of other catalogues whose image asset
    has a wavelength, a width and a scale per band.

    Parameters
    ----------
    item
        Item or its JSON object. Relative hrefs are resolved against its ``self`` link.

    Raises
    ------
    FormatError
        A field is missing or invalid; the message names the Item and the field.
    UnsupportedError
        The Item is valid but unsuitable for salinity: EnMAP below L2A, PRISMA other than L2D, DESIS
        (no SWIR), a night pass.
    """
    fields = take_apart(item)
    sensor = sensor_of(fields)
    refuse_unfit(fields, sensor)
    own = fields.properties.has("deepsalt:acquisition_id")
    foreign_enmap = sensor == "enmap" and not own
    image = _image(fields)
    bands = parse_bands(image, fields.properties)
    if foreign_enmap:
        bands = _enmap_bands(image, bands)
    acquisition_id, version = _identity(fields, foreign_enmap=foreign_enmap)
    start, end = _times(fields.properties)
    return Acquisition(
        collection=enmap.COLLECTION if foreign_enmap else fields.collection,
        scene_id=fields.id.upper() if foreign_enmap else fields.id,
        acquisition_id=acquisition_id,
        version=version,
        sensor=sensor,
        start=start,
        end=end,
        grid=_grid(image, fields.properties),
        bands=band_table(bands, image.where),
        gain=bands.gain,
        offset=bands.offset,
        dtype=_checked_dtype(bands.dtype, image),
        nodata=_checked_nodata(bands, image, own=own),
        block_shape=_block_shape(fields.properties),
        assets=_assets(fields),
        footprint=_footprint(fields),
        sun_elevation_deg=sun_elevation(fields.properties),
        cloud_cover_pct=cloud_cover(fields.properties),
        overall_quality=overall_quality(fields.properties),
        simulated=bool(fields.properties.flag("deepsalt:simulated")),
    )


def _image(fields: ItemFields) -> Fields:
    """Return the asset that lists the bands: ``image``, or the only one with enough bands."""
    if "image" in fields.assets:
        return fields.assets["image"]
    own = fields.properties.has("deepsalt:sensor")
    wide = [
        asset
        for asset in fields.assets.values()
        for bands in (asset.entries("bands") or asset.entries("eo:bands"),)
        if len(bands) >= (1 if own else _MIN_BANDS)
    ]
    if len(wide) != 1:
        raise FormatError(
            f"{fields.where} has {len(wide)} assets that list spectral bands; "
            "expected one, or one called 'image'"
        )
    return wide[0]


def _enmap_bands(image: Fields, bands: ParsedBands) -> ParsedBands:
    """Return the bands, completed with what DLR's Items leave to the product's definition."""
    if len(bands.names) != enmap.BANDS:
        raise FormatError(
            f"{image.where} lists {len(bands.names)} bands; EnMAP L2A has {enmap.BANDS}"
        )
    return replace(
        bands,
        names=enmap.band_names(),
        usable=enmap.usable(bands.centers_nm, bands.fwhm_nm),
        dtype=bands.dtype or enmap.DTYPE,
    )


def _identity(fields: ItemFields, *, foreign_enmap: bool) -> tuple[str, str]:
    properties = fields.properties
    if foreign_enmap:
        return enmap.identity(fields.id, properties)
    version = properties.text("processing:version") or properties.text("version") or ""
    return properties.text("deepsalt:acquisition_id") or fields.id, version


def _times(properties: Fields) -> tuple[datetime | None, datetime | None]:
    start = properties.moment("start_datetime") or properties.moment("datetime")
    end = properties.moment("end_datetime")
    if properties.flag("deepsalt:date_unknown"):
        known = properties.text("end_datetime") not in {None, UNKNOWN_END}
        return None, end if known else None
    if start is None:
        raise properties.wrong("datetime", "a time, or 'start_datetime' and 'end_datetime'")
    if end is not None and end < start:
        raise properties.wrong("end_datetime", f"a time after {start.isoformat()}")
    return start, end


def _grid(image: Fields, properties: Fields) -> PixelGrid:
    holder = image if image.has("proj:shape") else properties
    shape = holder.numbers("proj:shape")
    if (
        shape is None
        or len(shape) != 2
        or not all(side.is_integer() and 1 <= side <= MAX_SIDE_PX for side in shape)
        or shape[0] * shape[1] > MAX_PIXELS
    ):
        raise holder.wrong("proj:shape", "rows and columns of the image")
    holder = image if image.has("proj:transform") else properties
    transform = holder.numbers("proj:transform")
    if transform is None or len(transform) not in {6, 9}:
        raise holder.wrong("proj:transform", "6 or 9 numbers")
    a, b, c, d, e, f = transform[:6]
    try:
        return PixelGrid(_crs(image, properties), (a, b, c, d, e, f), int(shape[0]), int(shape[1]))
    except GridError as error:
        raise FormatError(f"{image.where} has an invalid grid: {error}") from error


def _crs(image: Fields, properties: Fields) -> str:
    for holder in (image, properties):
        code = holder.text("proj:code")
        if code is not None:
            if not _CODE.fullmatch(code):
                raise holder.wrong("proj:code", "a code such as EPSG:32633")
            return code
        epsg = holder.integer("proj:epsg")
        if epsg is not None:
            return f"EPSG:{epsg}"
        wkt = holder.text("proj:wkt2")
        if wkt:
            return wkt
    raise FormatError(f"{image.where} has no CRS; expected 'proj:code' such as EPSG:32633")


def _checked_dtype(dtype: str | None, image: Fields) -> str:
    if dtype not in _DTYPES:
        raise FormatError(
            f"{image.where} stores {shown(dtype)}; expected 'data_type' of {', '.join(_DTYPES)}"
        )
    return dtype


def _checked_nodata(bands: ParsedBands, image: Fields, *, own: bool) -> float | None:
    integers = bands.dtype is None or not bands.dtype.startswith("float")
    if integers and not own and not bands.nodata_given:
        raise FormatError(
            f"{image.where} does not say which number means no measurement; expected 'nodata' "
            f"(null if there is none)"
        )
    return bands.nodata


def _block_shape(properties: Fields) -> tuple[int, int] | None:
    shape = properties.numbers("deepsalt:block_shape")
    if shape is None:
        return None
    if len(shape) != 2 or not all(v.is_integer() and 1 <= v <= MAX_SIDE_PX for v in shape):
        raise properties.wrong("deepsalt:block_shape", "rows and columns of a file block")
    return int(shape[0]), int(shape[1])


def _assets(item: ItemFields) -> tuple[Asset, ...]:
    """Return the files of the scene, without quicklooks."""
    assets = []
    for name, asset in item.assets.items():
        if _PICTURES & {str(role) for role in asset.entries("roles")}:
            continue
        size = asset.integer("file:size")
        if size is not None and size < 0:
            raise asset.wrong("file:size", "a size in bytes")
        href = absolute_href(asset.values.get("href"), item.base, asset.where)
        assets.append(Asset(name, href, size, asset.text("file:checksum")))
    return tuple(assets)


def _footprint(item: ItemFields) -> Ring:
    ring = item.properties.values.get("deepsalt:footprint")
    if ring is not None:
        return checked_ring(ring, item.where)
    return ring_of(item.geometry, item.where)
