"""Files of this machine: errors as sentences, and syncing to disk."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepsalt.errors import StoreError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free space and run again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free space and run again, finished work is kept",
    errno.EACCES: "permission is denied; give a folder that you can write to",
    errno.EPERM: "permission is denied; give a folder that you can write to",
    errno.EROFS: "the file system is read-only; give a folder that you can write to",
    errno.ENOTDIR: "a part of the path is a file; give another folder",
}

_NEXT_TO_NOTHING_BYTES = 2**20


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn operating system errors of the block into one sentence about `path`.

    Raises
    ------
    StoreError
        The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise unstorable(path, error) from error


def unstorable(path: Path, error: OSError) -> StoreError:
    """Return the sentence for an operating system's error about a path."""
    return StoreError(f"{path} cannot be read or written: {_reason(path, error)}")


def _reason(path: Path, error: OSError) -> str:
    """Return the reason and what to do; libraries such as GDAL and HDF5 do not pass on errno."""
    if error.errno is None and _is_full(path):
        return _ADVICE[errno.ENOSPC]
    return _ADVICE.get(error.errno or 0, str(error))


def _is_full(path: Path) -> bool:
    existing = next(
        (folder for folder in (path, *path.absolute().parents) if folder.exists()), None
    )
    return existing is not None and shutil.disk_usage(existing).free < _NEXT_TO_NOTHING_BYTES


def sync(path: Path) -> None:
    """Ask the operating system to sync a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """`sync` every file and folder below `root`, and `root`."""
    for folder, _, names in os.walk(root):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
