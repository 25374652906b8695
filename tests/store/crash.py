"""Killing a process between any two of its steps that others could see, from inside.

Steps are what changes a store: an object written, created or deleted at the door, a tile written
into a fork, and a commit, a reset or a tag of Icechunk, before and after it happens. A step that
raises does not happen, nor do all that follow: a dead process does not tidy up.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import icechunk
import pytest

from deepsalt.mosaic import tile
from deepsalt.objects import Objects

_BEFORE: tuple[tuple[Any, str], ...] = (
    (Objects, "write"),
    (Objects, "create"),
    (Objects, "delete"),
    (tile, "write_tile"),
)
_AROUND: tuple[tuple[Any, str], ...] = (
    (icechunk.Session, "commit"),
    (icechunk.Repository, "reset_branch"),
    (icechunk.Repository, "create_tag"),
    (icechunk.Repository, "delete_tag"),
    (icechunk.Repository, "expire_snapshots"),
    (icechunk.Repository, "garbage_collect"),
)


class Crash(BaseException):
    """The process was killed. No Exception, so that nothing survives it by catching those."""


class Seam:
    """Counts steps, and refuses one and all that follow."""

    def __init__(self, fatal: int | None) -> None:
        self.steps: list[str] = []
        self._fatal = fatal
        self._lock = Lock()

    @property
    def killed(self) -> bool:
        """Whether the process came to its last step."""
        return self._fatal is not None and len(self.steps) >= self._fatal

    def pass_on(self, step: str) -> None:
        with self._lock:
            self.steps.append(step)
            if self.killed:
                raise Crash(f"killed at step {len(self.steps)}: {step}")

    def before(self, name: str, really: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def stepping(*args: Any, **more: Any) -> Any:
            self.pass_on(name)
            found = really(*args, **more)
            if after:
                self.pass_on(f"after {name}")
            return found

        return stepping


@contextmanager
def killed_at(step: int | None) -> Iterator[Seam]:
    """Run a block that dies at the n-th step, when it gets that far; None: it lives."""
    seam = Seam(step)
    with pytest.MonkeyPatch.context() as patch:
        for steps, after in ((_BEFORE, False), (_AROUND, True)):
            for owner, name in steps:
                really = getattr(owner, name)
                patch.setattr(owner, name, seam.before(name, really, after=after))
        try:
            yield seam
        except Crash:
            assert seam.killed
