"""The repository's place, its one lock, and what fails there as sentences."""

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
"""Where the repository lies in a store."""
LOCK = "mosaic.lock"
LOCKED_FOR_S = 1800.0
"""How long others may hold a folder's lock: a collection in a large store takes minutes."""


def open_storage(objects: Objects) -> Storage:
    """Return what Icechunk reads and writes of a store.

    Raises
    ------
    StoreError
        No access.
    """
    return icechunk_storage(objects, PREFIX)


def exclusively(objects: Objects, lock: str = LOCK) -> AbstractContextManager[object]:
    """Hold a lock of a store in a folder around a commit, a reset, a tag or a collection.

    A file system has no conditional write: of two commits at once both may be told that they
    succeeded, and one is lost. Buckets and memory have it and need no lock. The operating system
    drops the lock with its process.

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
                f"{path.parent} is locked by another process for {LOCKED_FOR_S / 60:.0f} minutes; "
                f"see what holds {path} and end it"
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
        The place cannot be read or written.
    """
    try:
        yield
    except (IcechunkError, OSError) as error:
        if is_untold(str(error)):
            open_storage(objects)  # asks the server itself, and says what it answers
        raise sentence(str(error), objects.location, verb, PREFIX) from None


def is_missing(error: IcechunkError) -> bool:
    """Return whether an error says that an object is not there, or not any more."""
    return re.search(r"not found|NoSuchKey|does not exist", str(error)) is not None
