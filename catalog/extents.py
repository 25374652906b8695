"""Collection documents: what each collection is, shipped as JSON, and the extent of its Items."""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from catalog.fields import shown, utc
from deepsalt.documents import parse_document
from deepsalt.errors import FormatError

STAC_VERSION = "1.1.0"
_EARLIEST = "1970-01-01T00:00:00Z"  # no hyperspectral satellite is older; one end is required


def collection_document(collection: str) -> dict[str, Any]:
    """Return the document of one of our collections, or a plain one for any other id."""
    for shipped in files("catalog").joinpath("collections").iterdir():
        if shipped.name == f"{collection}.json":
            return parse_document(shipped.read_bytes(), shipped.name)
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": collection,
        "description": f"Items of the provider's collection {collection}.",
        "license": "other",
        "extent": {},
        "links": [],
    }


def catalog_document(identifier: str, children: Sequence[str], title: str = "") -> dict[str, Any]:
    """Return a root catalogue with relative links to its collections."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": identifier,
        **({"title": title} if title else {}),
        "description": "Hyperspectral scenes and what deepsalt derived from them.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *({"rel": "child", "href": href, "type": "application/json"} for href in children),
        ],
    }


def grown_extent(known: dict[str, Any] | None, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the extent of a collection after Items are added.

    Parameters
    ----------
    known
        The collection's earlier document; None for a new one.
    items
        Documents of the added Items.

    Notes
    -----
    An extent only grows: it may be wider than the Items after some were replaced. Items without a
    date count for space, not for time. Across 180 degrees the box spans all longitudes.
    """
    boxes = [_flat(item["bbox"]) for item in items if item.get("bbox")]
    spans = [span for item in items for span in (_span(item["properties"]),) if span]
    extent = (known or {}).get("extent") or {}
    if isinstance(extent, dict):
        boxes += extent.get("spatial", {}).get("bbox", [])[:1]
        spans += [span for span in extent.get("temporal", {}).get("interval", [])[:1] if all(span)]
    return {
        "spatial": {"bbox": [_union(boxes)]},
        "temporal": {
            "interval": [
                [min((s[0] for s in spans), key=_moment), max((s[1] for s in spans), key=_moment)]
                if spans
                else [_EARLIEST, None]
            ]
        },
    }


def _span(properties: dict[str, Any]) -> list[str] | None:
    if properties.get("deepsalt:date_unknown"):
        return None
    moment = properties.get("datetime")
    start, end = (properties.get(f"{end}_datetime") or moment for end in ("start", "end"))
    return [start, end] if start and end else None


def _moment(text: str) -> datetime:
    moment = utc(text)
    if moment is None:
        raise FormatError(f"{shown(text)} is not a time; expected for example 2025-07-08T10:44:07Z")
    return moment


def _flat(bbox: Sequence[float]) -> list[float]:
    """Return west, south, east, north of a box that may also have heights."""
    return [*bbox[:2], *bbox[3:5]] if len(bbox) == 6 else list(bbox)


def _union(boxes: list[list[float]]) -> list[float]:
    if not boxes:
        return [-180.0, -90.0, 180.0, 90.0]
    west, south, east, north = zip(*boxes, strict=True)
    if any(w > e for w, e in zip(west, east, strict=True)):
        return [-180.0, min(south), 180.0, max(north)]
    return [min(west), min(south), max(east), max(north)]
