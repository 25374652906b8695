"""Numbered objects of which the highest counts: what changes, where nothing is updated.

A series is a prefix with ``0000000001.json``, ``0000000002.json``, ... Who wants to say something
new creates the next number. A creation has one winner, so of writers that saw the same state one
goes on and the others look again: no word is lost, none is there twice.

Old numbers may be removed by `trim`. A number could then be free again that a slow writer takes for
the next; so none is removed before `WRITER_PATIENCE` has passed, and a writer that took longer says
so instead of guessing.
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
"""Makes the next object of a series from its number and the one before."""

_NAME = re.compile(r"(\d{10})\.json")
_LONGEST_WAIT_S = 2.0
_ATTEMPTS = 200


def latest(objects: Objects, prefix: str) -> tuple[int, bytes] | None:
    """Return the highest number of a series and its bytes; None before the first.

    Raises
    ------
    StoreError
        The store does not let us.
    """
    while True:
        number = max(_numbers(objects, prefix), default=None)
        if number is None:
            return None
        try:
            return number, objects.read(_key(prefix, number))
        except MissingObjectError:
            continue  # it was trimmed since: there is a higher one


def heads(objects: Objects, prefix: str) -> dict[str, int]:
    """Return the highest number of each series right below a prefix, by the series' name.

    Raises
    ------
    StoreError
        The store does not let us.
    """
    found: dict[str, int] = {}
    for entry in objects.list(prefix):
        series, _, name = entry.key.rpartition("/")
        if match := _NAME.fullmatch(name):
            name = series.removeprefix(f"{prefix}/")
            found[name] = max(found.get(name, 0), int(match[1]))
    return found


def history(objects: Objects, prefix: str) -> Iterator[tuple[int, bytes]]:
    """Yield all numbers of a series that are there and their bytes, the lowest first.

    Raises
    ------
    StoreError
        The store does not let us.
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
        It is not there.
    StoreError
        The store does not let us.
    """
    return objects.read(_key(prefix, number))


def append(objects: Objects, prefix: str, make: Make) -> tuple[int, bytes]:
    """Add one object to a series and return its number and bytes.

    Parameters
    ----------
    objects
        Where the series is.
    prefix
        Which it is.
    make
        Called with the new number and the bytes of the one before, None for the first; again when
        somebody else was faster. What it raises ends the call with nothing added.

    Raises
    ------
    StoreError
        The store does not let us, others are always faster, or the machine slept in between.
    """
    for attempt in range(_ATTEMPTS):
        began = _now_s()
        number, before = latest(objects, prefix) or (0, None)
        number += 1
        data = make(number, before)
        if objects.create(_key(prefix, number), data):
            if _now_s() - began > WRITER_PATIENCE.total_seconds():
                raise StoreError(
                    f"{objects}/{prefix} may have gone on while this machine slept; look at its "
                    "last numbers before you repeat this"
                )
            return number, data
        time.sleep(random() * min(_LONGEST_WAIT_S, 0.01 * 2 ** min(attempt, 10)))
    raise StoreError(
        f"{objects}/{prefix} is written by so many others that {_ATTEMPTS} attempts came too late; "
        "try again"
    )


def trim(objects: Objects, prefix: str, *, keep: int = 1) -> int:
    """Remove old numbers of a series, never the highest; return how many.

    Parameters
    ----------
    objects
        Where the series is.
    prefix
        Which it is.
    keep
        How many of the highest stay, at least 1. Those younger than `WRITER_PATIENCE`, by the
        store's clock, stay in any case.

    Raises
    ------
    StoreError
        The store does not let us.
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
    """Return seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
