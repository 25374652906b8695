"""Where an export may go, and of which kind it is there.

A target is a *fixed path*, a Zarr group that changes in place, or a *series*: a prefix per version
and a pointer to the one that counts. What is there already stays of its kind. A new target in a
folder is a fixed path; in a bucket it is one when its name ends in ``.zarr``.

::

    TARGET/                          a fixed path
    ├── zarr.json, salinity/, ...    the group
    └── export/<n>.json              what it holds, see `deepsalt.export.record`

    TARGET/                          a series
    ├── versions/<version>.zarr/     as above
    └── published/<n>.json           which of them counts; the highest number does
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deepsalt.errors import MissingObjectError, StoreAccessError, StoreError, UsageError
from deepsalt.export.record import RECORD
from deepsalt.objects import Entry, Objects, latest
from deepsalt.store import Store, Where
from deepsalt.store.documents import decode
from deepsalt.versions.storage import PREFIX

MOSAIC_ZARR = "mosaic.zarr"
"""The one place in a store that an export of it may go to."""
POINTER = "published"
"""Prefix of the pointers of a series."""
VERSIONS = "versions"
LOCK = f"{RECORD}/lock"

_GROUP = ".zarr"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes.

    Parameters
    ----------
    objects
        The place.
    is_series
        Whether it has a prefix per version.
    """

    objects: Objects
    is_series: bool

    @classmethod
    def of(cls, objects: Objects) -> "Target | None":
        """Return what was exported to a place; None where nothing was.

        Raises
        ------
        StoreError
            The place cannot be read.
        """
        # Others may have folders of these names: what counts is a record that is one of ours.
        if latest(objects, POINTER) is not None or _has_versions(objects):
            return cls(objects, is_series=True)
        if latest(objects, RECORD) is not None:
            return cls(objects, is_series=False)
        return None

    @classmethod
    def new(cls, objects: Objects) -> "Target":
        """Return what an empty place becomes."""
        is_group = objects.location.uri.endswith(_GROUP)
        return cls(objects, is_series=not objects.is_local and not is_group)


def check_target(store: Objects, where: Where) -> Target:
    """Return the target at a path or URI, unless a store's mosaic may not be exported there.

    Parameters
    ----------
    store
        The store, which need not exist yet.
    where
        Path or URI.

    Raises
    ------
    UsageError
        It is no place, is a store or lies inside one (but for `MOSAIC_ZARR` of the same store), or
        holds something else.
    StoreError
        The place cannot be read.
    """
    objects = Objects.of(where)
    real = _real(objects)
    own = _real(store)
    if objects.is_local and objects.path.exists() and not objects.path.is_dir():
        raise UsageError(f"{objects} is a file; export to a folder or a bucket")
    if real.location != own.below(MOSAIC_ZARR).location:
        if real.location in (own.location, own.below(PREFIX).location):
            raise UsageError(f"{objects} belongs to the store itself; export to another place")
        _refuse_stores(objects, real)
    found = Target.of(objects)
    if found is not None:
        return found
    if foreign := next(_others(objects), None):
        raise UsageError(
            f"{objects} holds {foreign.key}, which is not an export of deepsalt; export to a place "
            "that is empty or new"
        )
    return Target.new(objects)


def group_at(objects: Objects) -> Objects | None:
    """Return the Zarr group that counts at a place: its own, or the one that its pointer names.

    Raises
    ------
    StoreError
        The pointer is damaged, or the place cannot be read.
    """
    pointer = read_pointer(objects)
    if pointer is not None:
        return objects.below(pointer[1])
    with suppress(MissingObjectError):
        document = decode(objects.read("zarr.json"), f"{objects}/zarr.json")
        if document.get("node_type") == "group":
            return objects
    return None


def read_pointer(objects: Objects) -> tuple[int, str] | None:
    """Return the number of the pointer of a series, and the group that it names.

    Raises
    ------
    StoreError
        It is damaged, or the place cannot be read.
    """
    found = latest(objects, POINTER)
    return None if found is None else (found[0], group_of(found[1], f"{objects}/{POINTER}"))


def group_of(pointer: bytes, where: str) -> str:
    """Return the group that a pointer names.

    Raises
    ------
    StoreError
        It is damaged.
    """
    group = decode(pointer, where).get("group")
    if not isinstance(group, str) or not group.startswith(f"{VERSIONS}/"):
        raise StoreError(f"{where} names no group ({json.dumps(group)}); export again")
    return group


def _real(objects: Objects) -> Objects:
    """Return a place in a folder by the name that the file system has for it."""
    return Objects.of(Path(os.path.realpath(objects.path))) if objects.is_local else objects


def _refuse_stores(objects: Objects, real: Objects) -> None:
    if Store.exists(real):
        raise UsageError(f"{objects} is a store; export to another place")
    for outer in real.outer():
        # Whose rights end at a prefix cannot see whether it lies in a store.
        with suppress(StoreAccessError):
            if Store.exists(outer):
                raise UsageError(f"{objects} lies inside the store {outer}; export beside it")


def _has_versions(objects: Objects) -> bool:
    """Return whether a first export into a series was interrupted."""
    names = objects.folders(VERSIONS) if next(objects.list(VERSIONS), None) else ()
    return any(next(objects.list(f"{VERSIONS}/{name}/{RECORD}"), None) for name in names)


def _others(objects: Objects) -> Iterator[Entry]:
    return (entry for entry in objects.list() if entry.key != LOCK)
