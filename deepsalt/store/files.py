"""Writing files so that a crash leaves the old state or the new, never half of one."""

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepsalt.errors import StoreError
from deepsalt.inputs import open_regular, parse_json, read_regular

MAX_JSON_BYTES = 512 * 2**20
"""Far above the largest record, the journal of a mosaic of thousands of tiles and scenes."""

_ADVICE = {
    errno.ENOSPC: "the disk is full; free space and run again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free space and run again, finished work is kept",
    errno.EACCES: "permission is denied; give a folder you may write to",
    errno.EPERM: "permission is denied; give a folder you may write to",
    errno.EROFS: "the file system is read-only; give a folder you may write to",
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
        raise StoreError(f"{path} cannot be read or written: {_reason(path, error)}") from error


def _reason(path: Path, error: OSError) -> str:
    """Return why, and what to do; libraries such as GDAL and HDF5 do not hand errno on."""
    if error.errno is None and _is_full(path):
        return _ADVICE[errno.ENOSPC]
    return _ADVICE.get(error.errno or 0, str(error))


def _is_full(path: Path) -> bool:
    there = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), None)
    return there is not None and shutil.disk_usage(there).free < _NEXT_TO_NOTHING_BYTES


def write_json(path: Path, document: Any) -> None:
    """Write a document so that readers see the old one or the new one.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Read a document that `write_json` wrote.

    Raises
    ------
    StoreError
        It is missing, unreadable, or not a JSON object.
    """
    with storing(path):
        text = read_regular(path, MAX_JSON_BYTES)
    try:
        document = parse_json(text)
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}); restore or remove it") from error
    if not isinstance(document, dict):
        raise StoreError(f"{path} holds no JSON object; restore or remove it")
    return document


def sync(path: Path) -> None:
    """Ask the operating system to put a file or folder on disk."""
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a file's bytes."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of a JSON value; equal values have equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
