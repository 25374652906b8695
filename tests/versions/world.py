"""A toy composition that fits beside the real protocol: a shard holds the sum of its products.

A product is named ``<x>,<y>-<shard>-<value>``: tile, which of its four shards, what it adds there.
So a tile is a function of its products, and two products of one tile may write different shards.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import xarray as xr
from icechunk import IcechunkStore

from deepsalt.grid import MosaicGrid, Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.store.periods import Period
from deepsalt.types import Report
from deepsalt.versions import Build, Job, Mosaic, create_mosaic, open_mosaic, write_tile
from deepsalt.versions.commit import Done, Place, Run, Work, in_turn

YEAR = Period(date(2024, 1, 1), date(2024, 12, 31))
BEFORE = Period(date(2023, 1, 1), date(2023, 12, 31))
GRID = MosaicGrid("EPSG:32633", 250.0, (0.0, 0.0), chunk_px=8, shard_px=32, tile_shards=2)
"""Small, but so that a shard with data is too large to lie in a manifest: it is an object."""
PX = GRID.shard_px
ORIGIN = Tile(30, -300)  # in the middle of the zone

Sets = Mapping[Place, Iterable[str]]


@dataclass(frozen=True)
class Entry:
    key: str
    modified: datetime


class MemoryRecords:
    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}

    def read(self, key: str) -> bytes:
        return self.objects[key][0]

    def write(self, key: str, data: bytes) -> None:
        self.objects[key] = data, datetime.now(UTC)

    def create(self, key: str, data: bytes) -> bool:
        entry = data, datetime.now(UTC)
        return self.objects.setdefault(key, entry) is entry

    def list(self, prefix: str) -> Iterator[Entry]:
        for key, (_, modified) in sorted(self.objects.items()):
            if key.startswith(f"{prefix}/"):
                yield Entry(key, modified)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self.objects.pop(key, None)


@dataclass(frozen=True)
class FolderRecords:
    """For drivers in several processes."""

    folder: Path

    def read(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def create(self, key: str, data: bytes) -> bool:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        new.write_bytes(data)
        try:
            os.link(new, path)
        except FileExistsError:
            return False
        finally:
            new.unlink()
        return True

    def list(self, prefix: str) -> Iterator[Entry]:
        for path in sorted((self.folder / prefix).rglob("[!.]*")):
            try:
                if path.is_file():
                    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    yield Entry(path.relative_to(self.folder).as_posix(), modified)
            except FileNotFoundError:
                continue

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            (self.folder / key).unlink(missing_ok=True)


Records = MemoryRecords | FolderRecords


def tile(x: int, y: int = 0) -> Tile:
    return Tile(ORIGIN.ix + x, ORIGIN.iy + y)


def product(x: int, value: int, *, y: int = 0, shard: int = 0) -> str:
    return f"{x},{y}-{shard}-{value}"


def place_of(name: str) -> Place:
    x, y = name.split("-")[0].split(",")
    return YEAR, tile(int(x), int(y))


def values_of(products: Iterable[str]) -> dict[int, int]:
    """Sum per shard of a tile."""
    sums: dict[int, int] = {}
    for name in products:
        _, shard, value = name.rsplit("-", 2)
        sums[int(shard)] = sums.get(int(shard), 0) + int(value)
    return sums


def compose(store: IcechunkStore, job: Job) -> Report:
    size = job.frame.grid.shard_px

    def shards() -> Iterator[tuple[tuple[int, int], dict[str, np.ndarray]]]:
        for shard, value in values_of(job.products).items():
            layers = {x.name: np.full((size, size), x.fill, x.dtype) for x in MOSAIC_LAYERS}
            for name in ("salinity", "salinity_lower", "salinity_upper"):
                layers[name][:] = value
            layers["quality_flags"][:] = 0
            layers["observations"][:] = len(job.products)
            yield divmod(shard, 2), layers

    return write_tile(store, job, shards())


def put(records: Records, *products: str) -> None:
    for name in products:
        records.create(f"records/products/{name}", b"")


def withdraw(records: Records, *products: str) -> None:
    records.delete([f"records/products/{name}" for name in products])


def names_of(records: Records) -> list[str]:
    """The products that are there."""
    return sorted(entry.key.rsplit("/", 1)[1] for entry in records.list("records/products"))


def wanted_of(records: Records) -> Callable[[Period, Tile], set[str]]:
    def wanted(period: Period, tile: Tile) -> set[str]:
        return {name for name in names_of(records) if place_of(name) == (period, tile)}

    return wanted


def build_of(mosaic: Mosaic, records: Records, run: Run = in_turn, why: str = "test") -> Build:
    return Build(mosaic, records, wanted_of(records), compose, run=run, why=why)


def new(place: str | Path) -> Mosaic:
    return create_mosaic(str(place), GRID, attrs={"title": "Surface soil salinity"})


def sums(ds: xr.Dataset, products: Iterable[str]) -> dict[tuple[Place, int], float]:
    """What the mosaic holds in the shards of these products' tiles: the sum, 0 where nothing is."""
    origin_x, origin_y = ds.attrs["spatial:transform"][2], ds.attrs["spatial:transform"][5]
    px = GRID.tile_px * GRID.resolution_m
    loaded = ds.salinity.sel(period="2024-01-01").values
    found = {}
    for where in {place_of(name) for name in products}:
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


def expected(products: Iterable[str], among: Iterable[str]) -> dict[tuple[Place, int], float]:
    by_place: dict[Place, list[str]] = {}
    for name in products:
        by_place.setdefault(place_of(name), []).append(name)
    return {
        (where, shard): float(values_of(by_place.get(where, [])).get(shard, 0))
        for where in {place_of(name) for name in among}
        for shard in range(4)
    }


def check(mosaic: Mosaic, products: Sequence[str], among: Iterable[str] = ()) -> None:
    """The mosaic holds exactly these products, and nothing of the others."""
    everything = [*products, *among]
    ds = open_mosaic(mosaic, chunks=None)
    assert sums(ds, everything) == expected(products, everything)
    totals = mosaic.head().totals
    tiles = {place_of(name) for name in products}
    assert totals.pixels == len(tiles) * GRID.tile_px**2
    shards = {(place_of(name), name.split("-")[1]) for name in products}
    assert totals.estimated == len(shards) * PX**2


def age(folder: Path, days: float) -> None:
    """Make all objects of a repository older."""
    for path in folder.rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime - days * 86400
            os.utime(path, (moment, moment))


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def at_once(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
    """Do the work in threads."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, items))
