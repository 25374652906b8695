"""What the work on a scene took, counted where it happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import Lock
from typing import Any, Literal

Stage = Literal["fetch", "map", "write"]


@dataclass(frozen=True, slots=True)
class SceneWork:
    """Work on one scene, or on several; works add up.

    Parameters
    ----------
    fetched_bytes
        Bytes that servers sent, repeated ones included.
    retries
        Requests that were made again; not those that obstore repeats by itself.
    fetch_s, map_s, write_s
        Seconds of fetching the files, of reading and predicting, and of writing the product; waits
        for a permit, for scratch space and for another scene's turn are in none of them.
    gpu_s
        Seconds for which the scene held a GPU, which are all of mapping: what one pays for, not how
        busy the GPU was.
    """

    fetched_bytes: int = 0
    retries: int = 0
    fetch_s: float = 0.0
    map_s: float = 0.0
    write_s: float = 0.0
    gpu_s: float = 0.0

    def __add__(self, other: "SceneWork") -> "SceneWork":
        """Return the work on both."""
        names = [each.name for each in fields(self)]
        return SceneWork(*(getattr(self, name) + getattr(other, name) for name in names))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let no work be one object in each process: a run holds a report per scene."""
        if self == NO_WORK:
            return _no_work, ()
        return SceneWork, tuple(getattr(self, each.name) for each in fields(self))


NO_WORK = SceneWork()
"""Of scenes that nobody worked on."""


def _no_work() -> SceneWork:
    return NO_WORK


class Meter:
    """Counts the work on one scene; any thread may add to it.

    A caller's own one knows also what a scene took that failed.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._work = NO_WORK

    @property
    def work(self) -> SceneWork:
        """What was counted so far."""
        return self._work

    def add(self, work: SceneWork) -> None:
        """Add some work."""
        with self._lock:
            self._work += work

    @contextmanager
    def during(self, stage: Stage, *, on_gpu: bool = False) -> Iterator[None]:
        """Count the seconds of a block as those of a stage, however it ends."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            took_s = time.perf_counter() - began_s
            self.add(
                SceneWork(
                    fetch_s=took_s if stage == "fetch" else 0.0,
                    map_s=took_s if stage == "map" else 0.0,
                    write_s=took_s if stage == "write" else 0.0,
                    gpu_s=took_s if on_gpu else 0.0,
                )
            )
