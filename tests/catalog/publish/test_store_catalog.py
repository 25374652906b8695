"""The catalogue of a store: what lies where, what links to what, and what it costs."""

import json
import shutil
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.publish.products import MODELS, MOSAICS, PRODUCTS
from catalog.publish.store_catalog import (
    href_of,
    item_key,
    key_of,
    publish_items,
    remove_items,
    write_item,
)
from catalog.search import Query, search
from deepsalt.errors import FormatError, StoreError, UsageError
from deepsalt.objects import Objects, heads, series
from deepsalt.objects.location import check_key
from tests.catalog.core_schema import assert_valid
from tests.catalog.extension_fields import assert_extensions
from tests.catalog.publish.published import START, model, mosaic, product, source
from tests.catalog.publish.walking import document, followed, links, listed, walk
from tests.catalog.scenes import square
from tests.objects.loopback import Loopback

JUNE = f"collections/{PRODUCTS}/2024-06"
ENMAP = "collections/enmap-l2a/collection.json"


def publish(objects: Objects, *items: pystac.Item, **options: Any) -> list[str]:
    keys = [write_item(objects, item) for item in items]
    publish_items(objects, keys, **options)
    return keys


def stored(objects: Objects) -> dict[str, bytes]:
    return {entry.key: objects.read(entry.key) for entry in objects.list()}


def collection_of(objects: Objects, name: str) -> dict[str, Any]:
    return document(objects, f"collections/{name}/collection.json")


def items() -> list[pystac.Item]:
    return [product("p1"), product("p2", simulated=True), mosaic(), model(), source("s1")]


@pytest.fixture
def store(objects: Objects) -> Objects:
    publish(objects, *items())
    return objects


@pytest.mark.parametrize(
    ("item", "place"),
    [
        (product("p1"), f"{JUNE}/p1.json"),
        (product("p1", start=None), f"collections/{PRODUCTS}/undated/p1.json"),
        (mosaic(), f"collections/{MOSAICS}/2024-06/mosaic-v1.json"),
        (mosaic(start=None, end=None), f"collections/{MOSAICS}/undated/mosaic-v1.json"),
        (model(), f"collections/{MODELS}/undated/crust-1-abcdefabcdef.json"),
        (source("s1", start=None, end=None), "collections/enmap-l2a/undated/s1.json"),
        (source("s1", collection="a b"), "collections/a_b-c8687a08aa5d/2024-06/s1.json"),
        (source("catalog"), "collections/enmap-l2a/2024-06/catalog-652f55016243.json"),
    ],
    ids=[
        "product",
        "undated product",
        "mosaic",
        "undated mosaic",
        "model",
        "undated source",
        "odd collection",
        "name of a month's document",
    ],
)
def test_an_item_lies_where_collection_date_and_id_say(item: pystac.Item, place: str) -> None:
    assert item_key(item) == place


def test_an_item_of_an_interval_lies_in_the_month_of_its_begin() -> None:
    item = source("s1")
    item.datetime, item.common_metadata.start_datetime = None, datetime(2023, 12, 31, tzinfo=UTC)
    assert item_key(item) == "collections/enmap-l2a/2023-12/s1.json"


def test_months_are_those_of_utc() -> None:
    newyear = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert key_of("c", newyear, "i") == "collections/c/2023-12/i.json"
    assert key_of("c", newyear.replace(tzinfo=None), "i") == "collections/c/2024-01/i.json"


@given(st.text(), st.none() | st.datetimes(timezones=st.just(UTC)), st.text())
def test_every_id_gives_a_key_that_every_store_takes(
    collection: str, when: datetime | None, item_id: str
) -> None:
    key = key_of(collection, when, item_id)
    check_key(key)
    assert key.count("/") == 3


@given(st.lists(st.text(), unique=True, min_size=2, max_size=2))
def test_different_ids_lie_at_different_places(ids: list[str]) -> None:
    assert len({key_of("c", None, item_id) for item_id in ids}) == 2
    assert len({key_of(collection, None, "i") for collection in ids}) == 2


def test_a_store_leads_to_all_its_items(store: Objects) -> None:
    assert listed(store) == {"p1", "p2", "mosaic-v1", "crust-1-abcdefabcdef", "s1"}


def test_a_store_lists_mosaics_then_products_then_models_then_sources(objects: Objects) -> None:
    publish(objects, source("s1", collection="a"), source("s2"), *items())
    ids = [document(objects, key)["id"] for key in links(objects, "catalog.json", "child")]
    assert ids == [MOSAICS, PRODUCTS, MODELS, "a", "enmap-l2a"]


