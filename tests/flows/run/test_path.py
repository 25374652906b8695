"""The way of a scene from its Item to the published mosaic, as ARCHITECTURE.md tells it."""

import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from flows.config import Compute, RunConfig, SceneConfig, Selection
from flows.run.run import run

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("catalog/", "deepsalt/", "flows/")
MOST_FILES = 15

TURNS = {
    ("catalog/items/parse.py", "parse_item"): "an Item becomes an acquisition",
    ("flows/run/driver.py", "_start"): "it is given to a worker",
    ("deepsalt/fetch/scenes.py", "local"): "its files are brought there",
    ("deepsalt/cube/load.py", "open_scene"): "they become a lazy cube",
    ("deepsalt/cube/quality.py", "mark_valid"): "pixels that cannot be used are flagged",
    ("deepsalt/predict/cube.py", "predict_cube"): "the others are predicted",
    ("deepsalt/products/write.py", "write_product"): "the layers become a product",
    ("deepsalt/products/write.py", "mark_done"): "the product counts",
    ("deepsalt/compositing/compose.py", "composite_measured"): "it becomes part of a tile",
    ("deepsalt/versions/commit.py", "_publish"): "the tile becomes part of a version",
}
"""Where a scene takes another form, or goes from one hand to another."""


def told() -> list[str]:
    """Return the files that ARCHITECTURE.md lists under its heading."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    part = text.split("## The way of a scene")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. `([\w/]+\.py)`", part, flags=re.MULTILINE)


def test_a_scene_passes_the_files_that_the_architecture_lists(
    catalogue: Path, tmp_path: Path
) -> None:
    passed: set[str] = set()
    taken: set[tuple[str, str]] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        location = (_file(frame), frame.f_code.co_name)
        if event != "call" or location not in TURNS:
            return
        taken.add(location)
        # An Item begins where it is parsed; how it was found is another story.
        stack = [frame] if location[1] == "parse_item" else [*_callers(frame)]
        passed.update(file for each in stack if (file := _file(each)).startswith(ROOMS))

    config = RunConfig(
        selection=Selection(catalogue=str(catalogue), limit=1),
        out=str(tmp_path / "store"),
        scene=SceneConfig(compute=Compute(threads=1)),
    )
    before = sys.getprofile()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        run(config)
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]  # None is what takes it away
    assert taken == TURNS.keys()
    assert sorted(passed) == sorted(told())


def test_files_on_the_way_of_a_scene_are_few_enough_to_be_read() -> None:
    assert len(told()) <= MOST_FILES


def _callers(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _file(frame: FrameType) -> str:
    path = frame.f_code.co_filename
    root = f"{ROOT}/"
    return path.removeprefix(root) if path.startswith(root) else ""
