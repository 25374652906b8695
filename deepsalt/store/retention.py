"""Retention: which versions and unfinished builds can go, and removing them.

A version is renamed away before anything of it is deleted, so that a crash leaves it whole or
gone. Shards that another version uses are hard links: deleting one of them frees nothing and
harms nobody.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deepsalt.errors import UsageError
from deepsalt.objects.disk import storing, sync
from deepsalt.store.journal import POINTER_PREFIX, history
from deepsalt.store.records import Store
from deepsalt.store.versions import complete_versions, published_id

REMOVED = ".removed"


@dataclass(frozen=True, slots=True)
class Prunable:
    """What a store can do without.

    Parameters
    ----------
    versions
        Ids of the versions to remove, longest unpublished first.
    leftovers
        Folders and links, relative to the store, that unfinished builds and removals left.
    kept
        Ids of the versions that stay.
    freed_bytes
        Bytes of their files that no kept version shares.
    """

    versions: tuple[str, ...]
    leftovers: tuple[str, ...]
    kept: tuple[str, ...]
    freed_bytes: int


def find_prunable(store: Store, *, keep: int) -> Prunable:
    """Return what `prune` would remove.

    Parameters
    ----------
    store
        The store.
    keep
        How many versions stay: the published one, and those published last.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        A build is going on, or the store cannot be read.
    """
    with store.locked():
        return _find(store, keep)


def prune(store: Store, *, keep: int) -> Prunable:
    """Remove old versions and what unfinished builds left; the published version always stays.

    Holds the locks of builds and pushes, so nothing that they use is touched. A prune that was
    interrupted leaves a valid store, and the next one finishes it.

    Parameters
    ----------
    store
        The store.
    keep
        How many versions stay: the published one, and those published last.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        A build or a push is going on, or the store cannot be written.
    """
    with store.locked() as lease, store.pushing():
        found = _find(store, keep)
        # Leftovers first: one may be in the way of the version that is renamed to its name.
        for leftover in found.leftovers:
            lease.check()
            _remove(store.path / leftover)
        for version in found.versions:
            group = store.versions / f"{version}.zarr"
            lease.check()
            with storing(group):
                group.rename(group.with_suffix(REMOVED))
                sync(store.versions)
            _remove(group.with_suffix(REMOVED))
            _remove(store.records / "versions" / version)
    return found


def _find(store: Store, keep: int) -> Prunable:
    if keep < 1:
        raise UsageError(f"the published version always stays, so --keep is at least 1, not {keep}")
    complete = [version.id for version in complete_versions(store)]
    published = published_id(store)
    last = {publication.version: number for number, publication in enumerate(history(store))}
    ranked = sorted(complete, key=lambda version: (version == published, last.get(version, -1)))
    gone, kept = ranked[:-keep], ranked[-keep:]
    leftovers = tuple(_leftovers(store, {*complete, str(published)}))
    doomed = [store.versions / f"{version}.zarr" for version in gone]
    doomed += [store.records / "versions" / version for version in gone]
    doomed += [store.path / leftover for leftover in leftovers]
    return Prunable(tuple(gone), leftovers, tuple(kept), _freed_bytes(doomed))


def _leftovers(store: Store, known: set[str]) -> Iterable[str]:
    """Yield what belongs to no complete version and is not published, relative to the store."""
    groups, records = store.versions.glob("*"), (store.records / "versions").glob("*")
    found = [path for path in groups if path.name.removesuffix(".zarr") not in known]
    found += [path for path in records if path.name not in known]
    found += store.path.glob(f"{POINTER_PREFIX}*")
    return (path.relative_to(store.path).as_posix() for path in sorted(found))


def _freed_bytes(doomed: Iterable[Path]) -> int:
    """Return the size of all files below that have no other name elsewhere."""
    names, files = Counter[int](), dict[int, os.stat_result]()
    for folder in doomed:
        if folder.is_symlink():
            continue
        for path in folder.rglob("*"):
            if path.is_file():
                found = path.stat()
                names[found.st_ino] += 1
                files[found.st_ino] = found
    return sum(file.st_size for inode, file in files.items() if names[inode] >= file.st_nlink)


def _remove(path: Path) -> None:
    with storing(path):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
