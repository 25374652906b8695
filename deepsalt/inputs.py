"""Foreign files: only regular ones are opened, and only up to a size limit.

A path from a document, a product folder or a command may name a pipe, which never answers, or a
device. A refusal is an OSError, so that callers report it with the file's name, like any unreadable
file.
"""

import contextlib
import errno
import json
import os
import stat
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

MAX_DEPTH = 100
"""Maximum nesting of a JSON document; our deepest, an area in a FeatureCollection, has 9."""

MAX_CONTAINERS = 1_000_000
"""Maximum lists and objects of a JSON document. An Item of 224 bands has 300."""

_CONTAINERS = frozenset({dict, list})

_LONG_DIGITS = 19
"""Digits of the shortest whole number beyond 64 bits, which orjson turns into a float."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_regular(path: str | Path) -> None:
    """Refuse a path unless it leads, through links, to a regular file; nothing is opened.

    For libraries that open files by name.

    Raises
    ------
    OSError
        It is a pipe, socket, device or folder, or cannot be reached.
    """
    _refuse_other(os.stat(path).st_mode, path)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; never waits for a pipe and never touches a device.

    Raises
    ------
    OSError
        It is a pipe, socket, device or folder, or cannot be opened.
    """
    require_regular(path)  # opening alone can move a device
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse_other(os.fstat(descriptor).st_mode, path)  # it may have been replaced meanwhile
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, limit_bytes: int | None = None) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path
        The file.
    limit_bytes
        Maximum size to read; None for no limit.

    Raises
    ------
    OSError
        As `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        if limit_bytes is None:
            return file.read()
        # Python allocates memory for the maximum before it reads.
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit_bytes) + 1)
        if len(content) > size:  # it grows, or its file system does not know sizes
            content += file.read(limit_bytes + 1 - len(content))
    if len(content) > limit_bytes:
        raise OSError(
            errno.EFBIG, f"it is larger than {limit_bytes / 2**20:.3g} MiB", os.fspath(path)
        )
    return content


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text that is nested at most `MAX_DEPTH` deep.

    Whether deeper ones parse depends on the version of Python, and they break code that walks them.

    Raises
    ------
    ValueError
        It is not JSON or not UTF-8, has a number of thousands of digits, is nested too deeply, or
        has too many parts.
    """
    # Two bytes of text make one, of fifty bytes in memory, and Python walks over all repeatedly.
    content = text.encode() if isinstance(text, str) else text
    # By NumPy, as below: Python's own count takes as long as the whole parsing by orjson.
    letters = np.frombuffer(content, np.uint8)
    opened = np.count_nonzero((letters | 0x20) == ord("{"))  # one bit turns "[" into "{"
    if opened > MAX_CONTAINERS:
        raise ValueError(f"it has {opened} lists and objects; the maximum is {MAX_CONTAINERS}")
    too_deep = f"it is nested more than {MAX_DEPTH} deep"
    try:
        value = _loads(content, letters)
    except RecursionError:
        raise ValueError(too_deep) from None
    level = [value] if type(value) in _CONTAINERS else []
    found = len(level)
    for _ in range(MAX_DEPTH):
        if found == opened:  # the true number, unless brackets in texts were counted, too
            return value
        inner = [node.values() if type(node) is dict else node for node in level]
        if _CONTAINERS.isdisjoint(map(type, chain.from_iterable(inner))):
            return value
        level = [child for child in chain.from_iterable(inner) if type(child) in _CONTAINERS]
        found += len(level)
    raise ValueError(too_deep)


def _loads(content: bytes, letters: NDArray[np.uint8]) -> Any:
    """Return what `json.loads` returns, in a quarter of its time.

    orjson refuses some of what Python reads (NaN, UTF-16, half a surrogate pair); where both
    succeed the results are equal, except whole numbers beyond 64 bits.
    """
    if not _holds_long_number(letters):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(content)
    return json.loads(content)


def _holds_long_number(letters: NDArray[np.uint8]) -> bool:
    """Return whether there is a run of `_LONG_DIGITS` digits anywhere."""
    digits = letters - np.uint8(ord("0")) < 10
    length = 1
    while length < _LONG_DIGITS:  # a run of so many digits starts here
        step = min(length, _LONG_DIGITS - length)
        digits = digits[:-step] & digits[step:]
        length += step
    return bool(digits.any())


def _refuse_other(mode: int, path: str | Path) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for test, name in _KINDS if test(mode)), "no file")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))
