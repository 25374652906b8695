"""What a search without a result says."""

import re
import shutil
from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from deepsalt.progress import Silent
from flows.config import Selection
from flows.run.selection import find_items, find_scenes


class Listening(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def searched(catalogue: Path, **filters: object) -> str:
    listening = Listening()
    items = find_items(Selection(catalogue=str(catalogue), **filters), listening)  # type: ignore[arg-type]
    assert not items
    return " ".join(listening.notes)


def box(catalogue: Path) -> tuple[float, float, float, float]:
    """Return the bounds of all scenes, rounded outwards."""
    items = find_items(Selection(catalogue=str(catalogue)), Silent())
    boxes = [item.bbox for item in items if item.bbox is not None]
    west, south = (min(each[side] for each in boxes) - 0.1 for side in (0, 1))
    east, north = (max(each[side] for each in boxes) + 0.1 for side in (2, 3))
    return west, south, east, north


def test_where_and_when_the_scenes_are_is_said(catalogue: Path) -> None:
    said = searched(catalogue, bbox=(-60.0, -10.0, -59.0, -9.0))
    assert "it holds 3 scenes, within --bbox" in said
    assert "--bbox leaves out 3" in said


def test_each_filter_says_how_many_scenes_it_leaves_out(catalogue: Path) -> None:
    said = searched(catalogue, collections=("nobody",), datetime="1999")
    assert "--collection leaves out 3" in said
    assert "--datetime leaves out 3" in said


def test_swapped_longitude_and_latitude_are_recognised(catalogue: Path) -> None:
    west, south, east, north = box(catalogue)
    said = searched(catalogue, bbox=(south, west, north, east))
    assert "with longitude and latitude swapped, --bbox" in said
    assert "finds 3 scenes" in said


def test_a_west_beyond_the_east_is_said_to_cross_the_meridian(catalogue: Path) -> None:
    west, south, east, north = box(catalogue)
    said = searched(catalogue, bbox=(east, south, west, north))
    assert "is taken to cross the 180th meridian" in said
    assert "with west and east swapped, not across the 180th meridian" in said


def test_an_empty_catalogue_says_what_fills_it(tmp_path: Path, catalogue: Path) -> None:
    for item in catalogue.rglob("*"):
        if item.is_file() and item.name == "catalog.json":
            text = item.read_text().replace('"child"', '"related"').replace('"item"', '"related"')
            (tmp_path / "catalog.json").write_text(text)
            break
    assert "deepsalt ingest" in searched(tmp_path)


def test_a_run_that_finds_nothing_says_the_same(catalogue: Path) -> None:
    with pytest.raises(UsageError, match=r"it holds 3 scenes.*--datetime leaves out 3"):
        find_scenes(Selection(catalogue=str(catalogue), datetime="1999"))


def test_what_an_item_says_of_its_day_does_not_reach_a_terminal(
    catalogue: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(catalogue, tmp_path / "catalogue"))
    for item in copy.rglob("*.json"):
        text = re.sub(r'"((?:start_)?datetime)": "[^"]*"', r'"\1": "\\u001b[31m"', item.read_text())
        item.write_text(text)
    said = searched(copy, collections=("nobody",))
    assert "it holds 3 scenes" in said
    assert "\x1b" not in said
