"""A mosaic of 200,000 shards that are references alone."""

import os
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
                    await store.set(layer.key((0, y, x)), buffer.from_bytes(data))
        digest = (index + 1).to_bytes(8, "little")
        await store.set(f"tile_digest/c/0/{row}/{column}", buffer.from_bytes(digest))
