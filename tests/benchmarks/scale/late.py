"""What a late scene costs in a store that has many: `python -m tests.benchmarks.scale.late`.

One tiny scene is mapped by a run, beside 100, 1,000 or 10,000 products that are there: in a folder
in memory (/dev/shm, where there is one), and in a bucket whose server answers 10 ms late. CPU and
wall time and the requests of the run are what to look at: they shall not grow with the store.
Products that are there are SIMULATED, copies of one, put down at other places; tiles that are there
say what they are made of and hold no pixels, except those that the late scene makes anew.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from icechunk import IcechunkStore

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.grid import MosaicGrid
from deepsalt.grid.crs import footprint
from deepsalt.model.load import model_ref
from deepsalt.mosaic import Wanted, all_period_tiles
from deepsalt.objects import Objects
from deepsalt.products import mark_done, prefix_of, product_name, read_marker
from deepsalt.products.marker import product_key
from deepsalt.scenes import base
from deepsalt.store import Store
from deepsalt.types import Acquisition
from deepsalt.versions import Build, Done, Job, Version, open_repository, write_tile
from flows.config import Export, MosaicConfig, RunConfig, Selection
from flows.publication import link_items, publish_version, scene_keys, write_items
from flows.run.run import run
from tests.benchmarks.measure import peak_rss_mb
from tests.benchmarks.scale.continent import lattice
from tests.benchmarks.scale.growth import SCENE_PX, SPACING_PX, TILES
from tests.faults.proxy import Answer, Forward, Request, serve
from tests.servers.s3 import serving_s3

SIZES = (100, 1000, 10_000)
QUICK = (5, 50)
LATENCY_S = 0.01
BUCKET = "salt"
_AT_ONCE = 16
_LOG = "DEEPSALT_BENCHMARK_REQUESTS"
"""Names the file in which the server writes a line per request."""
Row = dict[str, Any]


def scenes(number: int) -> list[Acquisition]:
    """Scenes that are there, and a last one that comes late, over four tiles between others."""
    found = list(lattice(number + 1, size_px=SCENE_PX, spacing_px=SPACING_PX))
    middle = found[number // 2].grid
    a, _, west, _, e, top = middle.transform
    corner = (a, 0.0, west + a * SPACING_PX // 2, 0.0, e, top + e * SPACING_PX // 2)
    grid = replace(middle, transform=corner)
    late = replace(found[-1], grid=grid, footprint=footprint(grid))
    return [*found[:-1], late]


def fill(store: Path, number: int) -> None:
    """Make a store with so many products and their mosaic."""
    base.SENSORS["generic"] = ("tests.benchmarks.blank", "Reader")
    ref = model_ref()
    grid = MosaicGrid("EPSG:32634", 30.0, (15.0, 15.0), **TILES)
    opened = Store.create(store, grid=grid, model=ref.digest)
    first, *others = scenes(number)[:-1]
    with tempfile.TemporaryDirectory() as folder:
        _run(_catalogue(Path(folder), [first]), str(store))
    pattern = read_marker(opened, product_name(first, ref))
    objects = {
        key: opened.objects.read(f"{prefix_of(pattern.name)}/{key}") for key, _, _ in pattern.files
    }

    def put(scene: Acquisition) -> None:
        name = product_name(scene, ref)
        for key, data in objects.items():
            path = store / prefix_of(name) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        marker = replace(
            pattern,
            name=name,
            key=product_key(scene, ref),
            scene_key=scene.key,
            scene_id=scene.scene_id,
            acquisition_id=scene.acquisition_id,
            start=scene.start,
            end=scene.end,
            grid=scene.grid,
            footprint=scene.footprint,
        )
        write_items(opened, scene, ref, marker)
        keys.update(scene_keys(scene, marker.name))
        mark_done(opened, marker)

    keys: set[str] = set()
    for scene in others:
        put(scene)
    wanted = Wanted(opened)
    mosaic = open_repository(opened.objects)
    period_tiles = all_period_tiles(opened)
    Build(mosaic, wanted, _leave_empty, simulated=wanted.is_simulated, facts=_facts)(period_tiles)
    link_items(opened, keys)
    head = mosaic.head()
    assert head is not None
    publish_version(opened, mosaic, head)


def _leave_empty(into: IcechunkStore, job: Job) -> None:
    """Say what a tile is made of, and leave its pixels out: nobody reads them."""
    write_tile(into, job, ())


def _facts(parent: Version | None, done: Sequence[Done]) -> dict[str, Any]:
    return dict(parent.facts) if parent else {"sensors": [], "newest": None}


def _catalogue(folder: Path, found: list[Acquisition]) -> Path:
    add_items(folder / "catalogue", map(to_item, found))
    return folder / "catalogue"


def _run(catalogue: Path, out: str) -> None:
    config = RunConfig(
        selection=Selection(catalogue=str(catalogue)),
        out=out,
        mosaic=MosaicConfig(export=Export(to="none")),
    )
    result = run(config)
    if result.exit_code:
        raise SystemExit(f"the run failed: {result.scenes[0].reason}")


def late(number: int, store: str, warm: str) -> Row:
    """Let the last scene come to a store that has the others, and tell what it cost."""
    base.SENSORS["generic"] = ("tests.benchmarks.blank", "Reader")
    *_, last = scenes(number)
    with tempfile.TemporaryDirectory() as folder:
        # Imports, weights, fonts and connections: once per process.
        _run(_catalogue(Path(folder, "first"), scenes(1)[:1]), warm)
        catalogue = _catalogue(Path(folder), [last])
        before, wall_s, cpu_s = _requests(), time.perf_counter(), time.process_time()
        _run(catalogue, store)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    row = {"wall_s": wall_s, "cpu_s": cpu_s, "peak_rss_mb": peak_rss_mb()}
    return row if before is None else {**row, "requests": (_requests() or 0) - before}


def _requests() -> int | None:
    """Return how many requests the server has had, where it tells."""
    log = os.environ.get(_LOG)
    return None if log is None else len(Path(log).read_text().splitlines())


def compare(sizes: Sequence[int], repeats: int) -> list[Row]:
    """Return one row per place and size: the best of so many runs, as machines are noisy."""
    rows = []
    memory = Path("/dev/shm")
    for number in sizes:
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
            full = Path(place, "full")
            _elsewhere("--fill", str(number), str(full))
            for where, found in (
                ("folder in memory", _in_folder(number, full, Path(place), repeats)),
                ("S3, 10 ms", _in_bucket(number, full, Path(place), repeats)),
            ):
                best = min(found, key=lambda row: row["cpu_s"])
                best["wall_s"] = min(row["wall_s"] for row in found)
                row = {
                    "name": f"late, {where}",
                    "case": f"beside {number} products, SIMULATED",
                    "products": number,
                    **{k: round(v, 3) for k, v in best.items()},
                }
                rows.append(row)
                print("".join(f"{row.get(name, '-')!s:>24}" for name in _COLUMNS), flush=True)
    return rows


_COLUMNS = ("name", "products", "wall_s", "cpu_s", "requests", "peak_rss_mb")


def _in_folder(number: int, full: Path, place: Path, repeats: int) -> list[Row]:
    found = []
    for turn in range(repeats):
        copy = Path(shutil.copytree(full, place / f"copy{turn}"))
        found.append(_elsewhere("--late", str(number), str(copy), str(place / f"warm{turn}")))
        shutil.rmtree(copy)
    return found


def _in_bucket(number: int, full: Path, place: Path, repeats: int) -> list[Row]:
    found = []
    with serving_s3(place / "s3", BUCKET) as url, as_anybody(url):
        for turn in range(repeats):
            _upload(full, Objects.of(f"s3://{BUCKET}/full{turn}"))
        with _slowed(url, place) as environment:
            for turn in range(repeats):
                stores = (f"s3://{BUCKET}/{name}{turn}" for name in ("full", "warm"))
                found.append(_elsewhere("--late", str(number), *stores, env=environment))
    return found


@contextmanager
def _slowed(url: str, place: Path) -> Iterator[dict[str, str]]:
    """Put a latency before a server; yield the environment of who asks through it."""
    told = place / "proxy"
    port = urlsplit(url).port
    process = get_context("spawn").Process(target=serve, args=(_wait, port, told), daemon=True)
    process.start()
    try:
        while not told.exists():
            time.sleep(0.01)
        yield {
            **os.environ,
            "AWS_ENDPOINT_URL": told.read_text(),
            _LOG: str(told.with_suffix(".requests")),
        }
    finally:
        process.terminate()
        process.join()


async def _wait(request: Request, forward: Forward) -> Answer:
    await asyncio.sleep(LATENCY_S)
    return await forward()


@contextmanager
def as_anybody(url: str) -> Iterator[None]:
    names = {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "any-secret",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _upload(folder: Path, objects: Objects) -> None:
    def send(path: Path) -> None:
        objects.write(path.relative_to(folder).as_posix(), path.read_bytes())

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(send, filter(Path.is_file, folder.rglob("*"))):
            pass


def _elsewhere(*args: str, env: dict[str, str] | None = None) -> Row:
    command = [sys.executable, "-m", __spec__.name, *args]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    row: Row = json.loads(done.stdout or "{}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fill", nargs=2, metavar=("PRODUCTS", "STORE"), help="fill one here")
    parser.add_argument(
        "--late", nargs=3, metavar=("PRODUCTS", "STORE", "WARM"), help="run one here"
    )
    parser.add_argument("--quick", action="store_true", help="few products")
    parser.add_argument("--repeats", type=int, default=3, help="runs per row; the best counts")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="products that are there"
    )
    parser.add_argument("--out", type=Path, default=Path("build/late.json"))
    args = parser.parse_args()
    if args.fill:
        fill(Path(args.fill[1]), int(args.fill[0]))
        return
    if args.late:
        print(json.dumps(late(int(args.late[0]), *args.late[1:])))
        return
    print("".join(f"{name:>24}" for name in _COLUMNS))
    rows = compare(QUICK if args.quick else args.sizes, args.repeats)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
