"""Processes that are killed (SIGKILL) in the middle of what they do, for `test_kills.py`."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import icechunk
import numcodecs.blosc
from icechunk import IcechunkStore

from deepsalt.objects import Objects
from deepsalt.types import Report
from deepsalt.versions import Build, Job, open_repository, prune
from tests.versions.world import compose, names_of, period_tile_of, wanted_of

LONG_S = 60.0

# Made before processes are forked: each would make its own and, killed, leave it behind.
numcodecs.blosc.get_mutex()


@dataclass
class Victim:
    """Kills its process some time after it came to a stage for the nth time.

    Whether the stage was over by then is told through the connection: how long it took.
    """

    told: Connection
    stage: str
    nth: int
    after_s: float | None
    """None: it is spared."""

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        self.nth -= stage == self.stage
        if stage != self.stage or self.nth != 0:
            yield
            return
        if self.after_s == 0:
            self._kill()
        elif self.after_s is not None:
            threading.Timer(self.after_s, self._kill).start()
        began = time.perf_counter()
        yield
        self.told.send(time.perf_counter() - began)
        if self.after_s is not None:
            time.sleep(LONG_S)

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def build(told: Connection, where: str, stage: str, nth: int, after_s: float | None) -> None:
    """Build all there is, with a chunk, a tile, a merge or the commit as the stage."""
    victim = Victim(told, stage, nth, after_s)
    chunk, merge, commit = IcechunkStore.set, icechunk.Session.merge, icechunk.Session.commit

    async def setting(store: IcechunkStore, key: str, value: Any) -> None:
        with victim.at("" if key.startswith("tile_") else "chunk"):
            await chunk(store, key, value)

    def merging(session: icechunk.Session, *forks: Any) -> None:
        with victim.at("merge"):
            merge(session, *forks)

    def committing(session: icechunk.Session, *args: Any, **options: Any) -> str:
        with victim.at("commit"):
            return commit(session, *args, **options)

    def composing(store: IcechunkStore, job: Job) -> Report:
        with victim.at("tile"):
            return compose(store, job)

    IcechunkStore.set = setting  # type: ignore[method-assign]
    icechunk.Session.merge = merging  # type: ignore[method-assign]
    icechunk.Session.commit = committing  # type: ignore[method-assign]
    mosaic = open_repository(Objects.of(where))
    period_tiles = [period_tile_of(name) for name in names_of(mosaic)]
    Build(mosaic, wanted_of(mosaic), composing)(period_tiles)


def collect(told: Connection, where: str, stage: str, nth: int, after_s: float | None) -> None:
    """Forget all versions but the published one, and collect what only they referred to."""
    mosaic = open_repository(Objects.of(where))
    with Victim(told, stage, nth, after_s).at("collection"):
        prune(mosaic, keep=1)
