"""Items of products, mosaics and models."""

import pystac
import pytest

from catalog.publish.models import mlm_item
from catalog.publish.products import MAX_SOURCES, Source, quality_flags_bitfields
from deepsalt.errors import FormatError
from deepsalt.types import QualityFlag
from tests.catalog.extension_fields import assert_extensions
from tests.catalog.publish.published import GRID, START, model, mosaic, product


def links(item: pystac.Item) -> list[tuple[str, str]]:
    found = [link.to_dict(transform_href=False) for link in item.links]
    return [(link["rel"], link["href"]) for link in found]


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
    assert assets["quality_flags"].href == "../../../scenes/p1.zarr/quality_flags"
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
    assert derived == [
        "https://host/items/scene-1",
        "../../deepsalt-models/2024-06/crust-1-abcdef.json",
    ]


def test_a_mosaic_names_the_products_that_it_added_and_its_model() -> None:
    derived = [href for rel, href in links(mosaic()) if rel == "derived_from"]
    assert derived == [
        "../../deepsalt-scene-products/2024-06/p0.json",
        "../../deepsalt-scene-products/2024-06/p1.json",
        "../../deepsalt-scene-products/2024-06/p2.json",
        "../../deepsalt-models/2024-06/crust-1-abcdef.json",
    ]


def test_a_mosaic_that_added_very_many_products_names_some_and_counts_all() -> None:
    item = mosaic(added=MAX_SOURCES + 5)
    assert [rel for rel, _ in links(item)].count("derived_from") == MAX_SOURCES + 1
    assert item.properties["deepsalt:products_added"] == MAX_SOURCES + 5


def test_a_mosaic_leads_to_the_version_before_it() -> None:
    item = mosaic(predecessor=Source("mosaic-v0", "../2024-05/mosaic-v0.json"))
    assert ("predecessor-version", "../2024-05/mosaic-v0.json") in links(item)


def test_the_first_mosaic_has_none_before_it() -> None:
    assert "predecessor-version" not in {rel for rel, _ in links(mosaic())}


def test_a_mosaic_is_a_snapshot_of_an_icechunk_repository() -> None:
    asset = mosaic().assets["mosaic"]
    assert (asset.href, asset.media_type) == ("../../../mosaic", "application/vnd.zarr+icechunk")
    assert asset.extra_fields["icechunk:snapshot_id"] == "1CECHNKREP0F1RSTCMT0"


def test_a_repository_has_no_assets_of_layers_since_no_file_holds_one() -> None:
    assert list(mosaic(quicklook_href=None).assets) == ["mosaic"]


def test_a_mosaic_that_was_exported_has_the_plain_zarr_group_as_well() -> None:
    asset = mosaic(export_href="../../../exports/v1.zarr").assets["export"]
    assert asset.href == "../../../exports/v1.zarr"
    assert asset.media_type == "application/vnd.zarr; version=3"
    assert [band["name"] for band in asset.extra_fields["bands"]] == ["salinity", "quality_flags"]


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
