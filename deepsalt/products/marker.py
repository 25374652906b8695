"""What a scene product is called and what its completion marker says."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

from deepsalt.errors import StoreError
from deepsalt.store.files import digest_of, read_json
from deepsalt.store.versions import report_from, report_to
from deepsalt.types import Acquisition, ModelRef, PixelGrid, Report, version_order

ALGORITHM_VERSION = 2
"""Raised by hand when the same input gives other results; part of every product's name."""

MARKER = "complete.json"
LABEL_ATTRS = ("ec_method", "depth", "reference_temperature")
"""Attributes of `salinity` that say which quantity it is; products that differ are never mixed."""


@dataclass(frozen=True, slots=True)
class ProductMarker:
    """What a complete product is, and what the mosaic and the catalogue need to know of it.

    Parameters
    ----------
    name
        Folder name without ``.zarr``.
    key
        Product key, see `product_key`.
    scene_key
        `Acquisition.key`.
    collection, scene_id, acquisition_id, version, sensor
        As in `Acquisition`.
    start, end
        UTC begin and end of the acquisition; None when unknown.
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
    attrs
        Attributes the writer added: ``simulated`` and the like.
    files
        Path inside the group, SHA-256 and size in bytes of each file.
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
    attrs: Mapping[str, Any]
    files: tuple[tuple[str, str, int], ...]

    @property
    def place(self) -> tuple[str, str]:
        """Collection and acquisition id: what all provider versions of a scene share."""
        return self.collection, self.acquisition_id

    @property
    def day(self) -> date | None:
        """UTC day of the acquisition; None when unknown."""
        return self.start.astimezone(UTC).date() if self.start else None

    @property
    def simulated(self) -> bool:
        """Whether the pixels were simulated."""
        return bool(self.attrs.get("simulated"))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        times = {name: iso(getattr(self, name)) for name in ("start", "end", "created")}
        plain = {"grid": asdict(self.grid), "report": report_to(self.report), **times}
        plain |= {"label": dict(self.label), "attrs": dict(self.attrs)}
        return {**{name: getattr(self, name) for name in self.__slots__}, **plain}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Return the marker that `to_dict` described."""
        grid = document["grid"]
        times = {name: _moment(document[name]) for name in ("start", "end", "created")}
        parsed = {
            "grid": PixelGrid(**{**grid, "transform": tuple(grid["transform"])}),
            "footprint": tuple((lon, lat) for lon, lat in document["footprint"]),
            "report": report_from(document["report"]),
            "files": tuple((path, digest, size) for path, digest, size in document["files"]),
        }
        return cls(**{**document, **times, **parsed})


def product_key(acquisition: Acquisition, ref: ModelRef, config_digest: str = "") -> str:
    """Return everything that a product's values depend on, as one string."""
    return f"{acquisition.key}/{ref.digest}/{config_digest}/{ALGORITHM_VERSION}"


def product_name(acquisition: Acquisition, ref: ModelRef, config_digest: str = "") -> str:
    """Return the file-safe name of a product: readable, and unique through a digest of its key."""
    readable = "_".join((acquisition.sensor, acquisition.acquisition_id, acquisition.version))
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in readable)
    return f"{safe[:80]}-{digest_of(product_key(acquisition, ref, config_digest))[:12]}"


def is_complete(path: Path) -> bool:
    """Whether a product was written to its end."""
    return (path / MARKER).is_file()


def read_marker(path: Path) -> ProductMarker:
    """Read the marker of a product.

    Raises
    ------
    StoreError
        The product is unfinished or its marker damaged.
    """
    if not is_complete(path):
        raise StoreError(f"product {path} is unfinished (no {MARKER}); run its scene again")
    document = read_json(path / MARKER)
    try:
        return ProductMarker.from_dict(document)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"marker {path / MARKER} is damaged ({error!r}); remove the product and run its scene "
            "again"
        ) from error


def complete_names(directory: Path) -> set[str]:
    """Return the names of all complete products of a folder, which is listed once."""
    return {path.stem for path in directory.glob("*.zarr") if is_complete(path)}


def complete_products(directory: Path) -> list[ProductMarker]:
    """Return the markers of all complete products of a folder, by name."""
    return [read_marker(directory / f"{name}.zarr") for name in sorted(complete_names(directory))]


def newest_versions(markers: Iterable[ProductMarker]) -> list[ProductMarker]:
    """Keep one product per acquisition: the provider's newest version, then the newest product.

    A scene that was reprocessed, by the provider or by us with another model, counts once.
    """
    newest: dict[tuple[str, str], ProductMarker] = {}
    for marker in markers:
        if marker.place not in newest or _age(newest[marker.place]) < _age(marker):
            newest[marker.place] = marker
    return sorted(newest.values(), key=lambda marker: marker.name)


def _age(marker: ProductMarker) -> tuple[list[tuple[int, int, str]], datetime, str]:
    return version_order(marker.version), marker.created, marker.name


def iso(when: datetime | None) -> str | None:
    """Return a moment as UTC text; None stays None."""
    return when.astimezone(UTC).isoformat() if when else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
