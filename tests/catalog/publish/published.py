"""Items of a product, a mosaic, a model and a source, as a publisher makes them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pystac

from catalog.geometry import Ring
from catalog.items import to_item
from catalog.publish.models import mlm_item
from catalog.publish.products import Provenance, Source, mosaic_item, product_item
from deepsalt.types import PixelGrid, Report
from tests.catalog.scenes import SQUARE, acquisition

GRID = PixelGrid("EPSG:6933", (30.0, 0.0, 0.0, 0.0, -30.0, 3000.0), 100, 100)
REPORT = Report(10_000, 9_000, (("cloud", 1000),))
START = datetime(2024, 6, 30, 8, tzinfo=UTC)
CARD = {
    "name": "crust-1",
    "family": "crust",
    "version": "1.0",
    "bands_nm": [500.0, 510.5],
    "band_width_nm": 12.5,
    "normalisation": "standardised",
    "outputs": {"salinity": "median"},
    "ec_method": "1:2",
    "limits": ["surface only"],
    "weights_sha256": "ab" * 32,
}


@dataclass(frozen=True)
class Layer:
    name: str
    dtype: str
    fill: float
    attrs: dict[str, Any] = field(default_factory=dict)


LAYERS = (
    Layer("salinity", "float32", float("nan"), {"long_name": "surface EC", "units": "dS m-1"}),
    Layer("quality_flags", "uint16", 1, {"long_name": "why"}),
)


def provenance(**changes: Any) -> Provenance:
    plain: dict[str, Any] = {
        "created": datetime(2024, 7, 1, tzinfo=UTC),
        "software": {"deepsalt": "0.1.0"},
        "algorithm": 1,
        "model": Source("crust-1-abcdef", "../../deepsalt-models/2024-06/crust-1-abcdef.json"),
        "model_digest": "abcdef" * 8,
        "sources": (Source("scene-1", "https://host/items/scene-1"),),
        "simulated": False,
        "label": {"ec_method": "1:2", "depth": ""},
    }
    return Provenance(**(plain | changes))


def product(
    name: str = "p1",
    *,
    start: datetime | None = START,
    footprint: Ring = SQUARE,
    **changes: Any,
) -> pystac.Item:
    return product_item(
        name,
        LAYERS,
        provenance(**changes),
        href=f"../../../scenes/{name}.zarr",
        footprint=footprint,
        start=start,
        end=None,
        grid=GRID,
        report=REPORT,
        scene_key="enmap-l2a/DT1_001/01.04.02",
    )


def mosaic(added: int = 3, **changes: Any) -> pystac.Item:
    plain: dict[str, Any] = {
        "href": "../../../mosaic",
        "snapshot_id": "1CECHNKREP0F1RSTCMT0",
        "quicklook_href": "../../../quicklook.png",
        "bbox": (10.0, 45.0, 11.0, 46.0),
        "start": START,
        "end": datetime(2024, 8, 31, tzinfo=UTC),
        "grid": GRID,
        "report": REPORT,
        "version": "v1",
        "periods": ["2024-06-01/2024-08-31"],
    }
    products = "../../deepsalt-scene-products/2024-06"
    sources = tuple(Source(f"p{n}", f"{products}/p{n}.json") for n in range(added))
    return mosaic_item("mosaic-v1", LAYERS, provenance(sources=sources), **(plain | changes))


def model() -> pystac.Item:
    return mlm_item(
        CARD,
        digest="abcdef" * 8,
        weights_href="/models/crust/model.safetensors",
        card_href="/models/crust/card.json",
        created=START,
    )


def source(name: str, **changes: Any) -> pystac.Item:
    return to_item(acquisition(scene_id=name, acquisition_id=name, **changes))