def test_every_document_of_a_store_follows_the_core_schema_of_stac(store: Objects) -> None:
    found = [*walk(store)]
    assert len(found) == 1 + 4 + 4 + 5
    for key in found:
        assert_valid(document(store, key))


def test_every_item_of_a_store_declares_the_extensions_that_it_uses(store: Objects) -> None:
    for key in walk(store):
        if (found := document(store, key))["type"] == "Feature":
            assert_extensions(found)


def test_every_link_to_the_root_the_parent_and_the_collection_leads_there(store: Objects) -> None:
    for key in walk(store):
        assert set(links(store, key, "root")) == {"catalog.json"}
        for above in links(store, key, "parent"):
            assert key in links(store, above, "child", "item")
        for collection in links(store, key, "collection"):
            assert document(store, collection)["id"] == document(store, key)["collection"]


def test_no_document_holds_an_absolute_link(store: Objects) -> None:
    hrefs = [
        link["href"]
        for key in walk(store)
        for link in document(store, key)["links"]
        if link["rel"] != "derived_from"
    ]
    assert hrefs
    assert all(href.startswith((".", "..")) for href in hrefs)


def test_items_name_what_lies_elsewhere_in_the_store() -> None:
    assert followed(item_key(product()), href_of("scenes/p1.zarr")) == "scenes/p1.zarr"


def test_a_folder_is_a_catalogue_that_pystac_walks_also_after_it_was_moved(tmp_path: Path) -> None:
    publish(Objects.of(tmp_path / "store"), *items())
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "store", moved)
    root = pystac.Catalog.from_file(str(moved / "catalog.json"))
    walked = {item.id: item for item in root.get_items(recursive=True)}
    assert set(walked) == {"p1", "p2", "mosaic-v1", "crust-1-abcdefabcdef", "s1"}
    assert walked["p1"].get_root() is root
    assert walked["p1"].get_collection() is root.get_child(PRODUCTS)
    assert walked["p1"].assets["product"].get_absolute_href() == str(moved / "scenes" / "p1.zarr")
    assert walked["mosaic-v1"].assets["mosaic"].get_absolute_href() == str(moved / "mosaic")


def test_a_store_in_a_folder_can_be_searched(tmp_path: Path) -> None:
    publish(Objects.of(tmp_path / "store"), *items())
    found = search(tmp_path / "store", Query(collections=(PRODUCTS,), datetime="2024-06"))
    assert [item.id for item in found] == ["p1", "p2"]


def test_what_is_only_written_is_not_linked(store: Objects) -> None:
    write_item(store, product("p3"))
    write_item(store, source("s2", collection="new"))
    assert not listed(store) & {"p3", "s2"}


def test_an_item_that_is_there_stays_as_it_is(objects: Objects) -> None:
    write_item(objects, product("p1"))
    key = write_item(objects, product("p1", algorithm=2))
    assert document(objects, key)["properties"]["deepsalt:algorithm"] == 1


def test_writing_an_item_leaves_it_as_it_was(objects: Objects) -> None:
    item = product("p1")
    before = item.to_dict(transform_hrefs=False)
    write_item(objects, item)
    assert item.to_dict(transform_hrefs=False) == before


def test_links_of_walking_that_an_item_brings_are_replaced(objects: Objects) -> None:
    item = source("s1")
    item.add_link(pystac.Link("root", "https://host/catalog.json"))
    item.add_link(pystac.Link("license", "https://host/terms"))
    key = write_item(objects, item)
    found = [(link["rel"], link["href"]) for link in document(objects, key)["links"]]
    assert found == [
        ("root", "../../../catalog.json"),
        ("parent", "./catalog.json"),
        ("collection", "../collection.json"),
        ("license", "https://host/terms"),
    ]


def test_an_item_without_collection_is_refused(objects: Objects) -> None:
    item = source("s1")
    item.collection_id = None
    with pytest.raises(FormatError, match="item s1 has no collection"):
        write_item(objects, item)


def test_a_collection_with_simulated_products_says_so_for_ever(objects: Objects) -> None:
    publish(objects, product("p1"))
    assert "deepsalt:simulated" not in collection_of(objects, PRODUCTS)
    publish(objects, product("p2", simulated=True))
    publish(objects, product("p3"))
    assert collection_of(objects, PRODUCTS)["deepsalt:simulated"] is True


def test_a_collection_keeps_its_title_whatever_it_lists(store: Objects) -> None:
    assert collection_of(store, MOSAICS)["title"] == "Mosaics of surface salinity"


