"""JSON documents: read with their place in every error, encoded by one rule, written whole."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from deepsalt.errors import DeepsaltError, FormatError, StoreError
from deepsalt.inputs import parse_json, read_regular

_MAX_BYTES = 64 * 2**20


def parse_document(
    content: bytes, where: str, refusal: type[DeepsaltError] = FormatError
) -> dict[str, Any]:
    """Return the JSON object in bytes.

    Parameters
    ----------
    content
        The bytes, of any origin.
    where
        Names their source in messages.
    refusal
        Class of the error: who reads a store's own records raises a StoreError.

    Raises
    ------
    FormatError
        Or `refusal`: they are not a JSON object, or one nested too deeply.
    """
    try:
        document = parse_json(content)
    except ValueError as error:
        raise refusal(
            f"{where} is not valid JSON ({error}); restore it, or remove it and make it again"
        ) from error
    if not isinstance(document, dict):
        raise refusal(
            f"{where} does not hold a JSON object; restore it, or remove it and make it again"
        )
    return document


def encode(document: Any, *, as_written: bool = False, allow_nan: bool = False) -> bytes:
    """Return a JSON value as bytes of UTF-8 that end with a newline.

    Parameters
    ----------
    document
        The value.
    as_written
        Keep the order of the keys, and letters beyond ASCII, as in STAC documents, which people
        read. Default: keys sorted and ASCII, so that equal values are equal bytes, whichever code
        made them; writers of the same record at the same time depend on it.
    allow_nan
        Write NaN, which Python reads and other programs may not. For scores, where NaN means that
        there are too few spectra for one.

    Raises
    ------
    ValueError
        A number is not finite, unless allowed.
    """
    text = json.dumps(
        document,
        indent=1,
        sort_keys=not as_written,
        ensure_ascii=not as_written,
        allow_nan=allow_nan,
    )
    return f"{text}\n".encode()


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
            f"{path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    return parse_document(content, str(path))


def write_json(path: Path, document: dict[str, Any]) -> bool:
    """Write a document, as written, so that readers see the old or the new one, never a part.

    Returns
    -------
    Whether the file changed.

    Raises
    ------
    StoreError
        No permission or no space.
    """
    content = encode(document, as_written=True)
    try:
        with suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); check its permissions and the free space"
        ) from error
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old or the new bytes, never a part.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces `path` in one step after the block.

    If the block raises, `path` stays as it was. The new file has the mode of any file that is
    written here: `mkstemp` would ignore the umask and leave one that only its owner can read.

    Raises
    ------
    OSError
        It cannot be written.
    """
    # No other suffix: what looks for *.json or *.npz must not find a part.
    temporary = path.with_name(f".{token_hex(8)}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
