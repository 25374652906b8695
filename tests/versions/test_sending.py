"""What travels between a driver and its workers: it works there, is small, and holds no secret."""

import pickle
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from icechunk import IcechunkStore

from deepsalt.grid import Frame, MosaicGrid, Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.types import Report
from deepsalt.versions import Build, Job, create_mosaic, open_mosaic, write_tile
from deepsalt.versions.commit import Done, Work
from tests.servers.s3 import secret_of
from tests.versions.conftest import USER
from tests.versions.processes.apart import CONTEXT, become, user
from tests.versions.world import (
    YEAR,
    always,
    build_of,
    check,
    compose,
    new,
    period_tile_of,
    product,
    put,
)

NAMES = [product(x, 1 + x, shard=x) for x in range(3)]
WORLD = MosaicGrid.from_options("EPSG:6933")


@dataclass
class Spy:
    """Keeps what an executor in other processes would pickle, there and back."""

    sent: list[tuple[Callable[[Work], Done], Work]] = field(default_factory=list)
    back: list[Done] = field(default_factory=list)

    def run(self, work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        done = [work(item) for item in items]
        self.sent += [(work, item) for item in items]
        self.back += done
        return done


def test_tiles_are_composed_in_other_processes(shared_place: str) -> None:
    mosaic = new(shared_place)

    def run(work: Callable[[Work], Done], items: Sequence[Work]) -> list[Done]:
        with ProcessPoolExecutor(1, CONTEXT, become, (user(),)) as pool:
            return list(pool.map(work, items))

    put(mosaic, *NAMES)
    build_of(mosaic, run=run)([period_tile_of(name) for name in NAMES])
    check(mosaic, NAMES)


def test_nothing_that_is_sent_to_workers_or_back_holds_a_secret(bucket: str) -> None:
    mosaic, spy = new(bucket), Spy()
    Build(mosaic, always(*NAMES), compose, run=spy.run)([period_tile_of(NAMES[0])])
    ((work, (sent, _)),), (done,) = spy.sent, spy.back
    assert isinstance(sent, bytes)
    assert isinstance(done.fork, bytes)
    forks = [zlib.decompress(fork) for fork in (sent, done.fork)]
    others = [work, done.job, done.note, mosaic, mosaic.objects, open_mosaic(mosaic)]
    texts = [*forks, *map(pickle.dumps, others)]
    # A bucket's name and address do travel, so these are the bytes in which a secret would be.
    assert all(bucket.removeprefix("s3://salt/").encode() in text for text in forks)
    assert [text for text in texts if secret_of(USER).encode() in text] == []
    assert [text for text in texts if USER.encode() in text] == []


def a_shard(store: IcechunkStore, job: Job) -> Report:
    """Compose one shard of a tile of the world."""
    size = job.frame.grid.shard_px
    layers = {x.name: np.ones(x.shape(size, size), x.dtype) for x in MOSAIC_LAYERS}
    return write_tile(store, job, [((0, 1), layers)])


def test_what_is_sent_for_a_tile_of_the_world_is_small(shared_place: str) -> None:
    mosaic, spy = create_mosaic(Objects.of(shared_place), Frame.of(WORLD)), Spy()
    period_tiles = [(YEAR, Tile(-50, -60)), (YEAR, Tile(3, 3))]
    for products in (["first"], ["first", "second"]):
        Build(mosaic, always(*products), a_shard, run=spy.run)(period_tiles)
    assert len(spy.sent) == len(spy.back) == 4
    assert max(len(pickle.dumps(each)) for each in (*spy.sent, *spy.back)) < 10_000
