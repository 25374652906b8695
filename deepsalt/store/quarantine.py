"""Scenes that can never work, with the reason: durable records that later runs honour."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from deepsalt.documents import encode
from deepsalt.objects import append, heads, latest, read_number
from deepsalt.store.documents import decode, record_name
from deepsalt.store.store import Store

_PREFIX = "records/quarantine"
_AT_ONCE = 16


def quarantine(store: Store, scene: str, reason: str) -> None:
    """Record that a scene cannot work; later runs leave it out.

    Parameters
    ----------
    store
        The store.
    scene
        Scene key (`Acquisition.key`).
    reason
        One sentence, from the error.

    Raises
    ------
    StoreError
        The record cannot be written.
    """
    _say(store, scene, reason)


def release(store: Store, scene: str) -> None:
    """Release a scene from quarantine; write nothing if it was not quarantined.

    Raises
    ------
    StoreError
        The record cannot be written.
    """
    if latest(store.objects, _prefix(scene)) is not None:
        _say(store, scene, None)


def quarantined(store: Store, scenes: Iterable[str] | None = None) -> dict[str, str]:
    """Return the reason for each quarantined scene, by scene key.

    Parameters
    ----------
    store
        The store.
    scenes
        Only these scenes. Default: all.

    Raises
    ------
    StoreError
        A record cannot be read.
    """
    known = heads(store.objects, _PREFIX)
    if scenes is not None:
        known = {name: known[name] for name in map(record_name, scenes) if name in known}
    found = {}
    for name, number in sorted(known.items()):
        prefix = f"{_PREFIX}/{name}"
        document = decode(read_number(store.objects, prefix, number), f"{store}/{prefix}")
        if document.get("reason") is not None:
            found[str(document.get("scene"))] = str(document["reason"])
    return found


def count_quarantined(store: Store, seen: dict[tuple[str, int], bool]) -> int:
    """Return how many scenes are in quarantine; reads records that are new since the last call.

    Parameters
    ----------
    store
        The store.
    seen
        What earlier calls with the same store read; this one adds to it.

    Raises
    ------
    StoreError
        A record cannot be read.
    """
    known = set(heads(store.objects, _PREFIX).items())
    for each in seen.keys() - known:
        del seen[each]
    new = sorted(known - seen.keys())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        seen.update(zip(new, pool.map(lambda each: _holds(store, *each), new), strict=True))
    return sum(seen.values())


def _holds(store: Store, name: str, number: int) -> bool:
    prefix = f"{_PREFIX}/{name}"
    document = decode(read_number(store.objects, prefix, number), f"{store}/{prefix}")
    return document.get("reason") is not None


def quarantined_since(store: Store, since: datetime) -> dict[str, str]:
    """Return the reason for each scene that was quarantined since a moment, by scene key.

    Raises
    ------
    StoreError
        A record cannot be read.
    """
    new = {
        entry.key.split("/")[2] for entry in store.objects.list(_PREFIX) if entry.modified >= since
    }
    if not new:
        return {}
    return {s: reason for s, reason in quarantined(store).items() if record_name(s) in new}


def _say(store: Store, scene: str, reason: str | None) -> None:
    document = encode({"scene": scene, "reason": reason})
    append(store.objects, _prefix(scene), lambda number, before: document)


def _prefix(scene: str) -> str:
    return f"{_PREFIX}/{record_name(scene)}"
