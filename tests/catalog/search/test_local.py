"""The catalogue in a folder: written, moved, walked, damaged."""

import json
import shutil
from pathlib import Path
from typing import Any

import pystac
import pytest

from catalog.items import parse_item, to_item
from catalog.local import add_items, read_item
from catalog.names import file_name
from catalog.search import Query, search
from deepsalt.errors import FormatError, StoreError
from deepsalt.types import Asset
from tests.catalog.core_schema import assert_valid
from tests.catalog.scenes import acquisition, square


def scene(number: int = 1, **changes: Any) -> pystac.Item:
    defaults: dict[str, Any] = {
        "scene_id": f"scene-{number}",
        "acquisition_id": f"DT{number}",
        "footprint": square(10.0 + number, 45.0),
    }
    return to_item(acquisition(**(defaults | changes)))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_adding_the_same_items_again_changes_no_byte(tmp_path: Path) -> None:
    items = [scene(1), scene(2), scene(3, collection="prisma-l2d", sensor="prisma")]
    first = add_items(tmp_path, items)
    before = contents(tmp_path)
    again = add_items(tmp_path, items)
    assert contents(tmp_path) == before
    assert (len(first.added), len(again.unchanged), len(again.replaced)) == (3, 3, 0)


def test_a_changed_item_replaces_the_one_with_its_id(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    report = add_items(tmp_path, [scene(1, cloud_cover_pct=50.0)])
    assert report.replaced == ("scene-1",)
    assert [i.properties["eo:cloud_cover"] for i in search(tmp_path, Query())] == [50.0]


def test_a_report_reads_as_a_sentence(tmp_path: Path) -> None:
    assert str(add_items(tmp_path, [scene(1)])) == "1 added, 0 replaced, 0 unchanged"


def test_pystac_opens_and_walks_the_catalogue(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1), scene(2, collection="generic-reflectance", sensor="generic")])
    root = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    assert sorted(child.id for child in root.get_children()) == ["enmap-l2a", "generic-reflectance"]
    assert sorted(item.id for item in root.get_items(recursive=True)) == ["scene-1", "scene-2"]


def test_every_document_follows_the_core_schema_of_stac(tmp_path: Path) -> None:
    undated = scene(2, start=None, end=None, collection="generic-reflectance", sensor="generic")
    across = scene(3, footprint=square(179.9, 10.0), collection="a provider's", version="")
    add_items(tmp_path, [scene(1), undated, across])
    documents = [json.loads(text) for text in contents(tmp_path).values()]
    assert len(documents) == 7
    for document in documents:
        assert_valid(document)


def test_the_extent_of_a_collection_grows_with_its_items(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    add_items(tmp_path, [scene(5)])
    collection = pystac.Collection.from_file(str(tmp_path / "enmap-l2a" / "collection.json"))
    assert collection.extent.spatial.bboxes == [[11.0, 45.0, 15.3, 45.3]]
    assert collection.extent.temporal.intervals[0][0] is not None


def test_files_inside_the_folder_are_found_after_it_was_moved(tmp_path: Path) -> None:
    inside, outside = tmp_path / "here" / "data" / "a.tif", tmp_path / "elsewhere" / "m.xml"
    assets = (Asset("image", str(inside), 1), Asset("metadata", str(outside), 2))
    add_items(tmp_path / "here", [scene(1, assets=assets)])
    shutil.move(tmp_path / "here", tmp_path / "there")
    (found,) = search(tmp_path / "there", Query())
    assert parse_item(found).asset("image").href == str(tmp_path / "there" / "data" / "a.tif")
    assert parse_item(found).asset("metadata").href == str(outside)


def test_an_acquisition_comes_back_unchanged_from_the_folder(tmp_path: Path) -> None:
    plain = acquisition()
    add_items(tmp_path, [to_item(plain)])
    (found,) = search(tmp_path, Query())
    assert parse_item(found) == plain


def test_one_item_file_can_be_read_by_itself(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    path = tmp_path / "enmap-l2a" / "scene-1" / "scene-1.json"
    assert parse_item(read_item(path)).scene_id == "scene-1"


def test_an_item_that_was_found_can_be_written_as_json_without_reading_other_files(
    tmp_path: Path,
) -> None:
    add_items(tmp_path, [scene(1)])
    (found,) = search(tmp_path, Query())
    (tmp_path / "catalog.json").unlink()
    assert parse_item(found.to_dict()).scene_id == "scene-1"


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", ".hidden", "Salzböden 2024", "x" * 300])
def test_ids_never_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    add_items(tmp_path / "cat", [scene(1, scene_id=name, collection=f"c{name}")])
    assert {path.name for path in tmp_path.iterdir()} == {"cat"}
    assert [item.id for item in search(tmp_path / "cat", Query())] == [name]


def test_different_ids_keep_different_file_names() -> None:
    assert len({file_name(name) for name in ("a/b", "a_b", "a b", "a:b")}) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"text"'])
def test_a_damaged_document_is_named(text: str, tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1), scene(2)])
    damaged = tmp_path / "enmap-l2a" / "scene-2" / "scene-2.json"
    damaged.write_text(text)
    with pytest.raises(FormatError, match=r"scene-2\.json"):
        search(tmp_path, Query())


def test_an_item_without_its_assets_is_named(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    path = tmp_path / "enmap-l2a" / "scene-1" / "scene-1.json"
    path.write_text('{"type": "Feature", "id": "scene-1", "collection": "enmap-l2a"}')
    with pytest.raises(FormatError, match="scene-1"):
        search(tmp_path, Query())


def test_two_cubes_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    cubes = []
    for folder in ("a", "b"):
        path = tmp_path / folder / "cube.tif"
        path.parent.mkdir()
        path.touch()
        assets = (Asset("image", str(path), 1),)
        changes = {"acquisition_id": f"cube-{folder}", "assets": assets, "sensor": "generic"}
        cubes.append(scene(1, **changes, collection="generic-reflectance"))
    add_items(tmp_path / "cat", cubes[:1])
    with pytest.raises(FormatError, match="rename one"):
        add_items(tmp_path / "cat", [scene(2), *cubes[1:]])
    assert {item.id for item in search(tmp_path / "cat", Query())} == {"scene-1", "scene-2"}


def test_a_refused_item_is_told_and_the_others_are_added(tmp_path: Path) -> None:
    nowhere = scene(2)
    nowhere.collection_id = None
    told: list[tuple[str, str]] = []
    report = add_items(
        tmp_path, [scene(1), nowhere, scene(3)], lambda item, why: told.append((item.id, why))
    )
    assert report.added == ("scene-1", "scene-3")
    assert told == [("scene-2", "item scene-2 has no collection; set one before adding it")]
    assert {item.id for item in search(tmp_path, Query())} == {"scene-1", "scene-3"}


def test_an_interrupted_ingest_is_completed_by_the_next(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    lost = tmp_path / "enmap-l2a" / "collection.json"
    lost.unlink()
    add_items(tmp_path, [scene(2)])
    assert {item.id for item in search(tmp_path, Query())} == {"scene-1", "scene-2"}


def test_a_file_is_no_folder_for_a_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StoreError, match="is a file"):
        add_items(path, [scene(1)])


def test_an_item_without_collection_is_refused(tmp_path: Path) -> None:
    item = scene(1)
    item.collection_id = None
    with pytest.raises(FormatError, match="no collection"):
        add_items(tmp_path, [item])


def test_no_temporary_file_is_left_behind(tmp_path: Path) -> None:
    add_items(tmp_path, [scene(1)])
    assert all(path.endswith(".json") for path in contents(tmp_path))
