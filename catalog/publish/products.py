"""STAC Items of what deepsalt writes: scene products and mosaics.

Their hrefs are relative to the Items' own places below a store's root, which `href_of` of
`store_catalog.py` gives; `write_item` there adds the links that walking the catalogue needs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pystac

from catalog.extensions import used_extensions
from catalog.geometry import Ring, box_halves, footprint_geometry
from catalog.items.bands import write_nodata
from catalog.items.write import grid_properties, time_properties
from deepsalt.types import REJECTING, Bbox, PixelGrid, QualityFlag, Report

PRODUCTS = "deepsalt-scene-products"
MOSAICS = "deepsalt-mosaics"
MODELS = "deepsalt-models"
"""Collection ids of a store's catalogue."""

ZARR = "application/vnd.zarr; version=3"
ICECHUNK = "application/vnd.zarr+icechunk"
"""None is registered; xpystac opens this one, and NASA's VEDA and others write it."""

GEOJSON = "application/geo+json"
MAX_SOURCES = 1000
"""Maximum links of a mosaic to its sources: a first version may have 10,000s of products."""

_LEVEL = "L4"  # processing extension: model output


class LayerLike(Protocol):
    """A layer of a product, as `deepsalt.layers.Layer` describes it."""

    @property
    def name(self) -> str:
        """Variable name."""

    @property
    def dtype(self) -> str:
        """NumPy name of the stored type."""

    @property
    def fill(self) -> float | int:
        """Value of unwritten cells."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """CF attributes."""


@dataclass(frozen=True, slots=True)
class Source:
    """An Item used as a source.

    Parameters
    ----------
    item_id
        Id of the Item.
    href
        Its location: URL, absolute path, or relative to the Item that names it.
    """

    item_id: str
    href: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a product or mosaic.

    Parameters
    ----------
    created
        When it was written, UTC.
    software
        Version by name of program: ``{"deepsalt": "0.1.0"}``.
    algorithm
        `ALGORITHM_VERSION`: raised whenever the same input gives other results.
    model
        Item of the model, see `catalog.publish.models.mlm_item`.
    model_digest
        SHA-256 over weights and card.
    sources
        Its source Items; for a version of a mosaic, those added since the previous one.
    simulated
        Whether any pixel was simulated.
    label
        What `salinity` measures: ``ec_method``, ``depth``, ``reference_temperature``.
    """

    created: datetime
    software: Mapping[str, str]
    algorithm: int
    model: Source
    model_digest: str
    sources: tuple[Source, ...]
    simulated: bool
    label: Mapping[str, str] = field(default_factory=dict)


def product_item(
    name: str,
    layers: Sequence[LayerLike],
    provenance: Provenance,
    *,
    href: str,
    footprint: Ring,
    start: datetime | None,
    end: datetime | None,
    grid: PixelGrid,
    report: Report,
    scene_key: str,
) -> pystac.Item:
    """Return the Item of a scene product.

    Parameters
    ----------
    name
        Name of the product: the Item's id.
    layers
        Layers of its Zarr group.
    provenance
        Its origin.
    href
        The Zarr group, relative to the Item's place (``../../../scenes/<name>.zarr``) or absolute.
    footprint
        Corners (longitude, latitude), degrees WGS84, closed ring.
    start, end
        Start and end of the acquisition, UTC; None if unknown.
    grid
        The scene's own grid.
    report
        Its pixels.
    scene_key
        `Acquisition.key` of the scene.
    """
    geometry, bbox = footprint_geometry(footprint)
    properties = {
        **time_properties(start, end),
        **grid_properties(grid),
        **_processing(provenance),
        **_counts(report),
        "deepsalt:scene_key": scene_key,
    }
    assets = {
        "product": _group(href, layers, grid, "Surface salinity of the scene"),
        **_arrays(href, layers, grid),
    }
    return _item(
        PRODUCTS,
        provenance,
        assets,
        id=name,
        geometry=geometry,
        bbox=bbox,
        when=start,
        about=properties,
    )


def mosaic_item(
    name: str,
    layers: Sequence[LayerLike],
    provenance: Provenance,
    *,
    href: str,
    snapshot_id: str,
    quicklook_href: str | None,
    bbox: Bbox,
    start: datetime | None,
    end: datetime | None,
    grid: PixelGrid,
    report: Report,
    version: str,
    periods: Sequence[str],
    predecessor: Source | None = None,
    export_href: str | None = None,
) -> pystac.Item:
    """Return the Item of a published version of a mosaic.

    The mosaic is a snapshot of an Icechunk repository. The Item leaves out its bucket and region,
    for which STAC's storage extension has fields: whoever found the Item knows where the store is,
    and it may have been moved.

    Parameters
    ----------
    name
        Id of the Item.
    layers
        Layers of the mosaic.
    provenance
        Its origin; `sources` names the products that this version added. The first `MAX_SOURCES`
        are linked; ``deepsalt:products_added`` counts all.
    href
        The Icechunk repository, relative to the Item's place (``../../../mosaic``) or absolute.
    snapshot_id
        Icechunk's id of the version's snapshot.
    quicklook_href
        PNG for display, relative to the Item's place or absolute; None if there is none.
    bbox
        West, south, east, north, degrees WGS84; west east of east crosses 180 degrees.
    start, end
        Start and end of its periods, UTC; None if unknown.
    grid
        Grid of the mosaic.
    report
        Pixels of all periods.
    version
        Id of the version.
    periods
        Ids of its periods, in order of time.
    predecessor
        Item of the previous version; None if there is none.
    export_href
        The same version as plain Zarr, relative to the Item's place or absolute; None if there is
        none.
    """
    properties = {
        **time_properties(start, end),
        **grid_properties(grid),
        **_processing(provenance),
        **_counts(report),
        "version": version,
        "deepsalt:version": version,
        "deepsalt:periods": list(periods),
        "deepsalt:products_added": len(provenance.sources),
    }
    mosaic = _group(href, layers, grid, "Mosaic of surface salinity", media_type=ICECHUNK)
    mosaic.extra_fields["icechunk:snapshot_id"] = snapshot_id
    assets = {"mosaic": mosaic}
    if export_href is not None:
        assets["export"] = _group(export_href, layers, grid, "The mosaic as plain Zarr")
    if quicklook_href is not None:
        assets["quicklook"] = pystac.Asset(
            quicklook_href,
            title="Quicklook with legend",
            media_type="image/png",
            roles=["thumbnail", "overview"],
        )
    item = _item(
        MOSAICS,
        replace(provenance, sources=provenance.sources[:MAX_SOURCES]),
        assets,
        id=name,
        geometry=box_geometry(bbox),
        bbox=list(bbox),
        when=start,
        about=properties,
    )
    if predecessor is not None:
        item.add_link(_item_link("predecessor-version", predecessor))
    return item


