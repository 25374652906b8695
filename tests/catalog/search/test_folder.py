"""A folder that is read in several processes gives what one process gives."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from catalog.items import to_item
from catalog.local import add_items
from catalog.search import folder
from deepsalt.errors import FormatError
from deepsalt.progress import Progress, Silent
from deepsalt.types import Acquisition
from flows.config import Selection
from flows.run.selection import Selected, find_scenes
from tests.benchmarks.scale.continent import continent

NUMBER = 30
OLD = list(continent(NUMBER))
NEWER = [
    replace(scene, version="01.06.00", scene_id=scene.scene_id.replace("V010502", "V010600"))
    for scene in OLD[::4]
]
NEWEST = sorted(
    [*NEWER, *(scene for number, scene in enumerate(OLD) if number % 4)], key=lambda each: each.key
)


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"], autouse=True)
def _cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be so many cores; ten links are then enough for processes."""
    # The module, which has the name of its function.
    monkeypatch.setattr(import_module("catalog.search.search"), "cores", lambda: request.param)
    monkeypatch.setattr(folder, "FEW_ITEMS", 10)
    monkeypatch.setattr(folder, "ITEMS_AT_A_TIME", 4)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A catalogue of scenes, and of newer versions of some of them."""
    add_items(tmp_path, map(to_item, [*OLD, *NEWER]))
    return tmp_path


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def find(place: Path, progress: Progress | None = None, **values: Any) -> Selected:
    return find_scenes(Selection(catalogue=str(place), **values), progress)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def item(place: Path, scene: Acquisition) -> Path:
    return place / "enmap-l2a" / scene.scene_id / f"{scene.scene_id}.json"


def test_the_newest_versions_are_found_as_they_were_and_in_order(wide: Path) -> None:
    assert list(find(wide).scenes) == NEWEST


def test_an_item_that_cannot_be_used_is_refused_and_the_others_are_found(wide: Path) -> None:
    bad = NEWEST[7]
    change(item(wide, bad), geometry=None)
    selected = find(wide)
    (reason,) = selected.refused.values()
    assert "footprint" in reason
    assert list(selected.scenes) == [scene for scene in NEWEST if scene is not bad]


def test_a_damaged_document_ends_the_search_and_is_named(wide: Path) -> None:
    item(wide, NEWEST[7]).write_text("{")
    with pytest.raises(FormatError, match=f"{NEWEST[7].scene_id}.json is not valid JSON"):
        find(wide)


def test_a_catalogue_among_items_is_walked_and_a_link_back_is_not(wide: Path) -> None:
    moved = item(wide, NEWEST[7])
    there = moved.rename(moved.with_name("moved.json"))
    links = [{"rel": "item", "href": there.name}, {"rel": "child", "href": "../collection.json"}]
    moved.write_text(json.dumps({"type": "Catalog", "id": "more", "links": links}))
    assert list(find(wide).scenes) == NEWEST


def test_scenes_that_state_no_cloud_are_counted(wide: Path) -> None:
    for scene in NEWEST[5:8]:
        path = item(wide, scene)
        properties = json.loads(path.read_text())["properties"]
        del properties["eo:cloud_cover"]
        change(path, properties=properties)
    notes = Notes()
    find(wide, notes, max_cloud_pct=100)
    assert notes.said == ["3 more would match, but state no cloud cover: --max-cloud excludes them"]
