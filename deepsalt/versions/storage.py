"""Where the repository lies: a folder, a bucket, or the memory of one process; and its one lock.

`open_storage` alone knows kinds of places. Credentials stay in the environment: what is pickled and
sent to workers holds none.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import unquote, urlsplit

import filelock
import icechunk
from icechunk import IcechunkError, Storage

from deepsalt.access import without_secrets
from deepsalt.errors import StoreError, UsageError

LOCKED_FOR_S = 1800.0
"""How long others may hold a folder's lock: a collection in a large store takes minutes."""

_memory: dict[str, Storage] = {}


def folder_of(place: str) -> Path | None:
    """Return the folder that a place names; None where it is a bucket or memory."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in place else Path(place)


def is_memory(place: str) -> bool:
    """Return whether a place is the memory of this process, which no other process sees."""
    return place.startswith("memory://")


def open_storage(place: str) -> Storage:
    """Return what Icechunk reads and writes of a place; nothing is asked yet.

    Parameters
    ----------
    place
        A path, ``file:///...``, ``s3://bucket/prefix``, or ``memory://name``: the same memory for
        the same name. Credentials and endpoint of S3 come from the environment (``AWS_...``).

    Raises
    ------
    UsageError
        No such kind of place.
    """
    folder = folder_of(place)
    if folder is not None:
        # It warns that commits to a file system need a lock, which `exclusively` holds.
        if "ICECHUNK_LOG" not in os.environ:
            icechunk.set_logs_filter("error")
        return icechunk.local_filesystem_storage(str(folder))
    parts = urlsplit(place)
    if is_memory(place):
        if place not in _memory:
            _memory[place] = icechunk.in_memory_storage()
        return _memory[place]
    if parts.scheme != "s3" or not parts.netloc:
        raise UsageError(
            f"{without_secrets(place)} is no place for a mosaic; give a folder, or a bucket as "
            "s3://bucket/prefix"
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return icechunk.s3_storage(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        from_env=True,
        endpoint_url=endpoint,
        allow_http=bool(endpoint and endpoint.startswith("http://")),
        force_path_style=endpoint is not None,
    )


def exclusively(place: str) -> AbstractContextManager[object]:
    """Hold the lock of a folder around a commit, a reset, a tag or a collection.

    A file system has no conditional write: of two commits at once both may be told that they
    succeeded, and one is lost. Buckets and memory have it and need no lock. The operating system
    drops the lock with its process.

    Raises
    ------
    StoreError
        Another process holds it for `LOCKED_FOR_S`.
    """
    folder = folder_of(place)
    return nullcontext() if folder is None else _locked(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Beside the repository, which is only made where nothing is.
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=LOCKED_FOR_S)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreError(
            f"{folder} is locked by another process for {LOCKED_FOR_S / 60:.0f} minutes; see what "
            f"holds {path} and end it"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turn errors of Icechunk in the block into one sentence.

    Raises
    ------
    StoreError
        The place cannot be read or written.
    """
    try:
        yield
    except (IcechunkError, OSError) as error:
        raise StoreError(
            f"{without_secrets(place)} cannot be read or written: {reason_of(error)}"
        ) from error


def reason_of(error: Exception) -> str:
    """Return why, in one line without secrets: texts of Icechunk are drawn, the cause is last."""
    lines = re.findall(r"[^\W_].*", str(error))
    reason = lines[-1][:200].removeprefix("x ") if lines else type(error).__name__
    return without_secrets(reason)


def is_missing(error: IcechunkError) -> bool:
    """Return whether an error says that an object is not there, or not any more."""
    return re.search(r"not found|NoSuchKey|does not exist", str(error)) is not None
