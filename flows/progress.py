"""How a run tells what it is doing, without knowing who listens."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dask.array import Array
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


_QUIET_S = 1.0
"""A search that takes no longer shows nothing."""


class Progress(Protocol):
    """Listener of a run; every method may be called from one thread only."""

    def start(self, stage: str, total: int) -> None:
        """Announce a stage and how many units it has."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Say that so many units of a stage are done."""

    def note(self, message: str) -> None:
        """Say something worth a line."""

    def listing(self, pages: int, items: int) -> None:
        """Say how many pages and Items of a catalogue's server came so far."""


class Silent:
    """Nobody listens."""

    def start(self, stage: str, total: int) -> None:
        """Ignore it."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""

    def listing(self, pages: int, items: int) -> None:
        """Ignore it."""


@contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars on standard error while the block runs."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = Bars(*columns, console=Console(stderr=True))
    try:
        yield _Bars(shown)
    finally:
        # Started by the first stage only: an error before it should be the one line that is seen.
        if shown.live.is_started:
            shown.stop()


class _Bars:
    """`Progress` on rich's bars, one bar a stage."""

    def __init__(self, shown: "Bars") -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}
        self._began_s = time.monotonic()

    def start(self, stage: str, total: int) -> None:
        if total == 0:
            return
        if (listing := self._tasks.pop("listing", None)) is not None:
            self._shown.remove_task(listing)
        self._shown.start()
        self._tasks[stage] = self._shown.add_task(stage, total=total)

    def advance(self, stage: str, units: int = 1) -> None:
        if stage in self._tasks:
            self._shown.advance(self._tasks[stage], units)

    def listing(self, pages: int, items: int) -> None:
        if "listing" not in self._tasks and time.monotonic() - self._began_s < _QUIET_S:
            return
        if "listing" not in self._tasks:
            self._shown.start()
            self._tasks["listing"] = self._shown.add_task("", total=None)
        self._shown.update(
            self._tasks["listing"], description=f"Items, {pages} pages", completed=items
        )

    def note(self, message: str) -> None:
        self._shown.console.print(message)


@contextmanager
def chunk_bar(progress: Progress, stage: str, layer: "Array") -> Iterator[None]:
    """Advance a stage with each chunk of `layer` that Dask computes in this process.

    A distributed scheduler computes elsewhere; then the stage only starts and ends.
    """
    from dask.callbacks import Callback

    total = math.prod(layer.numblocks)
    progress.start(stage, total)
    done = 0

    def count(key: object, *_: object) -> None:
        nonlocal done
        if isinstance(key, tuple) and key[0] == layer.name:
            done += 1
            progress.advance(stage)

    with Callback(posttask=count):
        yield
    progress.advance(stage, total - done)
