"""Requests to the object store by scene and tile: `python -m tests.benchmarks.scale.requests`.

Scenes of real size from a reader without I/O, SIMULATED, are mapped by one station into a bucket of
a server on loopback whose proxy counts; then their mosaic is built, published and its Items linked.
A few scenes and several more give the part that grows with them. Numbers of requests depend neither
on the machine nor on its load.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

from deepsalt.model.load import model_ref
from deepsalt.scenes import base
from deepsalt.store import Store
from flows.config import Access, Export, Grid, MosaicConfig, Scratch
from flows.engines.station import Station, Task
from flows.publication import link_items, model_keys, scene_keys
from flows.run.mosaic import build_at
from flows.run.stores import find_store, open_store
from tests.benchmarks.scale.continent import lattice
from tests.benchmarks.scale.late import as_anybody
from tests.faults.proxy import Answer, Forward, Request, serve
from tests.servers.s3 import serving_s3
from tests.waiting import wait_until

SIZES = (4, 16)
QUICK = (1, 2)
SCENE_PX, SPACING_PX = 1200, 1000
_BUCKET = "salt"
_UTM = Grid(crs="EPSG:32634", resolution_m=30.0)
Count = Counter[str]


def compare(few: int, many: int, *, size_px: int = SCENE_PX) -> dict[str, float]:
    """Return the requests of each scene and tile, and of a run besides.

    What composing reads counts as of the scenes, whose pixels they are.
    """
    base.SENSORS["generic"] = ("tests.benchmarks.blank", "Reader")
    with tempfile.TemporaryDirectory() as folder, _counted(Path(folder)) as log:
        small, large = (_one(number, log, size_px) for number in (few, many))
    more = {what: large[what] - small[what] for what in large}
    scenes, tiles = many - few, more["tiles"]
    reads = sum(more[f"{what} reads"] for what in ("map", "build", "link")) / scenes
    writes = (more["map writes"] + more["link writes"]) / scenes
    of_tile = more["build writes"] / tiles if tiles else 0.0
    return {
        "reads_per_scene": round(reads, 1),
        "writes_per_scene": round(writes, 1),
        "writes_per_tile": round(of_tile, 1),
        **{f"of {many} scenes: {what}": number for what, number in sorted(large.items())},
        **{f"of {few} scenes: {what}": number for what, number in sorted(small.items())},
    }


def _one(number: int, log: Callable[[], Count], size_px: int) -> Count:
    """Map, build and link so many scenes; return the requests of each."""
    out = f"s3://{_BUCKET}/{number}"
    ref = model_ref()
    open_store(out, ref, _UTM, find_store(out))
    spacing = size_px * SPACING_PX // SCENE_PX
    scenes = list(lattice(number, size_px=size_px, spacing_px=spacing))
    station = Station(Task(out, None, "cpu", Scratch(), Access()), threads=2)
    found: Count = Counter()

    def count(what: str, before: Count) -> None:
        found.update({f"{what} {kind}": n for kind, n in (log() - before).items()})

    try:
        station.introduce()
        before = log()
        products = [station.process(scene).product for scene in scenes]
        count("map", before)
    finally:
        station.close()
    before = log()
    found["tiles"] = build_at(out, MosaicConfig(grid=_UTM, export=Export(to="none"))).tiles
    count("build", before)
    store = Store.open(out)
    before = log()
    keys = {
        key
        for scene, product in zip(scenes, products, strict=True)
        for key in scene_keys(scene, product)
    }
    link_items(store, keys | model_keys(store))
    count("link", before)
    return found


@contextmanager
def _counted(folder: Path) -> Iterator[Callable[[], Count]]:
    """Serve a bucket behind a proxy; yield what tells how many requests it had."""
    told = folder / "proxy"
    with serving_s3(folder / "s3", _BUCKET) as url:
        process = get_context("spawn").Process(
            target=serve, args=(_pass, urlsplit(url).port, told), daemon=True
        )
        process.start()
        try:
            wait_until(told.exists, "the proxy does not answer", alive=process.is_alive)

            def log() -> Count:
                lines = told.with_suffix(".requests").read_text().splitlines()
                methods = (line.split()[1] for line in lines)
                return Counter("reads" if each in ("GET", "HEAD") else "writes" for each in methods)

            with as_anybody(told.read_text()):
                yield log
        finally:
            process.terminate()
            process.join()


async def _pass(request: Request, forward: Forward) -> Answer:
    return await forward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few scenes")
    args = parser.parse_args()
    json.dump(compare(*(QUICK if args.quick else SIZES)), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
