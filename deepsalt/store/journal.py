"""Publishing: the link that readers follow moves last; the journal says what changed, and why.

Each publication has a record, written before the link moves. A last record whose version is not
the published one belongs to a publication that was interrupted, and the next one takes its place.
The caller holds the store's lock and hands its lease in.
"""

import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepsalt.errors import StoreError
from deepsalt.objects.disk import storing, sync, sync_tree
from deepsalt.store.files import read_json, write_json
from deepsalt.store.lease import Lease
from deepsalt.store.periods import Period
from deepsalt.store.records import Store
from deepsalt.store.versions import (
    Layout,
    complete_versions,
    published_id,
    read_version,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """One move of the link that readers follow.

    Parameters
    ----------
    version
        Id of the version that was published.
    published
        When, UTC.
    why
        ``run``, ``mosaic build``, ``withdrawn: <reason>`` ...; empty when unknown.
    previous
        Id of the version that a rollback from this one leads to; None when it is the first.
    added, removed
        Names of products that the mosaic gained and lost, sorted.
    """

    version: str
    published: datetime
    why: str
    previous: str | None
    added: tuple[str, ...]
    removed: tuple[str, ...]


def publish(
    store: Store,
    version: str,
    building: Layout,
    periods: Iterable[tuple[Period, tuple[str, ...]]],
    *,
    why: str,
    lease: Lease,
) -> None:
    """Make a built version the one that readers see.

    Arrays of builds that were given up are removed.

    Raises
    ------
    StoreError
        The store cannot be written, or the lease is over.
    """
    _start_journal(store)
    final = store.versions / f"{version}.zarr"
    extent = building.extent
    with storing(building.group):
        sync_tree(building.group)
        lease.check()  # who was taken over must not touch what the other one published
        if final.exists():
            shutil.rmtree(final)
        building.group.rename(final)
        sync(store.versions)
    write_json(
        store.records / "versions" / version / "version.json",
        {
            "id": version,
            "created": datetime.now(UTC).isoformat(),
            "extent": [extent.ix0, extent.iy0, extent.ix1, extent.iy1],
            "periods": [{"id": period.id, "products": list(names)} for period, names in periods],
        },
    )
    point_to(store, version, why=why, previous=published_id(store), lease=lease)
    lease.check()
    for abandoned in store.versions.glob("*.building"):
        shutil.rmtree(abandoned, ignore_errors=True)


def point_to(store: Store, version: str, *, why: str, previous: str | None, lease: Lease) -> None:
    """Make `mosaic.zarr` point to a complete version in one step, and record it.

    Raises
    ------
    StoreError
        The store cannot be written, or the lease is over.
    """
    lease.check()
    _start_journal(store)
    if published_id(store) != version:
        _record(store, version, why=why, previous=previous)
    temporary = store.path / f"{POINTER_PREFIX}{secrets.token_hex(4)}"
    with storing(store.mosaic):
        # Relative, so that a store can be moved or copied as a whole.
        temporary.symlink_to(Path("versions") / f"{version}.zarr")
        lease.check()
        temporary.replace(store.mosaic)
        sync(store.path)


POINTER_PREFIX = ".mosaic."
"""Start of the name of a link that is about to take the place of `mosaic.zarr`."""


def history(store: Store) -> list[Publication]:
    """Return every publication, the published version last."""
    found = [_read(path) for _, path in _numbered(store)] or _before_the_journal(store)
    if found and found[-1].version != published_id(store):
        found.pop()
    return found


def previous_version(store: Store, version: str) -> str | None:
    """Return the id of the version that was published before this one; None before the first."""
    for publication in reversed(history(store)):
        if publication.version == version:
            return publication.previous
    return None


def _record(store: Store, version: str, *, why: str, previous: str | None) -> None:
    last, number = published_id(store), 1
    if numbered := _numbered(store):
        number, path = numbered[-1]
        number += _read(path).version == last
    before = set(read_version(store, last).products) if last else set()
    after = set(read_version(store, version).products)
    publication = Publication(
        version=version,
        published=datetime.now(UTC),
        why=why,
        previous=previous,
        added=tuple(sorted(after - before)),
        removed=tuple(sorted(before - after)),
    )
    _write(store, number, publication)


def _start_journal(store: Store) -> None:
    """Write down what was published by a deepsalt that kept no journal, once."""
    if not _numbered(store):
        for number, older in enumerate(_before_the_journal(store), start=1):
            _write(store, number, older)


def _before_the_journal(store: Store) -> list[Publication]:
    """Return what can be known of a store whose versions were published without a journal."""
    published = published_id(store)
    versions = complete_versions(store) if published else []
    versions.sort(key=lambda version: version.id == published)
    found = list[Publication]()
    before, previous = set[str](), None
    for version in versions:
        after = set(version.products)
        added, removed = tuple(sorted(after - before)), tuple(sorted(before - after))
        found.append(Publication(version.id, version.created, "", previous, added, removed))
        before, previous = after, version.id
    return found


def _numbered(store: Store) -> list[tuple[int, Path]]:
    paths = (store.records / "history").glob("*.json")
    return sorted((int(path.stem), path) for path in paths if path.stem.isdigit())


def _write(store: Store, number: int, publication: Publication) -> None:
    document = {name: getattr(publication, name) for name in Publication.__slots__}
    write_json(
        store.records / "history" / f"{number:06d}.json",
        document | {"published": publication.published.isoformat()},
    )


def _read(path: Path) -> Publication:
    document = read_json(path)
    try:
        return Publication(
            version=document["version"],
            published=datetime.fromisoformat(document["published"]),
            why=document["why"],
            previous=document["previous"],
            added=tuple(document["added"]),
            removed=tuple(document["removed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error!r}); restore or remove it") from error
