"""What tools that know nothing of deepsalt make of a store and of an ingested catalogue."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import odc.stac
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
import rustac
import stac_geoparquet.arrow
import xarray as xr
import zarr
from odc.loader._zarr import XrMemReaderDriver

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.layers import SCENE_LAYERS
from tests.catalog.core_schema import assert_valid
from tests.catalog.extension_fields import assert_extensions
from tests.catalog.scenes import acquisition

Document = dict[str, Any]

# odc-geo uses what affine and shapely are going to retire.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of cubes that differ in everything a table could stumble over."""
    folder = tmp_path_factory.mktemp("mixed")
    changes: tuple[Document, ...] = (
        {},
        {"dtype": "float32", "nodata": math.nan},
        {"dtype": "float32", "nodata": -9999.5, "sun_elevation_deg": None},
        {"dtype": "uint16", "nodata": None, "start": None, "end": None, "overall_quality": None},
    )
    add_items(
        folder,
        [
            to_item(acquisition(scene_id=f"s{n}", acquisition_id=f"s{n}", sensor="generic", **each))
            for n, each in enumerate(changes)
        ],
    )
    return folder


@pytest.fixture(params=["mapped", "catalogue", "mixed"])
def root(request: pytest.FixtureRequest) -> Path:
    """A store, an ingested catalogue, and one of cubes that differ."""
    return Path(request.getfixturevalue(request.param))


def documents(root: Path) -> dict[Path, Document]:
    """Every document that walking the catalogue meets."""
    found: dict[Path, Document] = {}
    waiting = [root / "catalog.json"]
    while waiting:
        path = waiting.pop().resolve()
        found[path] = document = json.loads(path.read_bytes())
        waiting += [
            path.parent / link["href"]
            for link in document["links"]
            if link["rel"] in {"child", "item"}
        ]
    return found


def features(root: Path) -> list[Document]:
    return [each for each in documents(root).values() if each["type"] == "Feature"]


def item_of(store: Path, kind: str) -> pystac.Item:
    """The Item of one product, of the mosaic, or of one EnMAP scene."""
    pattern = {
        "product": "collections/deepsalt-scene-products/*/enmap_*.json",
        "mosaic": "collections/deepsalt-mosaics/*/mosaic-*.json",
        "source": "collections/enmap-l2a/*/ENMAP*.json",
    }[kind]
    return pystac.Item.from_file(str(sorted(store.glob(pattern))[0]))


def test_walking_the_catalogue_meets_every_item(mapped: Path) -> None:
    linked = {path.resolve() for path in mapped.glob("collections/*/*/*.json")}
    assert len(linked) > 8
    assert linked <= documents(mapped).keys()


def test_every_document_follows_the_core_schema(root: Path) -> None:
    for document in documents(root).values():
        assert_valid(document)


def test_every_document_declares_the_extensions_that_it_uses(root: Path) -> None:
    for document in documents(root).values():
        assert_extensions(document)


def test_the_collection_of_every_item_exists_and_its_parent_lists_it(root: Path) -> None:
    everything = documents(root)

    def linked(path: Path, rel: str) -> set[Path]:
        links = everything[path]["links"]
        return {(path.parent / each["href"]).resolve() for each in links if each["rel"] == rel}

    for path, document in everything.items():
        if document["type"] == "Feature":
            (collection,), (parent,) = linked(path, "collection"), linked(path, "parent")
            assert everything[collection]["id"] == document["collection"]
            assert path in linked(parent, "item")
            assert parent == collection or parent in linked(collection, "child")


def through_stac_geoparquet(items: list[Document], path: Path) -> list[Document]:
    stac_geoparquet.arrow.to_parquet(
        stac_geoparquet.arrow.parse_stac_items_to_arrow(items), output_path=path
    )
    return list(stac_geoparquet.arrow.stac_table_to_items(pq.read_table(path)))


def through_rustac(items: list[Document], path: Path) -> list[Document]:
    rustac.write_sync(str(path), items)
    return list(rustac.read_sync(str(path))["features"])


