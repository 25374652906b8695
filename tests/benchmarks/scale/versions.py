"""What a commit and an opening cost as a mosaic grows: `python -m tests.benchmarks.scale.versions`.

Tiles are real in number and place and tiny in size: each shard is an object of 600 bytes, just too
large to lie in a manifest. Bytes of a commit are all that it writes beside the shards. Peaks are of
a process of its own. `--crc` writes and reads real tiles with and without a checksum per chunk.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import icechunk
import numcodecs
import numpy as np
import zarr
from icechunk import IcechunkStore
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.grid import Frame, MosaicGrid, Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store.periods import Period
from deepsalt.types import Report
from deepsalt.versions import Build, Job, Mosaic, create_mosaic, open_mosaic, open_repository
from deepsalt.versions.arrays import COUNTS, PERIODS
from deepsalt.versions.records import slots_of
from deepsalt.versions.repository import MAIN
from deepsalt.versions.storage import PREFIX
from tests.benchmarks.measure import peak_rss_mb

SIZES = (10, 1000, 10_000)
ACROSS = 100  # tiles of a row of the continent
ORIGIN = Tile(-50, -60)
SHARD_BYTES = 600


def tile(index: int) -> Tile:
    return Tile(ORIGIN.ix + index % ACROSS, ORIGIN.iy + index // ACROSS)


def period(index: int) -> Period:
    return Period(date(1990 + index, 1, 1), date(1990 + index, 12, 31))


def compose(store: IcechunkStore, job: Job) -> Report:
    """Write the objects of a tile without its pixels."""
    sync(put_tiles(store, [job]))
    return Report(4_194_304, 4_194_304)


async def put_tiles(store: IcechunkStore, jobs: Iterable[Job]) -> None:
    buffer = default_buffer_prototype().buffer
    for job in jobs:
        slot, row, column = job.cell
        n = job.frame.grid.tile_shards
        for layer in MOSAIC_LAYERS:
            for y in range(row * n, row * n + n):
                for x in range(column * n, column * n + n):
                    data = os.urandom(SHARD_BYTES)
                    await store.set(layer.key((slot, y, x)), buffer.from_bytes(data))
        cell = f"{slot}/{row}/{column}"
        digest = job.digest.to_bytes(8, "little")
        counts = np.full(COUNTS, 4_194_304, "<u4").tobytes()
        await store.set(f"tile_digest/c/{cell}", buffer.from_bytes(digest))
        await store.set(f"tile_counts/c/{cell}/0", buffer.from_bytes(counts))
        names = "\n".join(job.products).encode()
        text = [1, len(names)]  # as the codec of strings has it: how many, and how long each is
        packed = np.array(text, "<u4").tobytes() + names
        data = zstandard_frame(packed)
        await store.set(f"tile_products/c/{cell}", buffer.from_bytes(data))


def zstandard_frame(data: bytes) -> bytes:
    return bytes(numcodecs.Zstd(level=3).encode(data))


def names(tile: Tile) -> list[str]:
    return [f"enmap_{tile.id}_{n:02d}T{hash((tile, n)) & 0xFFFFFFFF:08x}_01" for n in range(6)]


def fill(mosaic: Mosaic, tiles: range, slots: Iterable[int]) -> None:
    """Commit tiles without the protocol, as fast as it goes."""
    session = mosaic.repository.writable_session(MAIN)
    group = zarr.open_group(session.store, mode="r+")
    for slot in slots:
        days = (period(slot).start - date(1970, 1, 1)).days  # type: ignore[operator]
        group["period"][slot] = days  # type: ignore[index]
        group["period_bounds"][slot] = [days, days + 364]  # type: ignore[index]
        jobs = (Job(mosaic.frame, slot, tile(i), tuple(names(tile(i))), 0) for i in tiles)
        sync(put_tiles(session.store, jobs))
    session.commit("filled", metadata={})


def written(folder: Path) -> int:
    kinds = ("manifests", "snapshots", "transactions", "refs")
    return sum(
        p.stat().st_size for kind in kinds for p in (folder / kind).rglob("*") if p.is_file()
    )


def commit_row(
    folder: Path, mosaic: Mosaic, tiles: int, periods: int, repeats: int = 5
) -> dict[str, Any]:
    slots_of(mosaic.objects, map(period, range(periods)))
    times, sizes = [], []
    for repeat in range(repeats):
        where = (period(0), tile(tiles // 2 + repeat))
        wanted = [*names(where[1]), f"new-{repeat}-{tiles}"]
        before = written(folder / PREFIX)
        started = time.perf_counter()
        Build(mosaic, lambda _, found={where: wanted}: found, compose)([where])  # type: ignore[misc]
        times.append(time.perf_counter() - started)
        sizes.append(written(folder / PREFIX) - before)
    return {
        "tiles": tiles,
        "periods": periods,
        "commit_s": round(statistics.median(times), 3),
        "commit_kB": round(statistics.median(sizes) / 1000),
    }


def open_row(place: str) -> dict[str, Any]:
    """Open the mosaic in a process of its own: cold is the first call, with all it imports."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.scale.versions", "--open", place],
        check=True,
        capture_output=True,
        text=True,
    )
    row: dict[str, Any] = json.loads(found.stdout)
    return row


