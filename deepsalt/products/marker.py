"""The name of a scene product, and its completion marker."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from deepsalt.grid import Tile
from deepsalt.store.documents import digest_of
from deepsalt.types import Acquisition, ModelRef, PixelGrid, QualityFlag, Report, version_order

ALGORITHM_VERSION = 6
"""Raised by hand whenever the same input gives other results; part of every product's name.

Since 6 the probabilities of a product are one layer.
"""

_UNSAFE = re.compile("[^A-Za-z0-9_-]")

LABEL_ATTRS = ("ec_method", "depth", "reference_temperature")
"""Attributes of `salinity` that tell its quantity; products that differ are never mixed."""


@dataclass(frozen=True, slots=True)
class ProductMarker:
    """Facts of a complete product, for the mosaic and the catalogue.

    Parameters
    ----------
    name
        Name of the product, see `prefix_of`.
    key
        Product key, see `product_key`.
    scene_key
        `Acquisition.key`.
    collection, scene_id, acquisition_id, version, sensor
        As in `Acquisition`.
    start, end
        Start and end of the acquisition, UTC; None if unknown.
    grid
        The scene's own grid.
    footprint
        Corners (longitude, latitude), degrees WGS84, closed ring.
    model_digest, model_family
        As in `ModelRef`.
    created
        When the product was written, UTC.
    report
        Pixels of the scene.
    label
        `LABEL_ATTRS` of the salinity layer.
    chances
        `CHANCE_ATTRS` of the probabilities.
    attrs
        Attributes that the writer added, such as ``simulated``.
    files
        Key inside the group, SHA-256 and size in bytes of each object.
    tiles
        Ids of the tiles of the mosaic that it changes: those under it, and those under other
        provider versions of the acquisition.
    own
        Ids of the tiles under it.
    """

    name: str
    key: str
    scene_key: str
    collection: str
    scene_id: str
    acquisition_id: str
    version: str
    sensor: str
    start: datetime | None
    end: datetime | None
    grid: PixelGrid
    footprint: tuple[tuple[float, float], ...]
    model_digest: str
    model_family: str
    created: datetime
    report: Report
    label: Mapping[str, Any]
    chances: Mapping[str, Any]
    attrs: Mapping[str, Any]
    files: tuple[tuple[str, str, int], ...]
    tiles: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def acquisition_key(self) -> tuple[str, str]:
        """Collection and acquisition id: what all provider versions of a scene share."""
        return self.collection, self.acquisition_id

    @property
    def day(self) -> date | None:
        """UTC day of the acquisition; None if unknown."""
        return self.start.astimezone(UTC).date() if self.start else None

    @property
    def over(self) -> tuple[Tile, ...]:
        """The tiles that it changes."""
        return tuple(map(Tile.from_id, self.tiles))

    @property
    def simulated(self) -> bool:
        """Whether the pixels were simulated."""
        return bool(self.attrs.get("simulated"))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        times = {name: iso(getattr(self, name)) for name in ("start", "end", "created")}
        plain = {"grid": asdict(self.grid), "report": _report_to(self.report), **times}
        plain |= {name: dict(getattr(self, name)) for name in ("label", "chances", "attrs")}
        return {**{name: getattr(self, name) for name in self.__slots__}, **plain}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Return the marker that `to_dict` described."""
        grid = document["grid"]
        times = {name: _moment(document[name]) for name in ("start", "end", "created")}
        parsed = {
            "grid": PixelGrid(**{**grid, "transform": tuple(grid["transform"])}),
            "footprint": tuple((lon, lat) for lon, lat in document["footprint"]),
            "report": _report_from(document["report"]),
            "files": tuple((path, digest, size) for path, digest, size in document["files"]),
            "tiles": tuple(document["tiles"]),
            "own": tuple(document["own"]),
        }
        return cls(**{**document, **times, **parsed})


def prefix_of(name: str) -> str:
    """Return the prefix of a product's Zarr group."""
    return f"scenes/{name}.zarr"


def product_key(acquisition: Acquisition, ref: ModelRef, config_digest: str = "") -> str:
    """Return everything that a product's values depend on, as one string."""
    return f"{acquisition.key}/{ref.digest}/{config_digest}/{ALGORITHM_VERSION}"


def product_name(acquisition: Acquisition, ref: ModelRef, config_digest: str = "") -> str:
    """Return the file-safe name of a product: readable, and unique through a digest of its key."""
    readable = "_".join((acquisition.sensor, acquisition.acquisition_id, acquisition.version))
    safe = _UNSAFE.sub("-", readable)
    return f"{safe[:80]}-{digest_of(product_key(acquisition, ref, config_digest))[:12]}"


def newest_versions(markers: Iterable[ProductMarker]) -> list[ProductMarker]:
    """Keep one product per acquisition: the provider's newest version, then the newest product.

    A scene reprocessed by the provider, or by us with another model, counts once.
    """
    newest: dict[tuple[str, str], ProductMarker] = {}
    for marker in markers:
        key = marker.acquisition_key
        if key not in newest or _age(newest[key]) < _age(marker):
            newest[key] = marker
    return sorted(newest.values(), key=lambda marker: marker.name)


def _age(marker: ProductMarker) -> tuple[list[tuple[int, int, str]], datetime, str]:
    return version_order(marker.version), marker.created, marker.name


def iso(when: datetime | None) -> str | None:
    """Return a moment as UTC text; None stays None."""
    return when.astimezone(UTC).isoformat() if when else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _report_to(report: Report) -> dict[str, Any]:
    counts = {"pixels": report.pixels, "estimated": report.estimated}
    return {**counts, "by_flag": dict(report.by_flag)}


def _report_from(document: dict[str, Any]) -> Report:
    # In the order of their bits, as they were counted: JSON has them by name.
    names = sorted(document["by_flag"], key=lambda name: QualityFlag[name.upper()])
    counts = tuple((name, int(document["by_flag"][name])) for name in names)
    return Report(int(document["pixels"]), int(document["estimated"]), counts)