def essence(value: Any, key: str = "") -> Any:
    """What must survive a table, where what is absent and what is null are the same."""
    if isinstance(value, dict):
        inner = {name: essence(each, name) for name, each in value.items()}
        empty = {name for name, each in inner.items() if each is None or each == {} or each == []}
        return {name: each for name, each in inner.items() if name not in empty}
    if isinstance(value, list | tuple | np.ndarray):
        return [essence(each) for each in value]
    if key.endswith(("datetime", "created")) and isinstance(value, str):
        moment = datetime.fromisoformat(value).astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)  # what rustac keeps
    number = isinstance(value, int | np.number) and not isinstance(value, bool)
    return float(value) if number else value


@pytest.mark.parametrize(
    "convert", [through_stac_geoparquet, through_rustac], ids=["stac-geoparquet", "rustac"]
)
def test_items_come_back_from_geoparquet(root: Path, tmp_path: Path, convert: Any) -> None:
    items = features(root)
    back = {item["id"]: item for item in convert(items, tmp_path / "items.parquet")}
    assert back.keys() == {item["id"] for item in items}
    for item in items:
        for field in ("collection", "geometry", "bbox", "properties", "assets", "links"):
            assert essence(back[item["id"]][field]) == essence(item[field]), (item["id"], field)


def test_odc_stac_makes_the_grid_of_a_product_lazily(mapped: Path) -> None:
    item = item_of(mapped, "product")
    named = [layer.name for layer in SCENE_LAYERS]
    (parsed,) = odc.stac.parse_items([item])
    lazy = odc.stac.load([item], bands=named, chunks={})
    assert {str(name): lazy[name].dtype.name for name in lazy.data_vars} == {
        layer.name: layer.dtype for layer in SCENE_LAYERS
    }
    # What the assets lead to is the array of that name.
    for name in named:
        group, _, array = item.assets[name].get_absolute_href().rpartition("/")
        assert zarr.open_group(group, mode="r")[array].shape[-2:] == lazy[name].shape[-2:]
    for box in (*parsed.geoboxes(), lazy.odc.geobox):
        assert str(box.crs.to_epsg()) == item.properties["proj:code"].removeprefix("EPSG:")
        assert list(box.shape) == item.properties["proj:shape"]
        assert list(box.transform)[:6] == item.properties["proj:transform"]


def stored(item: pystac.Item) -> xr.Dataset:
    """The Zarr group of a product's Item, as stored."""
    href = item.assets["product"].get_absolute_href()
    return xr.open_zarr(href, decode_coords="all", decode_times=False, chunks=None)


@pytest.mark.parametrize("chunks", [None, {}], ids=["eager", "lazy"])
def test_odc_stac_loads_the_pixels_through_its_driver_for_xarray(mapped: Path, chunks: Any) -> None:
    item = item_of(mapped, "product")
    expected = stored(item)
    loaded = odc.stac.load([item], driver=XrMemReaderDriver(expected), chunks=chunks)
    assert set(loaded.data_vars) == set(expected.data_vars)
    for name, layer in expected.data_vars.items():
        np.testing.assert_array_equal(loaded[name].isel(time=0).values, layer.values)


def test_the_item_of_the_mosaic_leads_to_the_snapshot_that_readers_see(mapped: Path) -> None:
    asset = item_of(mapped, "mosaic").assets["mosaic"]
    storage = icechunk.local_filesystem_storage(str(asset.get_absolute_href()))
    repository = icechunk.Repository.open(storage)
    assert asset.extra_fields["icechunk:snapshot_id"] == repository.lookup_branch("main")


def test_odc_stac_loads_the_pixels_of_a_source_scene(mapped: Path) -> None:
    item = item_of(mapped, "source")
    loaded = odc.stac.load([item], bands=["image.20"])
    with rasterio.open(item.assets["image"].get_absolute_href()) as file:
        np.testing.assert_array_equal(loaded["image.20"].isel(time=0).values, file.read(20))