def opened(place: str) -> dict[str, Any]:
    base = peak_rss_mb()
    started = time.perf_counter()
    ds = open_mosaic(open_repository(Objects.of(place)))
    cold = time.perf_counter() - started
    peak = peak_rss_mb()
    started = time.perf_counter()
    ds = open_mosaic(open_repository(Objects.of(place)))
    warm = time.perf_counter() - started
    started = time.perf_counter()
    bare = open_mosaic(open_repository(Objects.of(place)), chunks=None)
    without = time.perf_counter() - started
    started = time.perf_counter()
    part = ds.salinity.isel(period=0, y=slice(0, 6 * 2048), x=slice(0, 12 * 2048))
    optimized = part.__dask_optimize__(part.__dask_graph__(), part.__dask_keys__())
    graph = len(dict(optimized))
    return {
        "chunks": int(np.prod(ds.salinity.data.numblocks)),
        "pixels": list(bare.salinity.shape),
        "open_cold_s": round(cold, 2),
        "open_warm_s": round(warm, 2),
        "without_dask_s": round(without, 2),
        "imported_MB": round(base),
        "peak_MB": round(peak),
        "graph_of_288_shards": graph,
        "graph_s": round(time.perf_counter() - started, 2),
    }


def crc_rows(repeats: int = 40) -> list[dict[str, Any]]:
    """CPU time of a tile with and without checksums, the best of many runs in turn."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(1.0, 0.5, (2048, 2048))).astype(np.float32)
    flags = np.repeat(np.repeat(rng.integers(0, 4, (64, 64)), 32, 0), 32, 1).astype(np.uint16)
    cases = {
        "salinity": (values, BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")),
        "quality_flags": (flags, BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")),
    }
    rows = []
    for name, (data, codec) in cases.items():
        took: dict[tuple[bool, str], list[float]] = {}
        for _ in range(repeats):
            for crc in (False, True):
                repository = icechunk.Repository.create(icechunk.in_memory_storage())
                session = repository.writable_session(MAIN)
                array = zarr.create_array(
                    session.store,
                    shape=data.shape,
                    chunks=(256, 256),
                    shards=(1024, 1024),
                    dtype=data.dtype,
                    compressors=[codec, Crc32cCodec()] if crc else [codec],
                )
                started = time.process_time()
                array[:] = data
                middle = time.process_time()
                array[:]
                took.setdefault((crc, "write"), []).append(middle - started)
                took.setdefault((crc, "read"), []).append(time.process_time() - middle)
        row: dict[str, Any] = {"layer": name}
        for what in ("write", "read"):
            without, with_it = (min(took[crc, what]) for crc in (False, True))
            row[f"{what}_ms"] = round(without * 1000, 1)
            row[f"{what}_crc_ms"] = round(with_it * 1000, 1)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    heads = list(rows[0])
    print("| " + " | ".join(heads) + " |\n|" + "---:|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(row[head]) for head in heads) + " |", flush=True)


def measure(folder: Path, sizes: Iterable[int], periods: int) -> tuple[list[Any], list[Any]]:
    mosaic = create_mosaic(Objects.of(folder), Frame.of(MosaicGrid.from_options("EPSG:6933")))
    commits, openings, done = [], [], 0
    for size in sizes:
        fill(mosaic, range(done, size), range(periods))
        done = size
        mosaic = open_repository(Objects.of(folder))
        commits.append(commit_row(folder, mosaic, size, periods))
        shards = size * periods * 4 * len(MOSAIC_LAYERS)
        openings.append({"shards": shards, **open_row(str(folder))})
    return commits, openings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--open")
    parser.add_argument("--crc", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--periods", type=int, default=1)
    asked = parser.parse_args()
    assert asked.periods <= PERIODS
    if asked.open:
        print(json.dumps(opened(asked.open)))
    elif asked.crc:
        show(crc_rows())
    else:
        with tempfile.TemporaryDirectory() as folder:
            commits, openings = measure(Path(folder), asked.sizes, asked.periods)
        show(commits)
        print()
        show(openings)


if __name__ == "__main__":
    main()
