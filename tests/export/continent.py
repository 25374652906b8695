"""A mosaic of 200,000 shards that are references alone, and what opening it takes.

`python -m tests.export.continent FOLDER` opens the store there in a process of its own and prints
how long it took and the most memory it had.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import zarr
from icechunk import IcechunkStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from deepsalt.grid import Frame, MosaicGrid, Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store import Store
from deepsalt.types import Report
from deepsalt.versions import Mosaic, create_mosaic
from deepsalt.versions.arrays import EPOCH, counts_of
from deepsalt.versions.repository import metadata
from tests.export.world import YEARS

ACROSS = 84
TILES = 7143  # with four shards of seven layers: 200,004
ORIGIN = Tile(-50, -60)
REFERENCE_BYTES = 24  # as many as the name and place of an object take in a manifest


def make(folder: Path) -> Mosaic:
    """Publish a version whose shards cannot be read, but are there."""
    grid = MosaicGrid.from_options("EPSG:6933")
    Store.create(folder, grid=grid, model="ab" * 32)
    mosaic = create_mosaic(Objects.of(folder), Frame.of(grid))
    session = mosaic.repository.writable_session("main")
    group = zarr.open_group(session.store, mode="r+", zarr_format=3)
    start, end = YEARS[0].start, YEARS[0].end
    assert start is not None
    assert end is not None
    days = [(start - EPOCH).days, (end - EPOCH).days]
    group["period"][0], group["period_bounds"][0] = days[0], days  # type: ignore[index]
    sync(put(session.store, mosaic.frame))
    counts = counts_of(Report(TILES * grid.tile_px**2, 0), 0)
    session.commit(
        "made",
        metadata=metadata(
            parent=None, added=set(), removed=set(), tiles=TILES, counts=counts, facts={}
        ),
    )
    return mosaic


async def put(store: IcechunkStore, frame: Frame) -> None:
    buffer, n = default_buffer_prototype().buffer, frame.grid.tile_shards
    for index in range(TILES):
        tile = Tile(ORIGIN.ix + index % ACROSS, ORIGIN.iy + index // ACROSS)
        _, row, column = frame.cell(0, tile)
        for layer in MOSAIC_LAYERS:
            for y in range(row * n, row * n + n):
                for x in range(column * n, column * n + n):
                    data = os.urandom(REFERENCE_BYTES)
                    await store.set(f"{layer.name}/c/0/{y}/{x}", buffer.from_bytes(data))
        digest = (index + 1).to_bytes(8, "little")
        await store.set(f"tile_digest/c/0/{row}/{column}", buffer.from_bytes(digest))


def opened(folder: str) -> dict[str, float]:
    from deepsalt import open_mosaic

    started = time.perf_counter()
    ds = open_mosaic(folder)
    cold_s = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    open_mosaic(folder)
    warm_s = time.perf_counter() - started
    part = ds.salinity.isel(period=0, y=slice(0, 4096), x=slice(0, 8192))
    graph = part.__dask_optimize__(part.__dask_graph__(), part.__dask_keys__())
    return {
        "cold_s": round(cold_s, 2),
        "warm_s": round(warm_s, 2),
        "peak_mb": round(peak_mb),
        "chunks": ds.salinity.data.npartitions,
        "graph_of_32_chunks": len(dict(graph)),
    }


if __name__ == "__main__":
    print(json.dumps(opened(sys.argv[1])))
