"""A mosaic of toy tiles, and what an export holds, by place instead of by key."""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256

import numpy as np
from icechunk import IcechunkStore

from deepsalt.export.record import RECORD, read_state
from deepsalt.grid import Frame, MosaicGrid, Tile
from deepsalt.layers import CHANCE, MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.store import Period, Where
from deepsalt.types import Report
from deepsalt.versions import Build, Job, Mosaic, PeriodTile, Version, create_mosaic, write_tile

GRID = MosaicGrid("EPSG:32633", 250.0, (0.0, 0.0), chunk_px=8, shard_px=16, tile_shards=2)
ORIGIN = Tile(32, -1200)  # where sixteen tiles begin, in the middle of the zone
YEARS = tuple(Period(date(year, 1, 1), date(year, 12, 31)) for year in (2022, 2023, 2024))
MODEL = ["ab" * 32]


def tile(x: int, y: int = 0) -> Tile:
    return Tile(ORIGIN.ix + x, ORIGIN.iy + y)


def in_memory(suffix: str = "") -> Objects:
    """A new place in this process."""
    return Objects.of(f"memory://{secrets.token_hex(8)}{suffix}")


@dataclass
class World:
    """A mosaic, and the names of the products that its tiles should be made of."""

    mosaic: Mosaic
    wanted: dict[PeriodTile, set[str]] = field(default_factory=dict)

    @classmethod
    def at(cls, where: Where | None = None) -> "World":
        objects = in_memory() if where is None else Objects.of(where)
        attrs = {"title": "Surface soil salinity", "model_digests": MODEL}
        return cls(create_mosaic(objects, Frame.of(GRID), attrs=attrs))

    def publish(self, *changes: tuple[Period, Tile, Collection[str]]) -> Version:
        """Publish a version in which these tiles are made of these products."""
        for period, where, names in changes:
            self.wanted[period, where] = {*names}

        def wanted(period_tiles: Sequence[PeriodTile]) -> Mapping[PeriodTile, Collection[str]]:
            return {period_tile: self.wanted.get(period_tile, ()) for period_tile in period_tiles}

        built = Build(self.mosaic, wanted, compose)([period_tile[:2] for period_tile in changes])
        head = built.versions[-1] if built.versions else self.mosaic.head()
        assert head is not None
        return head


def compose(store: IcechunkStore, job: Job) -> Report:
    return write_tile(store, job, shards_of(job))


def shards_of(job: Job) -> Iterator[tuple[tuple[int, int], dict[str, np.ndarray]]]:
    """Shards that depend on the products alone: some without values, some half without."""
    size = job.frame.grid.shard_px
    for number in range(4):
        seed = sha256(f"{job.products} {job.tile.id} {number}".encode()).digest()
        rng = np.random.default_rng([*seed])
        if not job.products or rng.random() < 0.3:
            continue
        layers = {x.name: np.full(x.shape(size, size), x.fill, x.dtype) for x in MOSAIC_LAYERS}
        rows = size // 2 if rng.random() < 0.5 else size
        for name in ("salinity", "salinity_lower", "salinity_upper"):
            layers[name][:rows] = rng.random((rows, size), np.float32)
        layers[CHANCE][:, :rows] = rng.integers(0, 10_001, (4, rows, size))
        layers["quality_flags"][:rows] = 0
        layers["observations"][:rows] = len(job.products)
        layers["last_observed"][:rows] = 19_000 + len(job.products)
        yield divmod(number, 2), layers


Found = dict[tuple[str, int, int, int], bytes]


def shards_in(group: Objects) -> Found:
    """Stored objects of layers by layer, slot and place on the grid, wherever the arrays begin."""
    _, state = read_state(group)
    assert state is not None
    e, found = state.layout.extent, {}
    n = GRID.tile_shards * (1 if state.layout.is_sharded else GRID.shard_px // GRID.chunk_px)
    for layer in MOSAIC_LAYERS:
        for entry in group.list(f"{layer.name}/c"):
            period, *_, row, column = map(int, entry.key.split("/")[2:])
            place = (layer.name, state.layout.slots[period], row + e.iy0 * n, column + e.ix0 * n)
            found[place] = group.read(entry.key)
    return found


def objects_in(group: Objects) -> dict[str, bytes]:
    """All objects of a group but its record."""
    keys = (entry.key for entry in group.list() if not entry.key.startswith(f"{RECORD}/"))
    return {key: group.read(key) for key in keys}


def version_in(group: Objects) -> str:
    """What the group says of its version."""
    return str(json.loads(group.read("zarr.json"))["attributes"]["version_id"])
