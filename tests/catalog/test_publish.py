"""Items of products, mosaics and models, and the catalogue of a store."""

import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from catalog.models import mlm_item
from catalog.publish import Provenance, Source, mosaic_item, product_item, quality_flags_bitfields
from catalog.search import Query, search
from catalog.store_catalog import rebuild_catalog, write_item
from deepsalt.errors import FormatError
from deepsalt.types import PixelGrid, QualityFlag, Report
from tests.catalog.core_schema import assert_valid
from tests.catalog.scenes import SQUARE

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
        "model": Source("crust-1-abcdef", "./crust-1-abcdef.json"),
        "model_digest": "abcdef" * 8,
        "sources": (Source("scene-1", "https://host/items/scene-1"),),
        "simulated": False,
        "label": {"ec_method": "1:2", "depth": ""},
    }
    return Provenance(**(plain | changes))


def product(name: str = "p1", **changes: Any) -> pystac.Item:
    return product_item(
        name,
        LAYERS,
        provenance(**changes),
        href=f"../scenes/{name}.zarr",
        footprint=SQUARE,
        start=START,
        end=None,
        grid=GRID,
        report=REPORT,
        scene_key="enmap-l2a/DT1_001/01.04.02",
    )


def mosaic(**changes: Any) -> pystac.Item:
    plain: dict[str, Any] = {
        "href": "../mosaic.zarr",
        "quicklook_href": "../quicklook.png",
        "bbox": (10.0, 45.0, 11.0, 46.0),
        "start": START,
        "end": datetime(2024, 8, 31, tzinfo=UTC),
        "grid": GRID,
        "report": REPORT,
        "version": "v1",
        "period": "2024-06-01/2024-08-31",
    }
    sources = tuple(Source(f"scene-{n}", f"./p{n}.json") for n in range(3))
    return mosaic_item("mosaic-v1", LAYERS, provenance(sources=sources), **(plain | changes))


def model() -> pystac.Item:
    return mlm_item(
        CARD,
        digest="abcdef" * 8,
        weights_href="/models/crust/model.safetensors",
        card_href="/models/crust/card.json",
        created=START,
    )


def links(item: pystac.Item) -> list[tuple[str, str]]:
    found = [link.to_dict(transform_href=False) for link in item.links]
    return [(link["rel"], link["href"]) for link in found]


@pytest.mark.parametrize("item", [product(), mosaic(), model()], ids=["product", "mosaic", "model"])
def test_published_items_follow_the_core_schema_of_stac(item: pystac.Item) -> None:
    assert_valid(item.to_dict(transform_hrefs=False))


def test_a_product_is_one_zarr_asset_with_its_layers_described() -> None:
    asset = product().assets["product"]
    assert asset.media_type == "application/vnd.zarr; version=3"
    salinity, quality_flags = asset.extra_fields["bands"]
    assert (salinity["unit"], salinity["data_type"]) == ("dS m-1", "float32")
    assert (quality_flags["nodata"], quality_flags["classification:bitfields"]) == (
        1,
        quality_flags_bitfields(),
    )


def test_every_layer_is_an_asset_of_its_own_for_loaders_that_take_assets_for_bands() -> None:
    assets = product().assets
    assert list(assets) == ["product", "salinity", "quality_flags"]
    assert assets["quality_flags"].href == "../scenes/p1.zarr/quality_flags"
    assert assets["quality_flags"].extra_fields["nodata"] == 1


@pytest.mark.parametrize("item", [product(), mosaic()], ids=["product", "mosaic"])
def test_every_asset_with_pixels_has_the_grid(item: pystac.Item) -> None:
    for asset in item.assets.values():
        if asset.roles == ["data"]:
            assert asset.extra_fields["proj:code"] == GRID.crs
            assert asset.extra_fields["proj:shape"] == [GRID.height, GRID.width]
            assert asset.extra_fields["proj:transform"] == list(GRID.transform)


@pytest.mark.parametrize("item", [product(), mosaic()], ids=["product", "mosaic"])
def test_nodata_is_always_a_number_and_left_out_where_it_is_nan(item: pystac.Item) -> None:
    kinds = {
        band["name"]: type(band.get("nodata"))
        for asset in item.assets.values()
        for band in asset.extra_fields.get("bands", [])
    }
    assert kinds == {"salinity": type(None), "quality_flags": int}


def test_every_bit_of_quality_flags_is_described_once_at_its_place() -> None:
    fields = quality_flags_bitfields()
    assert {1 << entry["offset"]: entry["name"] for entry in fields} == {
        int(bit): str(bit.name).lower() for bit in QualityFlag
    }
    assert all([c["value"] for c in entry["classes"]] == [0, 1] for entry in fields)


