"""Recognises an Item: its parts, its sensor, and whether it suits salinity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac

from catalog.fields import Fields, shown
from catalog.items import enmap
from catalog.statistics import sun_elevation
from deepsalt.errors import FormatError, UnsupportedError

ITEM_SENSORS = ("enmap", "prisma", "generic")
_LEVELS = {"enmap": "L2A", "prisma": "L2D"}
_MAX_ASSETS = 200


@dataclass(frozen=True, slots=True)
class ItemFields:
    """An Item's parts; their values are still untrusted.

    Parameters
    ----------
    id, collection
        Ids of the Item and of its collection.
    properties, assets
        Typed access to its properties and, by name, to its assets.
    geometry
        Its GeoJSON geometry, unchecked.
    base
        Where the Item was read: path or URL; None if unknown.
    """

    id: str
    collection: str
    properties: Fields
    assets: dict[str, Fields]
    geometry: Any
    base: str | None

    @property
    def where(self) -> str:
        """What error messages call the Item."""
        return f"item {self.id}"


def take_apart(item: pystac.Item | Mapping[str, Any]) -> ItemFields:
    """Return an Item's parts.

    Raises
    ------
    FormatError
        It is not an Item, or lacks id, collection or assets.
    """
    document: Mapping[str, Any] = (
        item.to_dict(transform_hrefs=False) if isinstance(item, pystac.Item) else item
    )
    if not isinstance(document, Mapping) or document.get("type") != "Feature":
        raise FormatError(f"{shown(document)} is not a STAC Item; expected a GeoJSON Feature")
    item_id = document.get("id")
    if not isinstance(item_id, str) or not item_id.strip() or len(item_id) > 500:
        raise FormatError(f"a STAC Item has {shown(item_id)} as 'id'; expected text")
    where = f"item {item_id}"
    collection = document.get("collection")
    if not isinstance(collection, str) or not collection.strip():
        raise FormatError(f"{where} has {shown(collection)} as 'collection'; expected its id")
    assets = Fields.of(document.get("assets"), f"'assets' of {where}").values
    if not 0 < len(assets) <= _MAX_ASSETS:
        raise FormatError(f"{where} has {len(assets)} assets; expected 1 to {_MAX_ASSETS}")
    return ItemFields(
        id=item_id,
        collection=collection,
        properties=Fields.of(document.get("properties"), f"'properties' of {where}"),
        assets={
            str(name): Fields.of(asset, f"asset {shown(name)} of {where}")
            for name, asset in assets.items()
        },
        geometry=document.get("geometry"),
        base=_self_href(document),
    )


def _self_href(document: Mapping[str, Any]) -> str | None:
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") == "self":
            href = link.get("href")
            return href if isinstance(href, str) else None
    return None


def sensor_of(fields: ItemFields) -> str:
    """Return which reader an Item is for.

    Raises
    ------
    FormatError
        A PRISMA Item of another catalogue: no public one exists, so its conventions are unknown.
    UnsupportedError
        DESIS.
    """
    stated = fields.properties.text("deepsalt:sensor")
    if stated is not None:
        if stated not in ITEM_SENSORS:
            raise fields.properties.wrong("deepsalt:sensor", f"one of {', '.join(ITEM_SENSORS)}")
        return stated
    names = " ".join(
        str(value).lower()
        for value in (
            fields.id,
            fields.collection,
            *(fields.properties.values.get(n) for n in ("platform", "constellation", "mission")),
            fields.properties.values.get("instruments"),
            fields.properties.values.get("eo:instrument"),
        )
    )
    if "desis" in names:
        raise UnsupportedError(
            f"{fields.where} is a DESIS product, which has no short-wave infrared; "
            "salinity needs EnMAP or PRISMA"
        )
    if enmap.is_enmap(fields.id, fields.collection, fields.properties):
        return "enmap"
    if "prisma" in names or fields.id.upper().startswith("PRS_"):
        raise FormatError(
            f"{fields.where} is a PRISMA Item of a foreign catalogue; ingest its .he5 file with "
            f"`deepsalt ingest` instead"
        )
    return "generic"


def refuse_unfit(fields: ItemFields, sensor: str) -> None:
    """Refuse other processing levels and night passes.

    Raises
    ------
    FormatError
        The Item does not state its level.
    UnsupportedError
        The Item is valid but unsuitable for salinity.
    """
    level = fields.properties.text("processing:level")
    wanted = _LEVELS.get(sensor)
    if wanted is not None and level is not None and level.upper().lstrip("L") != wanted[1:]:
        raise UnsupportedError(
            f"{fields.where} has processing level {shown(level)}; salinity needs the surface "
            f"reflectance of {wanted}"
        )
    if wanted is not None and level is None:
        raise FormatError(f"{fields.where} has no 'processing:level'; expected {wanted}")
    elevation = sun_elevation(fields.properties)
    if elevation is not None and elevation <= 0:
        raise UnsupportedError(
            f"{fields.where} was taken at night (sun elevation {elevation:g} degrees); leave it out"
        )
