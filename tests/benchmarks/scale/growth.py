"""How cost grows with the number of scenes: `python -m tests.benchmarks.scale.growth`.

Two cases and those of `late`, each in a process of its own so that its peak memory is its own.
`plan`: a catalogue of a continent whose Items have no files behind them. `run`: both stages over
tiny scenes from a reader without I/O into a store in memory (/dev/shm, where there is one), so that
what is measured is our overhead and the scheduler's. A cost per scene that does not grow, and tasks
and memory that do not depend on the number of scenes, are what to look for. Milliseconds per scene
are CPU time.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dask.callbacks import Callback

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.grid import MosaicGrid
from deepsalt.model.load import model_ref
from deepsalt.scenes import base
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import RunConfig, Selection
from flows.run.plan import make_plan
from flows.run.run import run
from tests.benchmarks.measure import cpu_s, peak_rss_mb
from tests.benchmarks.scale.continent import continent, lattice

SIZES = {"plan": (100, 1000, 10_000, 100_000), "run": (10, 100, 1000)}
QUICK = {"plan": (50, 500), "run": (5, 25)}
PLACES = 1000
"""Places of a continent; more scenes than these are later ones of the same places."""
SCENE_PX, SPACING_PX = 48, 56
TILES = {"chunk_px": 16, "shard_px": 32, "tile_shards": 2}
"""A mosaic whose tiles are to these scenes what real ones are to real scenes."""
Row = dict[str, Any]


def plan_case(number: int, folder: Path) -> Row:
    """Plan a run over a continent."""
    with _Clock() as clock:
        found = make_plan(_config(folder / "catalogue", folder / "store"))
    return {**clock.row(), "ms_per_scene": clock.ms / number, "tiles": found.tiles}


class _Clock:
    """Adds up wall and CPU time of `with` blocks, that of processes which ended in them included.

    CPU time is what other jobs disturb least.
    """

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> "_Clock":
        self.wall_s -= time.perf_counter()
        self.cpu_s -= cpu_s()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.perf_counter()
        self.cpu_s += cpu_s()

    @property
    def ms(self) -> float:
        """CPU milliseconds."""
        return 1000 * self.cpu_s

    def row(self) -> Row:
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s}


class _Counter(Callback):
    """Counts the tasks that Dask runs in this process."""

    def __init__(self) -> None:
        super().__init__(pretask=self._count)
        self.tasks = 0

    def _count(self, *_: Any) -> None:
        self.tasks += 1


def run_case(number: int, folder: Path) -> Row:
    """Map scenes from a reader without I/O and build their mosaic."""
    base.SENSORS["generic"] = ("tests.benchmarks.blank", "Reader")
    map_scenes(folder / "first", folder / "warm")  # imports, weights, fonts: once per process
    return map_scenes(folder / "catalogue", folder / "store")


def map_scenes(catalogue: Path, out: Path) -> Row:
    grid = MosaicGrid("EPSG:32634", 30.0, (15.0, 15.0), **TILES)
    Store.create(out, grid=grid, model=model_ref().digest)
    with _Clock() as clock, _Counter() as counter:
        result = run(_config(catalogue, out))
    if result.exit_code or result.mosaic is None:
        raise SystemExit(f"the run failed: {result.scenes[0].reason}")
    number = len(result.scenes)
    return {
        **clock.row(),
        "ms_per_scene": clock.ms / number,
        "tasks": counter.tasks / number,
        "tiles": result.mosaic.tiles,
    }


CASES = {"plan": plan_case, "run": run_case}


def _config(catalogue: Path, out: Path) -> RunConfig:
    return RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(out))


def measure(name: str, number: int, folder: Path) -> Row:
    """Run one case in this process."""
    return {**CASES[name](number, folder), "peak_rss_mb": peak_rss_mb()}


def compare(sizes: dict[str, tuple[int, ...]]) -> list[Row]:
    """Return one row per case and number of scenes."""
    rows = []
    memory = Path("/dev/shm")
    for name, numbers in sizes.items():
        for number in numbers:
            near = name == "run" and memory.is_dir()  # a large catalogue would fill the memory
            with tempfile.TemporaryDirectory(dir=memory if near else None) as place:
                if name == "plan":
                    catalogue(Path(place, "catalogue"), number)
                else:
                    _ingest(_small(number), place, "catalogue")
                _ingest(_small(1), place, "first")
                command = [
                    sys.executable,
                    "-m",
                    "tests.benchmarks.scale.growth",
                    "--one",
                    name,
                    str(number),
                    place,
                ]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout)
            row = {key: round(value, 3) for key, value in row.items()}
            rows.append(
                {
                    "name": name,
                    "case": f"{number} scenes, simulated Items",
                    "scenes": number,
                    **row,
                }
            )
            print(_line(rows[-1]), flush=True)
    return rows


def catalogue(folder: Path, number: int) -> None:
    """Write a catalogue of a continent; later scenes of a place differ in name and wavelengths."""
    add_items(folder, map(to_item, continent(min(number, PLACES))))
    collection = folder / "enmap-l2a"
    patterns = [path.read_bytes() for path in sorted(collection.glob("*/*.json"))]
    document = json.loads((collection / "collection.json").read_bytes())
    for index in range(len(patterns), number):
        content = patterns[index % PLACES]
        content = content.replace(b"DT%010d" % (index % PLACES), b"DT%010d" % index)
        # No two scenes of the archive have quite the same band centres.
        content = _FIRST_CENTER.sub(rb"\g<1>0.4184%05d" % (index % 10**5), content, count=1)
        name = json.loads(content)["id"]
        path = collection / name / f"{name}.json"
        path.parent.mkdir()
        path.write_bytes(content)
        link = {"rel": "item", "href": f"./{name}/{name}.json", "type": "application/geo+json"}
        document["links"].append(link)
    (collection / "collection.json").write_text(json.dumps(document))


_FIRST_CENTER = re.compile(rb'("eo:center_wavelength": )[\d.]+')


def _small(number: int) -> Iterator[Acquisition]:
    return lattice(number, size_px=SCENE_PX, spacing_px=SPACING_PX)


def _ingest(scenes: Iterator[Acquisition], *folder: str) -> None:
    add_items(Path(*folder), (to_item(scene) for scene in scenes))


_COLUMNS = (
    "name",
    "scenes",
    "wall_s",
    "cpu_s",
    "ms_per_scene",
    "tasks",
    "tiles",
    "peak_rss_mb",
)
HEADS = "".join(f"{name:>13}" for name in _COLUMNS)


def _line(row: Row) -> str:
    return "".join(f"{row.get(name, '-'):>13}" for name in _COLUMNS)


def main() -> None:
    from tests.benchmarks.scale import late  # which takes its scenes from here

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=3, metavar=("CASE", "SCENES", "FOLDER"), help="run one here")
    parser.add_argument("--quick", action="store_true", help="few scenes")
    parser.add_argument("--out", type=Path, default=Path("build/growth.json"))
    args = parser.parse_args()
    if args.one:
        name, number, folder = args.one
        print(json.dumps(measure(name, int(number), Path(folder))))
        return
    print(HEADS)
    rows = compare(QUICK if args.quick else SIZES)
    rows += late.compare(late.QUICK if args.quick else late.SIZES, repeats=3)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
