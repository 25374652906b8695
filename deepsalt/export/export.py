"""A version of a mosaic as plain Zarr, for readers that know nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deepsalt.errors import OvertakenError, StoreMissingError, UsageError
from deepsalt.export.fill import Brought, bring, delete_all
from deepsalt.export.group import ROOT
from deepsalt.export.record import RECORD
from deepsalt.export.target import (
    LOCK,
    POINTER,
    VERSIONS,
    Target,
    check_target,
    group_of,
    read_pointer,
)
from deepsalt.export.tiles import Content, Seed
from deepsalt.objects import Objects, append, history, latest, trim
from deepsalt.progress import Progress
from deepsalt.store import Where
from deepsalt.store.documents import encode
from deepsalt.versions import Mosaic, encoded, filled_periods, open_mosaic
from deepsalt.versions.storage import exclusively


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Parameters
    ----------
    target
        Where it went.
    group
        Path or URI of the Zarr group, as other readers take it.
    version
        Id of the version that the group holds, as it is shown.
    objects, bytes
        Objects that were sent, and their size.
    shards
        Shards of the mosaic that were sent or removed.
    copied
        Objects that were copied from the version exported before, inside a bucket.
    is_full
        Whether everything was written anew.
    grown
        Whether that was because data lie beyond what the group covered, or periods before others.
    removed
        Older versions that were removed.
    """

    target: Objects
    group: str
    version: str
    objects: int
    bytes: int
    shards: int
    copied: int
    is_full: bool
    grown: bool
    removed: int = 0


def export_mosaic(
    mosaic: Mosaic,
    target: Where,
    *,
    version: str | None = None,
    sharded: bool = True,
    keep: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Export a version of a mosaic as plain Zarr.

    Shards are copied as they are encoded, each checked by its checksums; at a fixed path only those
    that differ from the version exported last. A call that was interrupted is repeated.

    Parameters
    ----------
    mosaic
        The mosaic.
    target
        Path or URI; see `deepsalt.export.target` for what it becomes.
    version
        Id of the version or its beginning; the published one by default.
    sharded
        Whether a shard is an object; otherwise each chunk is, for GDAL before 3.13 and QGIS.
    keep
        In a bucket, how many versions stay, this one among them; readers that opened an older one
        lose it. All stay without.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        A target that cannot be one, or a number of versions that cannot be kept.
    StoreMissingError
        Nothing was published yet, or the version is empty.
    VersionMissingError
        There is no such version, or no longer.
    OvertakenError
        Another export into the target began meanwhile.
    StoreError
        A shard is damaged, or the place cannot be read or written.
    """
    if keep is not None and keep < 1:
        raise UsageError(f"{keep} versions cannot be kept; the exported one always is")
    found = check_target(mosaic.objects, target)
    if keep is not None and not found.is_series:
        raise UsageError(
            f"{found.objects} is one Zarr group that changes in place and keeps no older versions; "
            "leave keep out, or give a prefix of a bucket that does not end in .zarr"
        )
    with _alone(found):
        content = _content(mosaic, version)
        if found.is_series:
            return _export_to_series(found.objects, content, sharded, keep, progress)
        brought = bring(found.objects, content, is_sharded=sharded, progress=progress)
        return _exported(found.objects, found.objects, content, brought)


def _content(mosaic: Mosaic, id: str | None) -> Content:
    version = mosaic.head() if id is None else mosaic.find(id)
    if version is None:
        raise StoreMissingError(
            f"{mosaic.objects} has no published mosaic; `deepsalt run` makes one"
        )
    filled = filled_periods(mosaic, version)
    if not filled:
        raise StoreMissingError(
            f"version {version.short} of {mosaic.objects} is empty; nothing is exported"
        )
    attrs = open_mosaic(mosaic, version=version.id, chunks=None).attrs
    return Content(mosaic, version, encoded(mosaic, version), filled, attrs)


def _exported(target: Objects, place: Objects, content: Content, brought: Brought) -> Exported:
    return Exported(
        target=target,
        group=str(place),
        version=content.version.short,
        objects=brought.counts.objects,
        bytes=brought.counts.bytes,
        shards=brought.counts.shards,
        copied=brought.counts.copied,
        is_full=brought.is_full,
        grown=brought.grown,
    )


def _export_to_series(
    target: Objects, content: Content, sharded: bool, keep: int | None, progress: Progress | None
) -> Exported:
    before = read_pointer(target)
    group = f"{VERSIONS}/{content.version.short}{'' if sharded else '-chunks'}.zarr"
    place = target.below(group)
    seed = None if before is None or before[1] == group else Seed(target, before[1], group)
    brought = bring(
        place, content, is_sharded=sharded, is_shared=True, seed=seed, progress=progress
    )
    if before is None or before[1] != group:
        _point(target, group, before)
    removed = 0 if keep is None else _prune(target, group, keep)
    return replace(_exported(target, place, content, brought), removed=removed)


def _point(target: Objects, group: str, before: tuple[int, str] | None) -> None:
    """Make a group the one that counts, unless somebody pointed to another one since."""

    def make(number: int, _: bytes | None) -> bytes:
        if number != (before[0] if before else 0) + 1:
            raise OvertakenError(
                f"another export to {target} ended meanwhile, and what it made stays; export again"
            )
        return encode({"group": group})

    append(target, POINTER, make)


def _prune(target: Objects, group: str, keep: int) -> int:
    """Remove groups before the last so many, and what exports left that never ended."""
    where = f"{target}/{POINTER}"
    pointers = [group_of(data, where) for _, data in history(target, POINTER)]
    if not pointers or pointers[-1] != group:
        return 0  # somebody else exported since, and prunes
    kept = {*[*dict.fromkeys(reversed(pointers))][:keep]}
    since = max(entry.modified for entry in target.list(POINTER))
    removed = 0
    for name in target.folders(VERSIONS):
        old = f"{VERSIONS}/{name}"
        if old in kept or latest(target, f"{old}/{RECORD}") is None:
            continue  # or a folder of somebody else
        entries = [*target.list(old)]
        # What is newer may be what another export is writing.
        if old in pointers or all(entry.modified <= since for entry in entries):
            # The group's document first: readers are told instead of reading fill values.
            target.delete([f"{old}/{ROOT}"])
            delete_all(target, (entry.key for entry in entries))
            removed += 1
    trim(target, POINTER, keep=keep)
    return removed


@contextmanager
def _alone(target: Target) -> Iterator[None]:
    """Keep other exports out of a folder; in buckets the record notices them."""
    if target.objects.is_local and not target.is_series:
        with exclusively(target.objects, LOCK):
            yield
    else:
        yield
