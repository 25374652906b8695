"""Stages of a run, and processes that are killed (SIGKILL) inside one of them."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

FETCH, DECODE, PREDICT = "fetch", "decode", "predict"
CHUNK, INDEX, MARKER, LINK = "chunk of a product", "index", "marker", "catalogue"
TILE, MERGE, COMMIT = "tile", "merge", "commit"
EXPORT, COLLECTION = "export", "collection"

_LONG_S = 60.0


@dataclass
class Strike:
    """Kills its process some time after it came to a stage for the nth time.

    A stage does not end before the process is killed; what it did is done by then, or is not.

    Parameters
    ----------
    stage, nth
        Where.
    after_s
        When.
    """

    stage: str
    nth: int
    after_s: float
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        if stage != self.stage or self._count() != 0:
            yield
            return
        if self.after_s <= 0.0:
            _die()
        threading.Timer(self.after_s, _die).start()
        yield
        time.sleep(_LONG_S)

    def _count(self) -> int:
        with self._lock:
            self.nth -= 1
            return self.nth


@dataclass
class Shot:
    """Kills another process when its own comes to a stage for the nth time, and goes on.

    Parameters
    ----------
    stage, nth
        Where.
    after_s
        When.
    victim
        File with the process id; None is the own process.
    hits
        Folder that gets a file per hit, whichever process made it.
    most
        Hits at most.
    """

    stage: str
    nth: int
    after_s: float
    victim: Path | None
    hits: Path
    most: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        if stage != self.stage or not self._is_time():
            yield
            return
        if self.after_s <= 0.0:
            self._shoot()
        else:
            threading.Timer(self.after_s, self._shoot).start()
        yield
        if self.victim is None:
            time.sleep(_LONG_S)

    def _is_time(self) -> bool:
        with self._lock:
            self.nth -= 1
            return self.nth == 0 and self._is_left()

    def _is_left(self) -> bool:
        for number in range(self.most):
            with suppress(FileExistsError), (self.hits / str(number)).open("x"):
                return True
        return False

    def _shoot(self) -> None:
        pid = os.getpid() if self.victim is None else int(self.victim.read_text())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Count:
    """Notes how often a process came to each stage, and how long one took at most."""

    told: Path
    stages: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        with self._lock:
            count, longest = self.stages.get(stage, (0, 0.0))
            self.stages[stage] = count + 1, max(longest, took)
            self.told.write_text(json.dumps(self.stages))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


Watcher = Strike | Shot | Count


def watch(watcher: Watcher) -> None:
    """Tell the watcher of every stage that this process comes to."""
    import icechunk

    import deepsalt.cube.load as load
    import deepsalt.export.export as exports
    import deepsalt.fetch.objects as fetching
    import deepsalt.model.folded as folded
    import deepsalt.mosaic.tile as tiles
    import flows.publication as publication
    from deepsalt.objects import Objects

    is_exporting = threading.Event()
    write, create, bring = Objects.write, Objects.create, exports.bring

    def writing(objects: Objects, key: str, data: bytes) -> None:
        chunk = CHUNK if key.startswith("scenes/") else ""
        with watcher.at(EXPORT if is_exporting.is_set() else chunk):
            write(objects, key, data)

    def creating(objects: Objects, key: str, data: bytes) -> bool:
        stages = {"records/index/": INDEX, "records/done/": MARKER}
        stage = next((each for prefix, each in stages.items() if key.startswith(prefix)), "")
        with watcher.at(stage):
            return create(objects, key, data)

    def bringing(*args: Any, **options: Any) -> Any:
        is_exporting.set()
        try:
            return bring(*args, **options)
        finally:
            is_exporting.clear()

    Objects.write = writing  # type: ignore[method-assign]
    Objects.create = creating  # type: ignore[method-assign]
    exports.bring = bringing
    tiles.write_tile = _staged(watcher, TILE, tiles.write_tile)
    publication.publish_items = _staged(watcher, LINK, publication.publish_items)
    download = fetching.Session.download

    async def downloading(*args: Any) -> None:
        with watcher.at(FETCH):
            await download(*args)

    fetching.Session.download = downloading  # type: ignore[method-assign]
    for stage, owner, name in (
        (DECODE, load.OpenWindow, "band"),
        (PREDICT, folded.FoldedStudent, "estimate"),
        (MERGE, icechunk.Session, "merge"),
        (COMMIT, icechunk.Session, "commit"),
        (COLLECTION, icechunk.Repository, "expire_snapshots"),
        (COLLECTION, icechunk.Repository, "garbage_collect"),
    ):
        setattr(owner, name, _staged(watcher, stage, getattr(owner, name)))


def _staged(watcher: Watcher, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def staged(*args: Any, **options: Any) -> Any:
        with watcher.at(stage):
            return work(*args, **options)

    return staged


def in_a_month() -> None:
    """Let a prune believe that all there is was made a month ago."""
    import flows.changes as changes

    later = datetime.now(UTC) + timedelta(days=31)
    changes.to_prune = partial(changes.to_prune, now=later)
    changes.prune = partial(changes.prune, now=later)