def quality_flags_bitfields() -> list[dict[str, Any]]:
    """Return the classification extension's description of the bits of `quality_flags`."""
    return [
        {
            "name": str(bit.name).lower(),
            "offset": int(bit).bit_length() - 1,
            "length": 1,
            "description": "no estimate" if bit in REJECTING else "estimate with a warning",
            "classes": [
                {"value": 0, "name": "no", "description": f"not {_words(bit)}"},
                {"value": 1, "name": "yes", "description": _words(bit)},
            ],
        }
        for bit in QualityFlag
    ]


def _words(bit: QualityFlag) -> str:
    return str(bit.name).lower().replace("_", " ")


def _item(
    collection: str,
    provenance: Provenance,
    assets: dict[str, pystac.Asset],
    *,
    id: str,
    geometry: dict[str, Any],
    bbox: list[float],
    when: datetime | None,
    about: dict[str, Any],
) -> pystac.Item:
    item = pystac.Item(
        id=id,
        geometry=geometry,
        bbox=bbox,
        datetime=when,
        properties=about,
        stac_extensions=used_extensions(about, *(a.extra_fields for a in assets.values())),
        collection=collection,
        assets=assets,
    )
    for source in provenance.sources:
        item.add_link(_item_link("derived_from", source))
    model = _item_link("derived_from", provenance.model)
    model.extra_fields["mlm:name"] = provenance.model.item_id
    item.add_link(model)
    return item


def _item_link(rel: str, source: Source) -> pystac.Link:
    return pystac.Link(rel, source.href, media_type=GEOJSON, title=source.item_id)


def _processing(provenance: Provenance) -> dict[str, Any]:
    return {
        "created": _text(provenance.created),
        "processing:level": _LEVEL,
        "processing:datetime": _text(provenance.created),
        "processing:software": dict(provenance.software),
        "processing:expression": {"format": "stac-mlm", "expression": provenance.model.href},
        "deepsalt:algorithm": provenance.algorithm,
        "deepsalt:model_digest": provenance.model_digest,
        "deepsalt:simulated": provenance.simulated,
        **{f"deepsalt:{name}": value for name, value in provenance.label.items() if value},
    }


def _counts(report: Report) -> dict[str, Any]:
    return {
        "deepsalt:pixels": report.pixels,
        "deepsalt:pixels_estimated": report.estimated,
        "deepsalt:pixels_by_flag": dict(report.by_flag),
    }


def _group(
    href: str, layers: Sequence[LayerLike], grid: PixelGrid, title: str, *, media_type: str = ZARR
) -> pystac.Asset:
    """Return the asset of a Zarr group, its layers as bands."""
    bands = [
        {
            "name": layer.name,
            "description": _long_name(layer),
            **_values(layer),
            **(
                {"classification:bitfields": quality_flags_bitfields()}
                if layer.name == "quality_flags"
                else {}
            ),
        }
        for layer in layers
    ]
    about = {"bands": bands, **grid_properties(grid)}
    return pystac.Asset(
        href, title=title, media_type=media_type, roles=["data"], extra_fields=about
    )


def _arrays(href: str, layers: Sequence[LayerLike], grid: PixelGrid) -> dict[str, pystac.Asset]:
    """Return an asset per layer, named after it: loaders such as odc-stac treat assets as bands.

    They have no media type: odc-stac skips Zarr's registered one, and loads data without any.
    """
    return {
        layer.name: pystac.Asset(
            f"{href}/{layer.name}",
            title=_long_name(layer),
            roles=["data"],
            extra_fields={**_values(layer), **grid_properties(grid)},
        )
        for layer in layers
    }


def _long_name(layer: LayerLike) -> str:
    return str(layer.attrs.get("long_name", layer.name))


def _values(layer: LayerLike) -> dict[str, Any]:
    """Return type, nodata, unit and thresholds of a layer; NaN is implied for floats."""
    fill = float(layer.fill)
    unit = {"unit": str(layer.attrs["units"])} if "units" in layer.attrs else {}
    if "thresholds" in layer.attrs:
        unit["deepsalt:thresholds"] = layer.attrs["thresholds"]
    return {
        "data_type": layer.dtype,
        **({} if math.isnan(fill) else write_nodata(fill)),
        **unit,
    }


def box_geometry(bbox: Bbox) -> dict[str, Any]:
    """Return a box as GeoJSON, cut in two where it crosses 180 degrees."""
    rings = [[[[w, s], [e, s], [e, n], [w, n], [w, s]]] for w, s, e, n in box_halves(bbox)]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
