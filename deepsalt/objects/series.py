"""Numbered objects of which the highest counts: changing state without updates.

A series is a prefix with ``0000000001.json``, ``0000000002.json``, ... A writer creates the next
number. A creation has one winner, so of writers that saw the same state one succeeds and the others
read again: no entry is lost or duplicated.

`trim` may remove old numbers. A slow writer could then mistake a freed number for the next one; so
none is removed before `WRITER_PATIENCE` has passed, and a writer that took longer raises an error
instead of guessing.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import random

from deepsalt.errors import MissingObjectError, StoreError
from deepsalt.objects.objects import Objects

WRITER_PATIENCE = timedelta(hours=1)

Make = Callable[[int, bytes | None], bytes]
"""Makes the next object of a series from its number and the previous object."""

_NAME = re.compile(r"(\d{10})\.json")
LONGEST_WAIT_S = 2.0
"""Maximum pause between two tries to append."""

_ATTEMPTS = 200


def latest(objects: Objects, prefix: str) -> tuple[int, bytes] | None:
    """Return the highest number of a series and its bytes; None before the first.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    while True:
        number = max(_numbers(objects, prefix), default=None)
        if number is None:
            return None
        try:
            return number, objects.read(_key(prefix, number))
        except MissingObjectError:
            continue  # trimmed since, so there is a higher one


def last_number(objects: Objects, prefix: str) -> int:
    """Return the highest number of a series, 0 before the first.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    return max(_numbers(objects, prefix), default=0)


def heads(objects: Objects, prefix: str) -> dict[str, int]:
    """Return the highest number of each series directly below a prefix, by the series' name.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    found: dict[str, int] = {}
    for entry in objects.list(prefix):
        series, _, name = entry.key.rpartition("/")
        if match := _NAME.fullmatch(name):
            name = series.removeprefix(f"{prefix}/")
            found[name] = max(found.get(name, 0), int(match[1]))
    return found


def history(objects: Objects, prefix: str) -> Iterator[tuple[int, bytes]]:
    """Yield all existing numbers of a series and their bytes, lowest first.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    for number in sorted(_numbers(objects, prefix)):
        try:
            yield number, objects.read(_key(prefix, number))
        except MissingObjectError:
            continue  # trimmed since


def read_number(objects: Objects, prefix: str, number: int) -> bytes:
    """Return the bytes of one number of a series.

    Raises
    ------
    MissingObjectError
        The number does not exist.
    StoreError
        The store cannot be reached, or refuses.
    """
    return objects.read(_key(prefix, number))


def append(objects: Objects, prefix: str, make: Make) -> tuple[int, bytes]:
    """Add one object to a series and return its number and bytes.

    Parameters
    ----------
    objects
        Objects that contain the series.
    prefix
        Prefix of the series.
    make
        Called with the new number and the previous bytes, None for the first; again if another
        writer was faster. If it raises, nothing is added.

    Raises
    ------
    StoreError
        The store cannot be reached, other writers are always faster, or the machine slept in
        between.
    """
    for attempt in range(_ATTEMPTS):
        began = _now_s()
        number, before = latest(objects, prefix) or (0, None)
        number += 1
        data = make(number, before)
        if objects.create(_key(prefix, number), data):
            if _now_s() - began > WRITER_PATIENCE.total_seconds():
                raise StoreError(
                    f"{objects}/{prefix} may have changed while this machine slept; check its "
                    f"last numbers before you repeat this"
                )
            return number, data
        time.sleep(random() * min(LONGEST_WAIT_S, 0.01 * 2 ** min(attempt, 10)))
    raise StoreError(
        f"{objects}/{prefix} has so many other writers that {_ATTEMPTS} attempts came too late; "
        f"try again"
    )


def trim(objects: Objects, prefix: str, *, keep: int = 1) -> int:
    """Remove old numbers of a series, never the highest; return how many.

    Parameters
    ----------
    objects
        Objects that contain the series.
    prefix
        Prefix of the series.
    keep
        Number of highest ones to keep, at least 1. Those younger than `WRITER_PATIENCE`, by the
        store's clock, stay in any case.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    entries = {
        int(match[1]): entry
        for entry in objects.list(prefix)
        if (match := _NAME.fullmatch(entry.key.removeprefix(f"{prefix}/")))
    }
    numbers = sorted(entries)
    if not numbers:
        return 0
    now = max(entry.modified for entry in entries.values())
    old = [
        entries[number].key
        for number in numbers[: -max(keep, 1)]
        if now - entries[number].modified > WRITER_PATIENCE
    ]
    objects.delete(old)
    return len(old)


def _numbers(objects: Objects, prefix: str) -> Iterator[int]:
    for entry in objects.list(prefix):
        if match := _NAME.fullmatch(entry.key.removeprefix(f"{prefix}/")):
            yield int(match[1])


def _key(prefix: str, number: int) -> str:
    return f"{prefix}/{number:010d}.json"


def _now_s() -> float:
    """Return seconds, including those while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
