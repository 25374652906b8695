"""Scratch space for fetched scenes: bounded in bytes, gone with its process.

Each process has its own folder in the scratch folder, named after the process, so that the next one
recognises and removes what a killed process left behind.
"""

import os
import secrets
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock

from deepsalt.errors import ReadError, StoreError
from deepsalt.objects.disk import storing

_PREFIX = "deepsalt-scratch~"
_GB = 1e9
_ours: set[str] = set()
"""Names of the folders of this process. A container's processes often have the same mark as earlier
ones; a folder with our mark that is not listed here is theirs."""


class ScratchSpace:
    """A folder for files that are needed for a short time.

    Parameters
    ----------
    folder
        Where to create it. Default: the system's temporary folder.
    limit_bytes
        Maximum size of its content, bytes.

    Raises
    ------
    StoreError
        The folder cannot be created.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._parent = Path(tempfile.gettempdir()) if folder is None else folder
        self._name = f"{_PREFIX}{process_mark()}~{secrets.token_hex(4)}"
        self._used = 0
        self._lock = Lock()
        remove_leftovers(self._parent)

    def take(self, needed_bytes: int, what: str) -> Path | None:
        """Return a new folder for so many bytes; None if there is no space at the moment.

        Raises
        ------
        ReadError
            The size exceeds the whole space.
        StoreError
            The disk has too little space left, or cannot be written.
        """
        if needed_bytes > self.limit_bytes:
            raise ReadError(
                f"{what} has {needed_bytes / _GB:.3g} GB but the scratch space may hold at most "
                f"{self.limit_bytes / _GB:.3g}; raise --scratch-gb"
            )
        with self._lock:
            if self._used + needed_bytes > self.limit_bytes:
                return None
            self._used += needed_bytes
        try:
            return self._new_folder(needed_bytes)
        except StoreError:
            self._forget(needed_bytes)
            raise

    def _new_folder(self, needed_bytes: int) -> Path:
        home = self._parent / self._name
        with storing(self._parent):
            _ours.add(self._name)
            self._parent.mkdir(parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)  # private on a shared machine
            free_bytes = shutil.disk_usage(home).free
            if free_bytes < needed_bytes:
                raise StoreError(
                    f"{self._parent} has {free_bytes / _GB:.3g} GB free, but the next scene needs "
                    f"{needed_bytes / _GB:.3g}; free space, or give another folder with --scratch"
                )
            return Path(tempfile.mkdtemp(prefix="scene-", dir=home))

    def give_back(self, folder: Path, taken_bytes: int) -> None:
        """Remove a folder that `take` returned."""
        _remove(folder)
        self._forget(taken_bytes)

    def _forget(self, taken_bytes: int) -> None:
        with self._lock:
            self._used -= taken_bytes

    def close(self) -> None:
        """Remove everything."""
        _remove(self._parent / self._name)
        _ours.discard(self._name)


def remove_leftovers(parent: Path) -> None:
    """Remove the scratch folders of processes that have ended without doing so."""
    for leftover in parent.glob(f"{_PREFIX}*"):
        mark = leftover.name.removeprefix(_PREFIX).rpartition("~")[0]
        own = mark == process_mark() and leftover.name not in _ours
        if own or is_dead(mark):
            _remove(leftover)


def _remove(folder: Path) -> None:
    """Remove a folder and free its space at once, even if readers still hold files open."""
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)
    shutil.rmtree(folder, ignore_errors=True)


def process_mark() -> str:
    """Return host and process id of this process, safe in a file name."""
    return f"{socket.gethostname().replace('.', '-')}.{os.getpid()}"


def is_dead(mark: str) -> bool:
    """Whether a `process_mark` names a process of this host that has ended."""
    host, _, pid = mark.rpartition(".")
    if host != socket.gethostname().replace(".", "-") or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
