"""The repository's location, its one lock, and its errors as sentences."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import filelock
from icechunk import IcechunkError, Storage

from deepsalt.errors import StoreError
from deepsalt.objects import Objects, icechunk_storage
from deepsalt.objects.disk import storing
from deepsalt.objects.sentences import Verb, is_untold, sentence

PREFIX = "mosaic"
"""Location of the repository in a store."""
LOCK = "mosaic.lock"
LOCKED_FOR_S = 1800.0
"""How long others may hold a folder's lock: a prune of a large store takes minutes."""


def open_storage(objects: Objects) -> Storage:
    """Return the storage through which Icechunk reads and writes a store.

    Raises
    ------
    StoreError
        No access.
    """
    return icechunk_storage(objects, PREFIX)


def exclusively(objects: Objects, lock: str = LOCK) -> AbstractContextManager[object]:
    """Hold the lock of a store in a folder during a commit, a reset, a tag or a deletion.

    A file system has no conditional write: two concurrent commits may both report success, and one
    is lost. Buckets and memory have it and need no lock. The operating system releases the lock
    with its process.

    Raises
    ------
    StoreError
        Another process holds it for `LOCKED_FOR_S`, or the folder cannot be written.
    """
    return locked(objects.path / lock) if objects.is_local else nullcontext()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the block; wait for others at most `LOCKED_FOR_S`."""
    lock = filelock.FileLock(path, timeout=LOCKED_FOR_S)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise StoreError(
                f"{path.parent} has been locked by another process for {LOCKED_FOR_S / 60:.0f} "
                f"minutes; find and end the process that holds {path}"
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reaching(objects: Objects, verb: Verb = "read") -> Iterator[None]:
    """Turn errors of Icechunk in the block into one sentence.

    Raises
    ------
    StoreError
        The location cannot be read or written.
    """
    try:
        yield
    except (IcechunkError, OSError) as error:
        if is_untold(str(error)):
            open_storage(objects)  # asks the server itself, and reports its answer
        raise sentence(str(error), objects.location, verb, PREFIX) from None


def is_missing(error: IcechunkError) -> bool:
    """Return whether an error says that an object does not exist, or no longer."""
    return re.search(r"not found|NoSuchKey|does not exist", str(error)) is not None
