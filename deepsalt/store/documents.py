"""Documents of a store, and digests and names made of values."""

import hashlib
import json
from typing import Any

from deepsalt.documents import parse_document
from deepsalt.errors import StoreError
from deepsalt.objects import Objects


def decode(data: bytes, where: str) -> dict[str, Any]:
    """Return the document in an object; `where` names it in messages.

    Raises
    ------
    StoreError
        It is not a JSON object.
    """
    return parse_document(data, where, StoreError)


def read_document(objects: Objects, key: str) -> dict[str, Any]:
    """Return the document under a key.

    Raises
    ------
    MissingObjectError
        It does not exist.
    StoreError
        It is damaged, or the store cannot be read.
    """
    return decode(objects.read(key), f"{objects}/{key}")


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of a JSON value; equal values have equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def record_name(key: str) -> str:
    """Return a part of a key for any name: readable, and unique by a digest."""
    readable = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "_" for c in key)[:80]
    return f"{readable}-{digest_of(key)[:8]}"
