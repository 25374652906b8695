"""A mosaic's repository and its versions: a version is a commit on the branch `main`.

The metadata of its commit say what a version holds and what it is made of.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

import icechunk
import numpy as np
import zarr
from icechunk import (
    IcechunkError,
    ManifestSplitCondition,
    ManifestSplitDimCondition,
    Repository,
    Session,
    SnapshotInfo,
)
from numpy.typing import NDArray

from deepsalt import __version__
from deepsalt.errors import StoreMismatchError, StoreMissingError, VersionMissingError
from deepsalt.grid import Frame
from deepsalt.objects import Objects, create_repository
from deepsalt.objects.sentences import Verb
from deepsalt.types import QualityFlag, Report
from deepsalt.versions.arrays import counts_of, create_arrays, frame_of, report_of
from deepsalt.versions.storage import PREFIX, exclusively, is_missing, open_storage, reaching

MAIN = "main"
SHORT = 12
"""Number of characters of a version's id to show."""
NAMED = 1000
"""Maximum products named in a version's metadata; only the number of more is kept."""

_SPLIT = 32  # shards along y and x whose references share a manifest
_MOST_MANIFESTS = 600  # of an array
_FACTS = "deepsalt"  # key of a commit's metadata


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a mosaic.

    Parameters
    ----------
    id
        Id of its snapshot, 20 characters.
    created
        When it was committed.
    why
        What it was made for.
    parent
        Id of the version it was made from; None for the first. It may have expired.
    added, removed
        Names of products that tiles gained and lost, sorted, at most `NAMED`.
    added_count, removed_count
        Their numbers.
    tiles
        Tiles that were composed or emptied.
    totals
        Pixels of all tiles.
    simulated
        Tiles with simulated scenes.
    software
        Version of deepsalt that made it.
    facts
        Further facts from the builder.
    """

    id: str
    created: datetime
    why: str
    parent: str | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    added_count: int
    removed_count: int
    tiles: int
    totals: Report
    simulated: int
    software: str
    facts: Mapping[str, Any]

    @property
    def short(self) -> str:
        """The id as shown."""
        return self.id[:SHORT]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Sum of the counts of its tiles, see `deepsalt.versions.arrays.report_of`."""
        return counts_of(self.totals, self.simulated)

    @classmethod
    def of(cls, snapshot: SnapshotInfo) -> Self | None:
        """Return the version of a commit; None for the one that created the arrays."""
        facts = snapshot.metadata.get(_FACTS)
        if facts is None:
            return None
        totals = facts["totals"]
        return cls(
            id=snapshot.id,
            created=snapshot.written_at,
            why=snapshot.message,
            parent=facts["parent"],
            added=tuple(facts["added"]),
            removed=tuple(facts["removed"]),
            added_count=facts["added_count"],
            removed_count=facts["removed_count"],
            tiles=facts["tiles"],
            totals=Report(totals["pixels"], totals["estimated"], _in_order(totals["flags"])),
            simulated=totals["simulated"],
            software=facts["software"],
            facts=facts["facts"],
        )


