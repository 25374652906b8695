"""Killing a process between any two of its steps on the file system, from inside.

Python announces every `open`, rename, link and removal to audit hooks before it happens, whoever
asked for it: deepsalt, zarr or shutil. A hook that raises stops the step, and all that follow: a
dead process does not tidy up. Nothing of deepsalt is replaced.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarr.core.sync import _get_loop

_STEPS = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Crash(BaseException):
    """The process was killed. No Exception, so that nothing survives it by catching those."""


class _Seam:
    """The one audit hook of this process; hooks cannot be taken away again."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.steps = 0
        self.fatal: int | None = None
        self.torn = False
        self.tore = False
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            sys.addaudithook(self)
            self._installed = True

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if self.root is None or not (event in _STEPS or event == "open"):
            return
        path = self._path(args, event)
        # Locks and leases outlive their holders, and are tested by themselves.
        if path is None or ".lock" in path or (event == "open" and not self._writes(path, args)):
            return
        self.steps += 1
        if self.fatal is not None and self.steps >= self.fatal:
            if self.steps == self.fatal and self.torn and event == "open":
                self._tear(path)
            raise Crash(f"killed at step {self.steps}: {event} {path}")

    def _path(self, args: tuple[object, ...], event: str) -> str | None:
        # Links and renames count by where they lead.
        named = args[1] if event in {"os.link", "os.rename", "os.symlink"} else args[0]
        if not isinstance(named, str | bytes | os.PathLike):
            return None
        path = os.fsdecode(named)
        # shutil.rmtree names files relative to a descriptor of their folder.
        below = path.startswith(str(self.root)) or not os.path.isabs(path)
        return path if below else None

    @staticmethod
    def _writes(path: str, args: tuple[object, ...]) -> bool:
        flags = args[2]
        return isinstance(flags, int) and bool(flags & _WRITING)

    def _tear(self, path: str) -> None:
        """Leave the beginning of what was to be written."""
        root, self.root = self.root, None
        self.tore = True
        Path(path).write_bytes(b"torn")
        self.root = root


_SEAM = _Seam()


@contextmanager
def counting(root: Path) -> Iterator[_Seam]:
    """Count the steps below a folder; `Seam.steps` has their number."""
    with _armed(root, None, torn=False) as seam:
        yield seam


@contextmanager
def killed_at(root: Path, step: int, *, torn: bool = False) -> Iterator[_Seam]:
    """Run a block that dies at the n-th step below a folder, when it gets that far.

    Parameters
    ----------
    root
        The folder.
    step
        Number of the step that does not happen any more, from 1.
    torn
        Whether a file that was to be written then is left half written; `Seam.tore` says if so.
    """
    with _armed(root, step, torn=torn) as seam:
        try:
            yield seam
        except Crash:
            # Zarr's other writes of the same moment die before anybody may go on.
            _drain()


@contextmanager
def _armed(root: Path, fatal: int | None, *, torn: bool) -> Iterator[_Seam]:
    _SEAM.install()
    _SEAM.steps, _SEAM.fatal, _SEAM.torn, _SEAM.root = 0, fatal, torn, str(root)
    _SEAM.tore = False
    try:
        yield _SEAM
    finally:
        _SEAM.root = None


def _drain() -> None:
    async def others() -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)

    loop = _get_loop()
    asyncio.run_coroutine_threadsafe(others(), loop).result()
