"""A version of a mosaic as plain Zarr, for readers that know only that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deepsalt.documents import encode
from deepsalt.errors import OvertakenError, StoreMissingError, UsageError
from deepsalt.export.fill import FillReport, bring, delete_all
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
from deepsalt.export.tiles import Content, CopySource
from deepsalt.objects import Objects, append, history, latest, trim
from deepsalt.progress import Progress
from deepsalt.store import Where
from deepsalt.versions import Mosaic, encoded, filled_periods, open_mosaic
from deepsalt.versions.storage import exclusively


@dataclass(frozen=True, slots=True)
class Exported:
    """Outcome of an export.

    Parameters
    ----------
    target
        Its target.
    group
        Path or URI of the Zarr group, as other readers expect it.
    version
        Id of the version that the group holds, as shown.
    objects, bytes
        Objects that were sent, and their size.
    shards
        Shards of the mosaic that were sent or removed.
    copied
        Objects copied from the previously exported version, inside a bucket.
    is_full
        Whether everything was written again.
    grown
        Whether that was because data or periods lie outside the group's earlier extent.
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

    Encoded shards are copied, each verified by its checksums; at a fixed path only those that
    differ from the last exported version. Repeat an interrupted call.

    Parameters
    ----------
    mosaic
        The mosaic.
    target
        Path or URI; see `deepsalt.export.target` for its kinds.
    version
        Id of the version, or its first characters. Default: the published version.
    sharded
        Whether each shard is an object; otherwise each chunk is, for GDAL before 3.13 and QGIS.
    keep
        Number of versions to keep in a bucket, this one included; readers of an older one lose it.
        Default: all.
    progress
        Receives progress on tiles.

    Raises
    ------
    UsageError
        The target is invalid, or the number of versions cannot be kept.
    StoreMissingError
        Nothing has been published yet, or the version is empty.
    VersionMissingError
        The version does not exist, or no longer.
    OvertakenError
        Another export to the target started meanwhile.
    StoreError
        A shard is damaged, or the location cannot be read or written.
    """
    if keep is not None and keep < 1:
        raise UsageError(f"cannot keep {keep} versions; keep at least 1, the exported one")
    found = check_target(mosaic.objects, target)
    if keep is not None and not found.is_series:
        raise UsageError(
            f"{found.objects} is one Zarr group that is overwritten in place and keeps no older "
            f"versions; leave out keep, or give a bucket prefix that does not end in .zarr"
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
            f"version {version.short} of {mosaic.objects} is empty, so there is nothing to "
            f"export; map scenes first"
        )
    attrs = open_mosaic(mosaic, version=version.id, chunks=None).attrs
    return Content(mosaic, version, encoded(mosaic, version), filled, attrs)


def _exported(target: Objects, place: Objects, content: Content, brought: FillReport) -> Exported:
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
    seed = None if before is None or before[1] == group else CopySource(target, before[1], group)
    brought = bring(
        place, content, is_sharded=sharded, is_shared=True, seed=seed, progress=progress
    )
    if before is None or before[1] != group:
        _point(target, group, before)
    removed = 0 if keep is None else _prune(target, group, keep)
    return replace(_exported(target, place, content, brought), removed=removed)


def _point(target: Objects, group: str, before: tuple[int, str] | None) -> None:
    """Make a group the current one, unless another export has done so since."""

    def make(number: int, _: bytes | None) -> bytes:
        if number != (before[0] if before else 0) + 1:
            raise OvertakenError(
                f"another export to {target} finished meanwhile and is kept; export again"
            )
        return encode({"group": group})

    append(target, POINTER, make)


def _prune(target: Objects, group: str, keep: int) -> int:
    """Remove groups before the last few, and remains of unfinished exports."""
    where = f"{target}/{POINTER}"
    pointers = [group_of(data, where) for _, data in history(target, POINTER)]
    if not pointers or pointers[-1] != group:
        return 0  # a later export prunes
    kept = {*[*dict.fromkeys(reversed(pointers))][:keep]}
    since = max(entry.modified for entry in target.list(POINTER))
    removed = 0
    for name in target.folders(VERSIONS):
        old = f"{VERSIONS}/{name}"
        if old in kept or latest(target, f"{old}/{RECORD}") is None:
            continue  # or a foreign folder
        entries = [*target.list(old)]
        # Newer groups may belong to a running export.
        if old in pointers or all(entry.modified <= since for entry in entries):
            # The group's document first, so that readers get an error instead of fill values.
            target.delete([f"{old}/{ROOT}"])
            delete_all(target, (entry.key for entry in entries))
            removed += 1
    trim(target, POINTER, keep=keep)
    return removed


@contextmanager
def _alone(target: Target) -> Iterator[None]:
    """Keep other exports out of a folder; in buckets the record detects them."""
    if target.objects.is_local and not target.is_series:
        with exclusively(target.objects, LOCK):
            yield
    else:
        yield