def test_a_product_names_its_source_and_its_model() -> None:
    derived = [href for rel, href in links(product()) if rel == "derived_from"]
    assert derived == ["https://host/items/scene-1", "./crust-1-abcdef.json"]


def test_a_mosaic_names_every_source() -> None:
    derived = [href for rel, href in links(mosaic()) if rel == "derived_from"]
    assert derived == ["./p0.json", "./p1.json", "./p2.json", "./crust-1-abcdef.json"]


def test_a_mosaic_has_period_box_and_picture() -> None:
    item = mosaic()
    assert item.bbox == [10.0, 45.0, 11.0, 46.0]
    assert item.properties["end_datetime"] == "2024-08-31T00:00:00Z"
    assert item.assets["quicklook"].roles == ["thumbnail", "overview"]
    assert "quicklook" not in mosaic(quicklook_href=None).assets


def test_a_mosaic_across_180_degrees_is_cut_there() -> None:
    geometry = mosaic(bbox=(179.0, 0.0, -179.0, 1.0)).geometry
    assert geometry is not None
    assert geometry["type"] == "MultiPolygon"


def test_a_mosaic_of_unknown_dates_says_so() -> None:
    assert mosaic(start=None, end=None).properties["deepsalt:date_unknown"] is True


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_pixels_are_flagged(simulated: bool) -> None:
    assert product(simulated=simulated).properties["deepsalt:simulated"] is simulated


def test_what_the_label_leaves_open_is_left_out() -> None:
    properties = product().properties
    assert properties["deepsalt:ec_method"] == "1:2"
    assert "deepsalt:depth" not in properties


def test_a_model_item_describes_bands_in_micrometres_and_its_checksum() -> None:
    item = model()
    assert item.id == "crust-1-abcdefabcdef"
    extra = item.assets["model"].extra_fields
    assert extra["bands"][1]["eo:center_wavelength"] == 0.5105
    assert extra["file:checksum"] == "1220" + "ab" * 32


def test_a_card_without_a_name_is_refused() -> None:
    with pytest.raises(FormatError, match="'name'"):
        mlm_item({}, digest="ab", weights_href="w", card_href="c", created=START)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    for item in (product("p1"), product("p2", simulated=True), mosaic(), model()):
        write_item(root / "items", item)
    rebuild_catalog(root)
    return root


def test_a_store_is_a_catalogue_that_pystac_walks_also_after_it_was_moved(
    store: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(store, moved)
    root = pystac.Catalog.from_file(str(moved / "catalog.json"))
    walked = {item.id: item for item in root.get_items(recursive=True)}
    assert set(walked) == {"p1", "p2", "mosaic-v1", "crust-1-abcdefabcdef"}
    assert walked["p1"].get_root() is root
    assert walked["p1"].assets["product"].get_absolute_href() == str(moved / "scenes" / "p1.zarr")


def test_every_document_of_a_store_follows_the_core_schema_of_stac(store: Path) -> None:
    documents = [json.loads(path.read_text()) for path in store.rglob("*.json")]
    assert len(documents) == 8
    for document in documents:
        assert_valid(document)


def test_a_collection_with_simulated_products_says_so(store: Path) -> None:
    path = store / "collections" / "deepsalt-scene-products" / "collection.json"
    assert json.loads(path.read_text())["deepsalt:simulated"] is True


def test_a_store_can_be_searched(store: Path) -> None:
    found = search(store, Query(collections=("deepsalt-scene-products",), datetime="2024-06"))
    assert [item.id for item in found] == ["p1", "p2"]


def test_withdrawn_products_are_not_linked(store: Path) -> None:
    assert rebuild_catalog(store, leave_out={"p2"}) == 3
    assert "p2" not in {item.id for item in search(store, Query())}


def test_rebuilding_changes_nothing_when_nothing_changed(store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.json")}
    rebuild_catalog(store)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.json")} == before


def test_an_item_that_is_there_stays_as_it_is(store: Path) -> None:
    path = write_item(store / "items", product("p1", algorithm=2))
    assert json.loads(path.read_text())["properties"]["deepsalt:algorithm"] == 1


def test_a_damaged_item_is_named(store: Path) -> None:
    (store / "items" / "p1.json").write_text('{"type": "Catalog"}')
    with pytest.raises(FormatError, match=r"p1\.json"):
        rebuild_catalog(store)


def test_a_collection_that_lost_all_its_items_is_no_longer_linked(store: Path) -> None:
    rebuild_catalog(store, leave_out={"mosaic-v1"})
    root = pystac.Catalog.from_file(str(store / "catalog.json"))
    assert "deepsalt-mosaics" not in {child.id for child in root.get_children()}
