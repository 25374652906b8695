"""One tile: its shards composed and written, one after the other, and sealed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsalt.composite import composite_measured
from deepsalt.grid import MosaicGrid, Region, Tile
from deepsalt.plot.picture import classify
from deepsalt.plot.version import keep_picture
from deepsalt.products import ALGORITHM_VERSION, read_marker, refuse_damaged
from deepsalt.store import write_region
from deepsalt.store.files import digest_of
from deepsalt.store.lease import Lease
from deepsalt.store.versions import Layout, clear_tile, seal_tile
from deepsalt.types import Report


@dataclass(frozen=True, slots=True)
class TileTask:
    """One tile to compose: everything a worker needs to know.

    Parameters
    ----------
    layout
        Where the tiles of the version being built lie.
    period
        Period id.
    tile
        The tile.
    products
        Folders of the products over the tile, sorted by name.
    digest
        What the tile's manifest will carry.
    lease
        The right to write it.
    """

    layout: Layout
    period: str
    tile: Tile
    products: tuple[Path, ...]
    digest: str
    lease: Lease

    @property
    def id(self) -> str:
        """Name for logs and progress: period and tile."""
        return f"{self.period} {self.tile.id}"


def tile_digest(grid: MosaicGrid, tile: Tile, products: Sequence[str]) -> str:
    """Return the SHA-256 (hexadecimal) of all that a tile depends on; names are sorted."""
    return digest_of([ALGORITHM_VERSION, grid.to_dict(), tile.id, list(products)])


def compose_tile(task: TileTask) -> Report:
    """Composite one tile and write it; doing it twice gives the same files.

    Returns
    -------
    Report
        Pixels of the tile.

    Raises
    ------
    StoreError
        A product is damaged or cannot be read, the store cannot be written, or another machine
        took the build over.
    """
    layout, tile = task.layout, task.tile
    for path in task.products:
        created = read_marker(path).created
        with _looking_at(path):
            _refuse_damaged_once(path, task.lease, created)
    task.lease.check()
    clear_tile(layout, task.period, tile)
    report, kinds = Report(), dict[Region, NDArray[np.uint8]]()
    for place, region in layout.shards(tile).items():
        report += _compose_shard(task, *place, region, kinds)
    names = [path.stem for path in task.products]
    task.lease.check()
    manifest = seal_tile(
        layout, task.period, tile, digest=task.digest, products=names, report=report
    )
    keep_picture(layout, manifest, kinds.items())
    return report


def _compose_shard(
    task: TileTask, row: int, column: int, region: Region, kinds: dict[Region, NDArray[np.uint8]]
) -> Report:
    """Composite one shard and write it, noting what it looks like; nothing where none measured."""
    layout, edge = task.layout, task.layout.grid.shard_px
    rows, columns = (slice(first * edge, (first + 1) * edge) for first in (row, column))
    grid = layout.grid.tile_grid(task.tile).window(rows, columns)
    ds = composite_measured(task.products, grid, block_px=edge)
    if ds is None:
        return Report(edge**2, by_flag=(("outside", edge**2),))
    task.lease.check()
    kinds[region] = classify(ds["salinity"].values, ds["quality_flags"].values)
    index = layout.periods.index(task.period)
    return write_region(ds, layout.group, region, period_index=index)


@lru_cache(maxsize=1024)
def _looking_at(_path: Path) -> threading.Lock:
    """Return what is held while a product is looked at: no second thread does the same."""
    return threading.Lock()


@lru_cache(maxsize=1024)
def _refuse_damaged_once(path: Path, _lease: Lease, _created: datetime) -> None:
    """Refuse a damaged product; looked at once for all tiles of a build in this process."""
    refuse_damaged(path)
