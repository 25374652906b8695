"""Where an export may go, and its kind.

A target is a *fixed path*, a Zarr group that is overwritten in place, or a *series*: a prefix per
version and a pointer to the current one. An existing target keeps its kind. A new target in a
folder is a fixed path; in a bucket it is one if its name ends in ``.zarr``.

::

    TARGET/                          a fixed path
    ├── zarr.json, salinity/, ...    the group
    └── export/<n>.json              its content, see `deepsalt.export.record`

    TARGET/                          a series
    ├── versions/<version>.zarr/     as above
    └── published/<n>.json           the current one; the highest number counts
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
"""The only place inside a store for an export of it."""
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
        """Return the export at a location; None if there is none.

        Raises
        ------
        StoreError
            The place cannot be read.
        """
        # Foreign folders may have these names: only a record of ours counts.
        if latest(objects, POINTER) is not None or _has_versions(objects):
            return cls(objects, is_series=True)
        if latest(objects, RECORD) is not None:
            return cls(objects, is_series=False)
        return None

    @classmethod
    def new(cls, objects: Objects) -> "Target":
        """Return the kind of a new target."""
        is_group = objects.location.uri.endswith(_GROUP)
        return cls(objects, is_series=not objects.is_local and not is_group)


def check_target(store: Objects, where: Where) -> Target:
    """Return the target at a path or URI; refuse one unfit for a store's export.

    Parameters
    ----------
    store
        The store, which need not exist yet.
    where
        Path or URI.

    Raises
    ------
    UsageError
        The location is invalid, is a store or lies inside one (except `MOSAIC_ZARR` of the same
        store), or holds something else.
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
            raise UsageError(f"{objects} belongs to the store itself; export to another location")
        _refuse_stores(objects, real)
    found = Target.of(objects)
    if found is not None:
        return found
    if foreign := next(_others(objects), None):
        raise UsageError(
            f"{objects} holds {foreign.key}, which is not an export of deepsalt; export to an "
            f"empty or new location"
        )
    return Target.new(objects)


def group_at(objects: Objects) -> Objects | None:
    """Return the current Zarr group of a location: its own, or the one that its pointer names.

    Raises
    ------
    StoreError
        The pointer is damaged, or the location cannot be read.
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
        It is damaged, or the location cannot be read.
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
    """Return a location in a folder by its name on the file system."""
    return Objects.of(Path(os.path.realpath(objects.path))) if objects.is_local else objects


def _refuse_stores(objects: Objects, real: Objects) -> None:
    if Store.exists(real):
        raise UsageError(f"{objects} is a store; export to another location")
    for outer in real.outer():
        # Credentials limited to a prefix cannot tell whether it lies in a store.
        with suppress(StoreAccessError):
            if Store.exists(outer):
                raise UsageError(f"{objects} lies inside the store {outer}; export beside it")


def _has_versions(objects: Objects) -> bool:
    """Return whether a first export into a series was interrupted."""
    names = objects.folders(VERSIONS) if next(objects.list(VERSIONS), None) else ()
    return any(next(objects.list(f"{VERSIONS}/{name}/{RECORD}"), None) for name in names)


def _others(objects: Objects) -> Iterator[Entry]:
    return (entry for entry in objects.list() if entry.key != LOCK)
