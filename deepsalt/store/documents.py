"""JSON documents as bytes of objects, equal bytes for equal documents."""

import hashlib
import json
from typing import Any

from deepsalt.errors import StoreError
from deepsalt.inputs import parse_json
from deepsalt.objects import Objects


def encode(document: Any) -> bytes:
    """Return a JSON value as the bytes of an object."""
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()


def decode(data: bytes, where: str) -> dict[str, Any]:
    """Return the document in an object.

    Parameters
    ----------
    data
        Its bytes.
    where
        Name of the object, for the message.

    Raises
    ------
    StoreError
        They are not a JSON object.
    """
    try:
        document = parse_json(data)
    except ValueError as error:
        raise StoreError(f"{where} is not JSON ({error}); restore or remove it") from error
    if not isinstance(document, dict):
        raise StoreError(f"{where} does not hold a JSON object; restore or remove it")
    return document


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