def test_the_extent_of_a_collection_grows_in_space_and_time(objects: Objects) -> None:
    publish(objects, product("p1", footprint=square(10.0, 45.0, 1.0)))
    later = START + timedelta(days=400)
    publish(objects, product("p2", footprint=square(20.0, 30.0, 1.0), start=later))
    extent = collection_of(objects, PRODUCTS)["extent"]
    assert extent["spatial"]["bbox"] == [[10.0, 30.0, 21.0, 46.0]]
    assert extent["temporal"]["interval"] == [["2024-06-30T08:00:00Z", "2025-08-04T08:00:00Z"]]


def test_an_item_without_geometry_widens_no_extent(objects: Objects) -> None:
    item = source("nowhere", footprint=square(50.0, 45.0))
    item.geometry = item.bbox = None
    publish(objects, source("s1", footprint=square(10.0, 45.0, 1.0)), item)
    assert document(objects, ENMAP)["extent"]["spatial"]["bbox"] == [[10.0, 45.0, 11.0, 46.0]]


def test_a_collection_of_undated_items_begins_before_all_satellites(objects: Objects) -> None:
    publish(objects, product("p1", start=None))
    interval = [["1970-01-01T00:00:00Z", None]]
    assert collection_of(objects, PRODUCTS)["extent"]["temporal"]["interval"] == interval


def test_publishing_again_changes_nothing(store: Objects) -> None:
    before = stored(store)
    publish(store, *items())
    assert stored(store) == before


def test_publishing_nothing_makes_nothing(objects: Objects) -> None:
    publish_items(objects, [])
    assert stored(objects) == {}


def test_a_record_is_added_only_where_a_collection_grows(store: Objects) -> None:
    before = heads(store, "records/catalogue")
    publish(store, product("p3"))
    assert heads(store, "records/catalogue") == before
    publish(store, product("p4", start=START + timedelta(days=1)))
    assert heads(store, "records/catalogue") == before | {PRODUCTS: before[PRODUCTS] + 1}


def test_withdrawn_items_are_not_linked(store: Objects) -> None:
    publish_items(store, [f"{JUNE}/p2.json"], leave_out={"p2"})
    assert listed(store) >= {"p1"}
    assert "p2" not in listed(store)
    assert store.read(f"{JUNE}/p2.json")


def test_withdrawn_items_stay_out_when_others_are_published(store: Objects) -> None:
    publish(store, product("p3"), leave_out=lambda name: name == "p2")
    assert listed(store) & {"p1", "p2", "p3"} == {"p1", "p3"}


def test_an_item_that_is_no_longer_withdrawn_is_linked_again(store: Objects) -> None:
    publish_items(store, [f"{JUNE}/p2.json"], leave_out={"p2"})
    publish_items(store, [f"{JUNE}/p2.json"])
    assert "p2" in listed(store)


def test_a_month_that_lost_all_its_items_is_an_empty_catalogue(store: Objects) -> None:
    remove_items(store, [f"{JUNE}/p1.json", f"{JUNE}/p2.json"])
    assert f"{JUNE}/catalog.json" in [*walk(store)]
    assert links(store, f"{JUNE}/catalog.json", "item") == []


def test_removed_items_are_gone_and_not_linked(store: Objects) -> None:
    key = f"{JUNE}/p1.json"
    remove_items(store, [key])
    assert "p1" not in listed(store)
    assert key not in stored(store)


def test_removing_what_is_not_there_changes_nothing(store: Objects) -> None:
    before = stored(store)
    remove_items(store, [f"{JUNE}/p7.json"])
    assert stored(store) == before


def test_removing_leaves_withdrawn_items_out(store: Objects) -> None:
    remove_items(store, [f"{JUNE}/p1.json"], leave_out={"p2"})
    assert links(store, f"{JUNE}/catalog.json", "item") == []


def test_items_that_were_removed_meanwhile_are_passed_over(store: Objects) -> None:
    keys = [write_item(store, product(name)) for name in ("p3", "p4")]
    store.delete(keys[:1])
    publish_items(store, keys)
    assert listed(store) & {"p3", "p4"} == {"p4"}


