"""Items of products, mosaics and models, and the catalogue of a store."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from catalog.items import to_item
from catalog.models import mlm_item
from catalog.publish import Provenance, Source, mosaic_item, product_item, quality_flags_bitfields
from catalog.search import Query, search
from catalog.store_catalog import rebuild_catalog, write_item, write_source
from deepsalt.errors import FormatError
from deepsalt.types import PixelGrid, QualityFlag, Report
from tests.catalog.core_schema import assert_valid
from tests.catalog.extension_fields import assert_extensions
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


@pytest.mark.parametrize("item", [product(), mosaic(), model()], ids=["product", "mosaic", "model"])
def test_published_items_declare_the_extensions_that_they_use(item: pystac.Item) -> None:
    assert_extensions(item.to_dict(transform_hrefs=False))


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


def test_a_model_may_be_used_anywhere() -> None:
    item = model()
    assert item.bbox == [-180.0, -90.0, 180.0, 90.0]
    assert item.geometry is not None


def test_a_model_lists_its_bands_where_its_extension_and_where_stac_want_them() -> None:
    item = model()
    assert item.properties["bands"] == item.assets["model"].extra_fields["bands"]
    (given,) = item.properties["mlm:input"]
    assert given["bands"] == [band["name"] for band in item.properties["bands"]]
    assert given["input"]["dim_order"] == ["batch", "bands"]


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


def source(name: str, **changes: Any) -> pystac.Item:
    return to_item(acquisition(scene_id=name, acquisition_id=name, **changes))


def collection_of(store: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (store / "collections" / name / "collection.json").read_text()
    )
    return document


def hrefs(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def test_a_source_is_listed_by_its_collection_and_found_by_walking(store: Path) -> None:
    assert write_source(store / "items", source("s1")) == "sources/s1.json"
    assert rebuild_catalog(store) == 5
    assert hrefs(collection_of(store, "enmap-l2a"), "item") == ["../../items/sources/s1.json"]
    (found,) = search(store, Query(collections=("enmap-l2a",)))
    assert found.id == "s1"


def test_a_source_whose_collection_is_no_file_name_still_leads_to_it(store: Path) -> None:
    name = write_source(store / "items", source("s1", collection="a b/c"))
    rebuild_catalog(store)
    path = store / "items" / name
    (href,) = hrefs(json.loads(path.read_text()), "collection")
    assert json.loads((path.parent / href).read_text())["id"] == "a b/c"


def test_a_source_without_collection_is_refused(store: Path) -> None:
    item = source("s1")
    item.collection_id = None
    with pytest.raises(FormatError, match="collection"):
        write_source(store / "items", item)


def test_a_source_written_before_sources_had_links_is_listed_as_well(store: Path) -> None:
    write_item(store / "items" / "sources", source("s1"))
    rebuild_catalog(store)
    assert hrefs(collection_of(store, "enmap-l2a"), "item") == ["../../items/sources/s1.json"]


def test_a_source_that_a_collection_lists_is_not_read_again(store: Path) -> None:
    first = store / "items" / write_source(store / "items", source("s1"))
    rebuild_catalog(store)
    first.write_text("{")
    write_source(store / "items", source("s2", simulated=True))
    assert rebuild_catalog(store) == 6
    after = collection_of(store, "enmap-l2a")
    assert len(hrefs(after, "item")) == 2
    assert after["deepsalt:simulated"] is True


def test_the_extent_of_a_source_collection_grows(store: Path) -> None:
    write_source(store / "items", source("s1"))
    rebuild_catalog(store)
    west, *_ = collection_of(store, "enmap-l2a")["extent"]["spatial"]["bbox"][0]
    moved = tuple((longitude - 5.0, latitude) for longitude, latitude in SQUARE)
    write_source(store / "items", source("s2", footprint=moved))
    rebuild_catalog(store)
    assert collection_of(store, "enmap-l2a")["extent"]["spatial"]["bbox"][0][0] == west - 5.0


def test_a_source_that_was_removed_is_no_longer_listed(store: Path) -> None:
    names = [write_source(store / "items", source(name)) for name in ("s1", "s2")]
    rebuild_catalog(store)
    (store / "items" / names[0]).unlink()
    assert rebuild_catalog(store) == 5
    assert hrefs(collection_of(store, "enmap-l2a"), "item") == ["../../items/sources/s2.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: "{",
        lambda d: "[]",
        lambda d: json.dumps({**d, "links": 3}),
        lambda d: json.dumps({**d, "links": [{"rel": "item", "href": 7}, 1]}),
        lambda d: json.dumps({**d, "id": 7}),
        lambda d: json.dumps({**d, "extent": {"spatial": 1}}),
        lambda d: json.dumps({**d, "extent": {"spatial": {"bbox": [["x"]]}}}),
    ],
    ids=["no JSON", "no object", "no links", "odd links", "no id", "no extent", "no box"],
)
def test_a_damaged_source_collection_is_written_anew(
    store: Path, damage: Callable[[dict[str, Any]], str]
) -> None:
    write_source(store / "items", source("s1"))
    rebuild_catalog(store)
    whole = collection_of(store, "enmap-l2a")
    (store / "collections" / "enmap-l2a" / "collection.json").write_text(damage(whole))
    rebuild_catalog(store)
    assert collection_of(store, "enmap-l2a") == whole


def test_a_damaged_new_source_is_named(store: Path) -> None:
    path = store / "items" / write_source(store / "items", source("s1"))
    path.write_text('{"type": "Catalog"}')
    with pytest.raises(FormatError, match=r"s1\.json"):
        rebuild_catalog(store)
