"""Files that somebody else wrote: only regular ones are opened, only so much of them is read.

A path from a document, a product folder or a command may name a pipe, which never answers, or a
device. What is refused here is an OSError, so that whoever opens the file says it with the file's
name, as of a file that may not be read.
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
"""Nesting of a JSON document; the deepest of ours, an area in a FeatureCollection, has 9."""

MAX_CONTAINERS = 1_000_000
"""Lists and objects of a JSON document. An Item of 224 bands has 300; a catalogue one per link."""

_CONTAINERS = frozenset({dict, list})

_LONG_DIGITS = 19
"""Of the shortest whole number beyond 64 bits, of which orjson makes a float."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_regular(path: str | Path) -> None:
    """Refuse what a path leads to, over links, unless it is a regular file; nothing is opened.

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
        _refuse_other(os.fstat(descriptor).st_mode, path)  # it may have been exchanged meanwhile
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
        Most that is read; None: no limit.

    Raises
    ------
    OSError
        As `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        if limit_bytes is None:
            return file.read()
        # Python asks the system for room for all that may come before it reads.
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit_bytes) + 1)
        if len(content) > size:  # it grows, or lies where sizes are not known
            content += file.read(limit_bytes + 1 - len(content))
    if len(content) > limit_bytes:
        raise OSError(
            errno.EFBIG, f"it is larger than {limit_bytes / 2**20:.3g} MiB", os.fspath(path)
        )
    return content


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text that is nested at most `MAX_DEPTH` deep.

    Deeper ones parse, or not, by the version of Python, and break whatever walks over them.

    Raises
    ------
    ValueError
        Not JSON, not UTF-8, a number of thousands of digits, nested too deep, or of too many parts.
    """
    # Two bytes of text make one, of fifty in memory, and Python walks over all again and again.
    content = text.encode() if isinstance(text, str) else text
    # By NumPy, as below: Python's own count takes as long as orjson does for all of it.
    letters = np.frombuffer(content, np.uint8)
    opened = np.count_nonzero((letters | 0x20) == ord("{"))  # one bit makes "{" of "["
    if opened > MAX_CONTAINERS:
        raise ValueError(f"it has {opened} lists and objects; at most {MAX_CONTAINERS} are read")
    too_deep = f"it is nested more than {MAX_DEPTH} deep"
    try:
        value = _loads(content, letters)
    except RecursionError:
        raise ValueError(too_deep) from None
    level = [value] if type(value) in _CONTAINERS else []
    found = len(level)
    for _ in range(MAX_DEPTH):
        if found == opened:  # all there are, unless brackets in texts were counted with them
            return value
        inner = [node.values() if type(node) is dict else node for node in level]
        if _CONTAINERS.isdisjoint(map(type, chain.from_iterable(inner))):
            return value
        level = [child for child in chain.from_iterable(inner) if type(child) in _CONTAINERS]
        found += len(level)
    raise ValueError(too_deep)


def _loads(content: bytes, letters: NDArray[np.uint8]) -> Any:
    """Return what `json.loads` returns, in a quarter of its time.

    orjson refuses some of what Python reads (NaN, UTF-16, half a surrogate pair); of what both read
    it makes the same, whole numbers beyond 64 bits apart.
    """
    if not _holds_long_number(letters):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(content)
    return json.loads(content)


def _holds_long_number(letters: NDArray[np.uint8]) -> bool:
    """Return whether as many digits as `_LONG_DIGITS` follow each other anywhere."""
    digits = letters - np.uint8(ord("0")) < 10
    length = 1
    while length < _LONG_DIGITS:  # from here on there are as many digits
        step = min(length, _LONG_DIGITS - length)
        digits = digits[:-step] & digits[step:]
        length += step
    return bool(digits.any())


def _refuse_other(mode: int, path: str | Path) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for test, name in _KINDS if test(mode)), "no file")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))