def _in_order(flags: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return counts by flag in the order of their bits, which Icechunk does not keep."""
    names = [str(flag.name).lower() for flag in QualityFlag]
    return tuple((name, flags[name]) for name in names if name in flags)


def metadata(
    *,
    parent: str | None,
    added: set[str],
    removed: set[str],
    tiles: int,
    counts: NDArray[np.int64],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the metadata of a commit that `Version.of` reads."""
    totals = report_of(counts)
    return {
        _FACTS: {
            "parent": parent,
            "added": sorted(added)[:NAMED],
            "removed": sorted(removed)[:NAMED],
            "added_count": len(added),
            "removed_count": len(removed),
            "tiles": tiles,
            "totals": {
                "pixels": totals.pixels,
                "estimated": totals.estimated,
                "simulated": int(counts[2]),
                "flags": dict(totals.by_flag),
            },
            "software": __version__,
            "facts": dict(facts),
        }
    }


@dataclass(frozen=True)
class Mosaic:
    """A mosaic's repository; made by `create_mosaic` and `open_repository`.

    It is a value without credentials: a pickled one is reopened on arrival.

    Parameters
    ----------
    objects
        Its store.
    frame
        Extent of its arrays.
    """

    objects: Objects
    frame: Frame

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the open repository."""
        return {"objects": self.objects, "frame": self.frame}

    @cached_property
    def repository(self) -> Repository:
        """The open repository."""
        return Repository.open(open_storage(self.objects))

    def exclusively(self) -> AbstractContextManager[object]:
        """Hold the lock of a folder, see `deepsalt.versions.storage.exclusively`."""
        return exclusively(self.objects)

    def reaching(self, verb: Verb = "read") -> AbstractContextManager[None]:
        """Turn errors of Icechunk into one sentence."""
        return reaching(self.objects, verb)

    def head(self) -> Version | None:
        """Return the published version; None before the first.

        Raises
        ------
        StoreError
            No access.
        """
        with self.reaching():
            return self.version_at(self.repository.lookup_branch(MAIN))

    def version_at(self, snapshot: str) -> Version | None:
        """Return the version of a snapshot; None for the empty arrays."""
        return Version.of(self.repository.lookup_snapshot(snapshot))

    def before(self, version: Version) -> Version | None:
        """Return a version's parent; None for the first version, or if it was pruned.

        Raises
        ------
        StoreError
            No access.
        """
        if version.parent is None:
            return None
        with self.reaching():
            try:
                return self.version_at(version.parent)
            except IcechunkError as error:
                if is_missing(error):
                    return None
                raise

    def history(self) -> Iterator[Version]:
        """Yield the published version and its ancestors, newest first.

        Raises
        ------
        StoreError
            No access.
        """
        with self.reaching():
            for snapshot in self.repository.ancestry(branch=MAIN):
                if version := Version.of(snapshot):
                    yield version

    def tagged(self, prefix: str) -> dict[str, Version]:
        """Return the versions that have a tag with a prefix, by tag."""
        with self.reaching():
            tags = sorted(tag for tag in self.repository.list_tags() if tag.startswith(prefix))
            found = {tag: self.version_at(self.repository.lookup_tag(tag)) for tag in tags}
        return {tag: version for tag, version in found.items() if version}

    def find(self, id: str) -> Version:
        """Return the version with this id or first characters: published before, held or left.

        Raises
        ------
        VersionMissingError
            There is none, or it has expired.
        StoreError
            No access.
        """
        everything = {version.id: version for version in self.tagged("").values()}
        everything |= {version.id: version for version in self.history()}
        found = [version for full, version in everything.items() if id and full.startswith(id)]
        if len(found) != 1:
            kept = ", ".join(version.short for version in list(self.history())[:3]) or "none"
            raise VersionMissingError(
                f"{self.objects} has no version {id!r}"
                + (
                    "  alone: several versions start with it"
                    if found
                    else "; it may have been pruned"
                )
                + f"; the newest are {kept}"
            )
        return found[0]

    def session_at(self, version: str) -> Session:
        """Return a session that reads a version, given by its whole id.

        Raises
        ------
        VersionMissingError
            It has expired and was deleted meanwhile.
        """
        try:
            return self.repository.readonly_session(snapshot_id=version)
        except IcechunkError as error:
            if is_missing(error):
                raise expired(self.objects, version[:SHORT]) from error
            raise


def expired(objects: Objects, version: str) -> VersionMissingError:
    """Return the error for reading a pruned version."""
    return VersionMissingError(
        f"version {version} of {objects} was pruned while it was read; open the mosaic again"
    )


def create_mosaic(
    objects: Objects,
    frame: Frame,
    *,
    attrs: Mapping[str, Any] | None = None,
    layer_attrs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Mosaic:
    """Create the repository of a mosaic with its empty arrays, or open the existing one.

    Parameters
    ----------
    objects
        The store.
    frame
        Extent of its arrays.
    attrs
        Attributes of the group: title, model.
    layer_attrs
        Attributes per layer: which EC, at which depth.

    Raises
    ------
    StoreMismatchError
        The store has a mosaic with another grid.
    StoreError
        No access.
    """
    with reaching(objects, "write"), exclusively(objects):
        storage = open_storage(objects)
        if not Repository.exists(storage):
            create_repository(objects, PREFIX, repository_config(frame))
        repository = Repository.open(storage)
        session = repository.writable_session(MAIN)
        if _is_bare(repository, session):
            group = zarr.group(store=session.store, zarr_format=3)
            create_arrays(group, frame, attrs=attrs or {}, layer_attrs=layer_attrs or {})
            with suppress(icechunk.ConflictError):
                session.commit("arrays")
    mosaic = open_repository(objects)
    if mosaic.frame != frame:
        raise StoreMismatchError(
            f"{objects} has a mosaic on the grid {mosaic.frame.grid}, but this run has "
            f"{frame.grid}; give another store"
        )
    return mosaic


def _is_bare(repository: Repository, session: Session) -> bool:
    """Return whether the repository has no commit, not even the arrays."""
    return repository.lookup_snapshot(session.snapshot_id).parent_id is None


def repository_config(frame: Frame) -> icechunk.RepositoryConfig:
    """Return the configuration of a new repository, which is stored in it.

    Manifests are split, so that a commit rewrites only those of the tiles that it touches, and its
    cost does not grow with the mosaic's area. They are not split by period: merging two forks takes
    6 ns times the square of the number of manifests that an array could have, which is 2 ms for the
    592 of a world, and hours if each of 1,024 periods had its own.
    """
    axis = ManifestSplitDimCondition.Axis
    rows, columns = (tiles * frame.grid.tile_shards for tiles in frame.shape)
    edge = max(_SPLIT, math.ceil(math.sqrt(rows * columns / _MOST_MANIFESTS)))
    split: Any = {axis(1): edge, axis(2): edge}
    config = icechunk.RepositoryConfig.default()
    config.manifest = icechunk.ManifestConfig(
        splitting=icechunk.ManifestSplittingConfig.from_dict(
            {ManifestSplitCondition.AnyArray(): split}
        )
    )
    return config


def open_repository(objects: Objects) -> Mosaic:
    """Open the repository of a mosaic.

    Raises
    ------
    StoreMissingError
        There is no mosaic.
    StoreError
        No access, or another kind of repository.
    """
    with reaching(objects):
        storage = open_storage(objects)
        repository = Repository.open(storage) if Repository.exists(storage) else None
        session = repository.readonly_session(MAIN) if repository else None
        if repository is None or session is None or _is_bare(repository, session):
            raise StoreMissingError(f"{objects} has no mosaic; `deepsalt run` makes one")
        attrs = dict(zarr.open_group(session.store, mode="r", zarr_format=3).attrs)
    return Mosaic(objects, frame_of(attrs))


def find_repository(objects: Objects) -> Mosaic | None:
    """Open the repository of a mosaic; None if there is none.

    Raises
    ------
    StoreError
        No access, or another kind of repository.
    """
    try:
        return open_repository(objects)
    except StoreMissingError:
        return None
