"""Progress bars on standard error, with rates and an expected end time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from deepsalt.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


QUIET_S = 1.0
"""Searches shorter than this show nothing."""
_MB = 1e6


@contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars on standard error while the block runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    shown = RichProgress(*columns, console=Console(stderr=True))
    try:
        yield Bars(shown)
    finally:
        # Started by the first stage only: an earlier error should be the only line shown.
        if shown.live.is_started:
            shown.stop()


@dataclass(slots=True)
class Stage:
    """What a bar knows of its stage."""

    task: "TaskID"
    total: int
    size_bytes: int
    began_s: float
    done: int = 0
    done_bytes: int = 0

    def rate(self, now: datetime, now_s: float) -> str:
        """Return bytes, rate, and the end time at the average speed so far.

        The average rather than the last steps: scenes end in groups, and writing overlaps mapping.
        """
        past_s = now_s - self.began_s
        if not self.done or past_s <= 0 or self.done >= self.total:
            return self._bytes(past_s) if self.size_bytes and past_s > 0 else ""
        share = self.done_bytes / self.size_bytes if self.size_bytes else self.done / self.total
        left = timedelta(seconds=past_s * (1 - share) / share) if share else None
        end = f"ends about {clock(now, now + left)}" if left is not None else ""
        return ", ".join(filter(None, (self._bytes(past_s), end)))

    def _bytes(self, past_s: float) -> str:
        if not self.size_bytes:
            return ""
        return (
            f"{self.done_bytes / _MB:,.0f} of {self.size_bytes / _MB:,.0f} MB, "
            f"{self.done_bytes / _MB / past_s:,.1f} MB/s"
        )


def clock(now: datetime, end: datetime) -> str:
    """Return the end time in readable form, with the day unless it is today."""
    return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%a %d %b %H:%M}"


class Bars:
    """`Progress` on rich's bars, one bar per stage; a stage announced again grows."""

    def __init__(self, shown: "RichProgress") -> None:
        self._shown = shown
        self._stages: dict[str, Stage] = {}
        self._listing: TaskID | None = None
        self._began_s = time.monotonic()
        self._lock = Lock()

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Begin a stage, or let one that began grow."""
        if total == 0:
            return
        with self._lock:
            if self._listing is not None:
                self._shown.remove_task(self._listing)
                self._listing = None
            self._shown.start()
            if (known := self._stages.get(stage)) is not None:
                known.total += total
                known.size_bytes += size_bytes
                self._shown.update(known.task, total=known.total)
                return
            task = self._shown.add_task(stage, total=total, rate="")
            self._stages[stage] = Stage(task, total, size_bytes, time.monotonic())

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Count units of a stage as done."""
        with self._lock:
            if (known := self._stages.get(stage)) is None:
                return
            known.done += units
            known.done_bytes += size_bytes
            rate = known.rate(datetime.now().astimezone(), time.monotonic())
            self._shown.update(known.task, advance=units, rate=rate)

    def listing(self, pages: int, items: int) -> None:
        """Show how far a search is."""
        with self._lock:
            if self._listing is None and time.monotonic() - self._began_s < QUIET_S:
                return
            if self._listing is None:
                self._shown.start()
                self._listing = self._shown.add_task("", total=None, rate="")
            self._shown.update(self._listing, description=f"Items, {pages} pages", completed=items)

    def note(self, message: str) -> None:
        """Say a sentence above the bars."""
        # Foreign paths and columns may look like rich's markup, or contain control characters.
        safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
        self._shown.console.print(safe, markup=False, highlight=False, soft_wrap=True)
