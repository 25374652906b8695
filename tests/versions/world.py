"""A toy composition that fits beside the real protocol: a shard holds the sum of its products.

A product is named ``<x>,<y>-<shard>-<value>``: tile, which of its four shards, what it adds there.
So a tile is a function of its products, and two products of one tile may write different shards.
Which products there are stands in the store itself, an object each.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from icechunk import IcechunkStore

from deepsalt.grid import Frame, MosaicGrid, Tile
from deepsalt.layers import CHANCE, MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store.periods import Period
from deepsalt.types import Report
from deepsalt.versions import Build, Job, Mosaic, create_mosaic, open_mosaic, write_tile
from deepsalt.versions.commit import Done, PeriodTile, Run, Work, in_turn

YEAR = Period(date(2024, 1, 1), date(2024, 12, 31))
BEFORE = Period(date(2023, 1, 1), date(2023, 12, 31))
GRID = MosaicGrid("EPSG:32633", 250.0, (0.0, 0.0), chunk_px=8, shard_px=32, tile_shards=2)
"""Small, but so that a shard with data is too large to lie in a manifest: it is an object."""
PX = GRID.shard_px
ORIGIN = Tile(30, -300)  # in the middle of the zone

Wanted = Callable[[Sequence[PeriodTile]], Mapping[PeriodTile, Collection[str]]]

_PRODUCTS = "records/products"


def tile(x: int, y: int = 0) -> Tile:
    return Tile(ORIGIN.ix + x, ORIGIN.iy + y)


def product(x: int, value: int, *, y: int = 0, shard: int = 0) -> str:
    return f"{x},{y}-{shard}-{value}"


def period_tile_of(name: str) -> PeriodTile:
    x, y = name.split("-")[0].split(",")
    return YEAR, tile(int(x), int(y))


def values_of(products: Iterable[str]) -> dict[int, int]:
    """Sum per shard of a tile."""
    sums: dict[int, int] = {}
    for name in products:
        _, shard, value = name.rsplit("-", 2)
        sums[int(shard)] = sums.get(int(shard), 0) + int(value)
    return sums


def shards_of(job: Job) -> Iterator[tuple[tuple[int, int], dict[str, np.ndarray]]]:
    """The shards of a tile, one after the other."""
    size = job.frame.grid.shard_px
    for shard, value in values_of(job.products).items():
        layers = {x.name: np.full(x.shape(size, size), x.fill, x.dtype) for x in MOSAIC_LAYERS}
        for name in ("salinity", "salinity_lower", "salinity_upper"):
            layers[name][:] = value
        layers[CHANCE][:] = min(value, 10_000)
        layers["quality_flags"][:] = 0
        layers["observations"][:] = len(job.products)
        yield divmod(shard, 2), layers


def compose(store: IcechunkStore, job: Job) -> Report:
    return write_tile(store, job, shards_of(job))


def put(mosaic: Mosaic, *products: str) -> None:
    for name in products:
        mosaic.objects.create(f"{_PRODUCTS}/{name}", b"")


def withdraw(mosaic: Mosaic, *products: str) -> None:
    mosaic.objects.delete([f"{_PRODUCTS}/{name}" for name in products])


def names_of(mosaic: Mosaic) -> list[str]:
    """The products that are there."""
    return sorted(entry.key.rsplit("/", 1)[1] for entry in mosaic.objects.list(_PRODUCTS))


def by_period_tile(products: Iterable[str]) -> dict[PeriodTile, set[str]]:
    found: dict[PeriodTile, set[str]] = {}
    for name in products:
        found.setdefault(period_tile_of(name), set()).add(name)
    return found


def wanted_of(mosaic: Mosaic) -> Wanted:
    """What the products that are there make of the tiles asked for."""

    def wanted(period_tiles: Sequence[PeriodTile]) -> Mapping[PeriodTile, Collection[str]]:
        found = by_period_tile(names_of(mosaic))
        return {
            period_tile: found[period_tile] for period_tile in period_tiles if period_tile in found
        }

    return wanted


def always(*products: str) -> Wanted:
    """Want the same of every tile."""
    return lambda period_tiles: dict.fromkeys(period_tiles, products)


def build_of(mosaic: Mosaic, run: Run = in_turn, why: str = "test") -> Build:
    return Build(mosaic, wanted_of(mosaic), compose, run=run, why=why)


def somewhere() -> str:
    """An empty place in memory."""
    return f"memory://{secrets.token_hex(8)}"


def new(where: str | Path | None = None) -> Mosaic:
    """An empty mosaic, in memory where nothing else is said."""
    objects = Objects.of(where or somewhere())
    return create_mosaic(objects, Frame.of(GRID), attrs={"title": "Surface soil salinity"})


def sums(ds: xr.Dataset, products: Iterable[str]) -> dict[tuple[PeriodTile, int], float]:
    """What the mosaic holds in the shards of these products' tiles: the sum, 0 where nothing is."""
    origin_x, origin_y = ds.attrs["spatial:transform"][2], ds.attrs["spatial:transform"][5]
    px = GRID.tile_px * GRID.resolution_m
    loaded = ds.salinity.sel(period="2024-01-01").values
    found = {}
    for where in {period_tile_of(name) for name in products}:
        column = round((where[1].ix * px - origin_x) / GRID.resolution_m)
        row = round((origin_y + where[1].iy * px) / GRID.resolution_m)
        for shard in range(4):
            dy, dx = (PX * part for part in divmod(shard, 2))
            part = loaded[max(row + dy, 0) : row + dy + PX, max(column + dx, 0) : column + dx + PX]
            inside = part.size == PX * PX and row >= 0 and column >= 0
            if inside:
                assert len(np.unique(part)) == 1, f"shard {shard} of {where} is torn"
            value = part[0, 0] if inside else np.nan
            found[where, shard] = 0.0 if np.isnan(value) else float(value)
    return found


def expected(products: Iterable[str], among: Iterable[str]) -> dict[tuple[PeriodTile, int], float]:
    by_tile = by_period_tile(products)
    return {
        (where, shard): float(values_of(by_tile.get(where, [])).get(shard, 0))
        for where in {period_tile_of(name) for name in among}
        for shard in range(4)
    }


def check(mosaic: Mosaic, products: Sequence[str], among: Iterable[str] = ()) -> None:
    """The mosaic holds exactly these products, and nothing of the others."""
    everything = [*products, *among]
    ds = open_mosaic(mosaic, chunks=None)
    assert sums(ds, everything) == expected(products, everything)
    head = mosaic.head()
    assert head is not None
    tiles = {period_tile_of(name) for name in products}
    assert head.totals.pixels == len(tiles) * GRID.tile_px**2
    shards = {(period_tile_of(name), name.split("-")[1]) for name in products}
    assert head.totals.estimated == len(shards) * PX**2


def pixels_of(mosaic: Mosaic, version: str | None = None) -> dict[str, np.ndarray]:
    """All layers of all tiles, and where they lie."""
    ds = open_mosaic(mosaic, version=version, chunks=None)
    return {"x": ds.x.values, "y": ds.y.values} | {
        layer.name: ds[layer.name].values for layer in MOSAIC_LAYERS
    }


def age(folder: Path, hours: float) -> None:
    """Make all files of a folder older."""
    for path in folder.rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime - hours * 3600
            os.utime(path, (moment, moment))


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def at_once(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
    """Do the work in threads."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, items))
