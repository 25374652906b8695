"""Writing files so that a crash leaves the old state or the new, never half of one."""

import hashlib
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from deepsalt.errors import StoreError
from deepsalt.inputs import open_regular, parse_json, read_regular
from deepsalt.objects.disk import storing, sync

MAX_JSON_BYTES = 512 * 2**20
"""Far above the largest record, the journal of a mosaic of thousands of tiles and scenes."""


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
