"""JSON documents: parsed with their place in every error, written to files atomically."""

import contextlib
import json
import os
import re
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from deepsalt.errors import FormatError, StoreError
from deepsalt.inputs import parse_json, read_regular

_MAX_BYTES = 64 * 2**20
_MAX_NAME = 150


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises
    ------
    FormatError
        The file is missing, unreadable, not a regular file, larger than 64 MiB, nested too deeply,
        or does not hold a JSON object.
    """
    try:
        content = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions; check "
            f"the path and its permissions; check the path and its permissions"
        ) from error
    return parse_document(content, str(path))


def parse_document(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in bytes; `where` names their source in messages.

    Raises
    ------
    FormatError
        They are not a JSON object, or one nested too deeply.
    """
    try:
        document = parse_json(content)
    except ValueError as error:
        raise FormatError(
            f"{where} is not valid JSON ({error}); write or ingest it again"
        ) from error
    if not isinstance(document, dict):
        raise FormatError(f"{where} does not hold a JSON object; write or ingest it again")
    return document


def encode(document: dict[str, Any]) -> bytes:
    """Return a document as bytes for the disk, equal for equal documents."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, document: dict[str, Any]) -> bool:
    """Write a document so that readers see the old or the new one, never a partial one.

    Returns
    -------
    Whether the file changed.

    Raises
    ------
    StoreError
        No permission or no space.
    """
    content = encode(document)
    try:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); check its permissions and the free "
            f"space; check its permissions and the free space; check its permissions and the free "
            f"space"
        ) from error
    return True


def _replace(path: Path, content: bytes) -> None:
    # Not mkstemp: it ignores the umask and would leave files that only their owner can read.
    temporary = path.with_name(f".{token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_name(identifier: str) -> str:
    """Return a safe name for folders and files, whatever a catalogue calls its Items.

    Letters, digits, dot, dash and underscore stay; anything else becomes an underscore and a digest
    of the id is appended, so that different ids keep different names. An empty id becomes the
    digest alone.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:_MAX_NAME]
    if safe and safe == identifier and not safe.startswith("."):
        return safe
    return f"{safe.lstrip('.')}-{sha256(identifier.encode()).hexdigest()[:12]}"
