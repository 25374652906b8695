"""What is compared: each row, how often it runs and how it is extrapolated; each case."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from deepsalt.types import Acquisition, PixelGrid
from tests.benchmarks.scenes import AS_REAL, BAND, LAYOUTS, PIXEL

LOCAL, HTTP = "local files", "HTTP with 20 ms latency"
LATENCY_S = 0.020
REAL_CASES = tuple((layout, LOCAL) for layout in AS_REAL)
"""Scenes of which much can never become an estimate: ours beside the floor, which reads it all."""
CASES = (*((layout, place) for place in (LOCAL, HTTP) for layout in LAYOUTS), *REAL_CASES)
QUICK_CASES = ((PIXEL, LOCAL), (BAND, HTTP), *REAL_CASES)

FLOOR, STAGE1, STAGE2 = "floor", "ours, threads", "ours, stage 2"
DEPTH = 3
"""Scenes on each other."""
SEVERAL = 4
"""Scenes of one run."""
SOME_BANDS = 8
"""Bands that loaders read which take each band by itself."""

Run = Callable[[Acquisition, Path], None]


@dataclass(frozen=True)
class Window:
    """Part of a scene that is read, pixels."""

    row: int
    column: int
    height: int
    width: int

    def grid(self, whole: PixelGrid) -> PixelGrid:
        rows = slice(self.row, self.row + self.height)
        return whole.window(rows, slice(self.column, self.column + self.width))


def middle(acquisition: Acquisition, edge_px: int = 512) -> Window:
    """Return a window in the middle of a large scene, on file blocks; a small scene whole."""
    sizes = (acquisition.grid.height, acquisition.grid.width)
    first = [edge_px if size >= 2 * edge_px else 0 for size in sizes]
    extent = [edge_px if start else size for start, size in zip(first, sizes, strict=True)]
    return Window(*first, *extent)


def whole(acquisition: Acquisition) -> Window:
    """Return the window that is the whole scene."""
    return Window(0, 0, acquisition.grid.height, acquisition.grid.width)


def once(_: Acquisition) -> float:
    """Return the factor of what is measured in full."""
    return 1.0


def one_of_them(_: Acquisition) -> float:
    """Return the share of one of the scenes on each other."""
    return 1.0 / DEPTH


def one_of_several(_: Acquisition) -> float:
    """Return the share of one of the scenes of a run."""
    return 1.0 / SEVERAL


def parts(acquisition: Acquisition) -> float:
    """Return how many times the middle window and some bands go into the scene."""
    window, grid = middle(acquisition), acquisition.grid
    area = grid.height * grid.width / (window.height * window.width)
    return area * len(acquisition.bands) / SOME_BANDS


@dataclass(frozen=True)
class Row:
    """One way to map a scene.

    Parameters
    ----------
    module, name
        Of the context manager that gives what maps a scene; what it starts before is not timed.
    times
        What is measured is so many times smaller than the whole.
    repeated
        Whether it runs as often as the floor; slow rows run once.
    note
        What is measured instead of the whole.
    before
        Name of the function that prepares a folder, untimed.
    everywhere
        Whether it differs by case; else it runs in the first one.
    """

    module: str
    name: str
    times: Callable[[Acquisition], float] = once
    repeated: bool = True
    note: str = ""
    before: str = ""
    everywhere: bool = True

    def start(self) -> AbstractContextManager[Run]:
        """Start it; only then is imported what it needs."""
        started: AbstractContextManager[Run] = self.find(self.name)()
        return started

    def prepare(self, acquisition: Acquisition, out: Path) -> None:
        """Do what comes before and is not timed."""
        if self.before:
            self.find(self.before)(acquisition, out)

    def find(self, name: str) -> Callable[..., Any]:
        """Return a function of the row's module."""
        found: Callable[..., Any] = getattr(import_module(f"tests.benchmarks.{self.module}"), name)
        return found


PART = "reading alone, extrapolated from 8 of 224 bands of at most 512 x 512 px"
OF_SEVERAL = f"{SEVERAL} scenes, per scene"
ROWS = {
    FLOOR: Row("others.floor", "on_files"),
    STAGE1: Row("mapping", "on_threads"),
    "ours, threads, scenes": Row(
        "mapping", "several_on_threads", one_of_several, note=OF_SEVERAL, everywhere=False
    ),
    "ours, 2 processes": Row(
        "mapping", "several_on_workers", one_of_several, note=OF_SEVERAL, everywhere=False
    ),
    STAGE2: Row(
        "depth",
        "stage_two",
        one_of_them,
        note="mosaic of scenes three deep, per scene",
        before="three_deep",
        everywhere=False,
    ),
    "odc-stac, 3-D bands": Row("others.loaders", "odc_cube", before="quality_here"),
    "odc-stac, default": Row("others.loaders", "odc_default", parts, repeated=False, note=PART),
    "stackstac, VRT per band": Row(
        "others.loaders", "stackstac_vrt", parts, repeated=False, note=PART
    ),
    "published student": Row(
        "others.published",
        "with_published",
        repeated=False,
        note="our reading and masks; gives no interval",
    ),
}