@pytest.mark.parametrize(
    "key",
    [
        "items/p1.json",
        f"{JUNE}/catalog.json",
        f"collections/{PRODUCTS}/collection.json",
        f"{JUNE}/deep/p1.json",
        f"collections/{PRODUCTS}/June/p1.json",
        "",
    ],
)
def test_a_key_where_no_item_lies_is_refused_before_anything_is_done(
    store: Objects, key: str
) -> None:
    write_item(store, product("p3"))
    before = stored(store)
    for change in (publish_items, remove_items):
        with pytest.raises(UsageError, match="is not the key of an Item"):
            change(store, [f"{JUNE}/p3.json", key])
    assert stored(store) == before


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda item: "{", "not valid JSON"),
        (lambda item: "[]", "not hold a JSON object"),
        (lambda item: json.dumps(item | {"type": "Catalog"}), "not a STAC Item"),
        (lambda item: json.dumps(item | {"collection": "other"}), "not a STAC Item"),
        (lambda item: json.dumps(item | {"collection": None}), "not a STAC Item"),
        (lambda item: json.dumps(item | {"bbox": [1, 2]}), "'bbox'"),
        (lambda item: json.dumps(item | {"bbox": ["west", 2, 3, 4]}), "'bbox'"),
        (lambda item: json.dumps(item | {"properties": 3}), "'properties'"),
        (lambda item: json.dumps(item | {"properties": {"datetime": "June"}}), "'datetime'"),
    ],
    ids=[
        "no JSON",
        "no object",
        "type",
        "collection",
        "no collection",
        "short box",
        "odd box",
        "properties",
        "date",
    ],
)
def test_a_damaged_item_is_named(objects: Objects, damage: Any, complaint: str) -> None:
    key = write_item(objects, product("p1"))
    objects.write(key, damage(document(objects, key)).encode())
    with pytest.raises(FormatError, match=rf"p1\.json.*{complaint}|{complaint}.*p1\.json"):
        publish_items(objects, [key])


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"id": "x", "months": 3, "extent": {}, "simulated": false}',
        b'{"id": "x", "months": [], "extent": {"spatial": 1}, "simulated": false}',
        b'{"id": "x", "months": [], "extent": {"spatial": {"bbox": [["x"]]}}, "simulated": false}',
    ],
    ids=["no JSON", "no object", "empty", "no months", "no extent", "no box"],
)
def test_a_damaged_record_is_named(store: Objects, content: bytes) -> None:
    number = heads(store, "records/catalogue")[PRODUCTS]
    store.write(f"records/catalogue/{PRODUCTS}/{number:010d}.json", content)
    with pytest.raises(FormatError, match=f"records/catalogue/{PRODUCTS}"):
        publish(store, product("p3"))


@pytest.mark.parametrize(
    "key", ["catalog.json", f"collections/{PRODUCTS}/collection.json", f"{JUNE}/catalog.json"]
)
def test_a_damaged_document_is_written_anew(store: Objects, key: str) -> None:
    whole = stored(store)
    store.write(key, b"{")
    publish(store, product("p1"))
    assert stored(store) == whole


def requests_of_one_more(loopback: Loopback, others: int) -> list[str]:
    store = Objects.of(f"s3://salt/{others}")
    months = [datetime(2000 + n // 12 % 20, n % 12 + 1, 2, tzinfo=UTC) for n in range(others)]
    publish(store, product("june"), *(product(f"p{n}", start=at) for n, at in enumerate(months)))
    loopback.asked.clear()
    publish(store, product("new", start=START + timedelta(minutes=1)))
    return [line.replace(f"{others}/", "", 1) for line in loopback.asked]


def test_publishing_costs_the_same_however_many_items_other_months_have(
    loopback: Loopback,
) -> None:
    few, many = (requests_of_one_more(loopback, others) for others in (10, 300))
    assert few == many
    assert len(few) <= 25


def test_old_records_of_a_collection_are_cleared_away(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Records are old as soon as there is a newer one, and no writer is ever slow.
    monkeypatch.setattr(series, "WRITER_PATIENCE", timedelta(seconds=-1))
    monkeypatch.setattr(series, "_now_s", count(0, -10).__next__)
    for day in range(5):
        publish(objects, product(f"p{day}", start=START - timedelta(days=day)))
    records = [entry.key for entry in objects.list(f"records/catalogue/{PRODUCTS}")]
    assert records == [f"records/catalogue/{PRODUCTS}/0000000005.json"]


def test_who_is_always_overwritten_by_others_is_told(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Objects, key: str, data: bytes) -> None:
        """Write what somebody writes who leaves out everything."""

    key = write_item(objects, product("p1"))
    monkeypatch.setattr(Objects, "write", write)
    with pytest.raises(StoreError, match=r"2024-06/catalog\.json keeps being changed by other"):
        publish_items(objects, [key])
