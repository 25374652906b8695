"""What is deleted: versions beyond the last few, and data that only they, or nothing, refer to.

Icechunk does not know what was written but not yet committed; deleting it silently breaks the later
commit. So a prune deletes nothing that is younger than a week or belongs to a build with a record;
and a build without one does not commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deepsalt.errors import UsageError
from deepsalt.objects import Objects
from deepsalt.versions.change import LEFT
from deepsalt.versions.commit import HELD
from deepsalt.versions.records import LiveBuild, live_builds
from deepsalt.versions.repository import Mosaic, Version

MARGIN = timedelta(days=7)
"""Minimum age of deleted data."""
LEAST_MARGIN = timedelta(days=1)
"""The shortest margin that is accepted."""
DEAD_AFTER = timedelta(hours=6)
"""Silence after which a build is considered dead; a living one has a heartbeat every 10 minutes."""

_CLOCKS_DIFFER = timedelta(hours=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Outcome of a prune.

    Parameters
    ----------
    versions
        Versions that can no longer be opened.
    bytes
        Size of what was deleted.
    kept
        Kept ancestors of the published version, and itself.
    builds
        Builds that were considered dead.
    """

    versions: int
    bytes: int
    kept: int
    builds: tuple[str, ...]


def prune(
    mosaic: Mosaic,
    *,
    keep: int,
    margin: timedelta = MARGIN,
    now: datetime | None = None,
) -> Pruned:
    """Expire versions before the last few, and delete unreferenced data.

    Versions that were rolled back are kept as long as published ones of their time, held ones until
    they are published or dropped. The version from which the oldest living build started stays.

    Parameters
    ----------
    mosaic
        The mosaic.
    keep
        Number of published versions to keep, the newest included.
    margin
        Minimum age of deleted data, at least `LEAST_MARGIN`.
    now
        The present time. Default: this machine's clock.

    Raises
    ------
    UsageError
        `keep` is below one, or the margin is too short.
    StoreError
        No access.
    """
    if margin < LEAST_MARGIN:
        raise UsageError(
            f"a margin of {margin} could delete data of running builds; give at least a day"
        )
    now = now or datetime.now(UTC)
    with mosaic.exclusively(), mosaic.reaching("delete"):
        dead, began = _drop_dead_builds(mosaic.objects, now)
        cut = min(now - margin, began)
        found = _expiring(mosaic, keep, began)
        for tag, version in mosaic.tagged(LEFT).items():
            if version in found.gone:
                mosaic.repository.delete_tag(tag)
        if found.kept:
            mosaic.repository.expire_snapshots(found.kept[-1].created)  # as old as this stays
        summary = mosaic.repository.garbage_collect(cut)
    return Pruned(len(found.gone), summary.bytes_deleted, len(found.kept), dead)


@dataclass(frozen=True, slots=True)
class Expiring:
    """Effect of a prune on versions.

    Parameters
    ----------
    gone
        Versions that could no longer be opened.
    kept
        Kept versions up to the published one, newest first.
    """

    gone: tuple[Version, ...]
    kept: tuple[Version, ...]


def expiring(mosaic: Mosaic, *, keep: int, now: datetime | None = None) -> Expiring:
    """Return which versions `prune` would expire; changes nothing.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        No access.
    """
    moment = now or datetime.now(UTC)
    alive = [b for b in live_builds(mosaic.objects) if b.seen >= moment - DEAD_AFTER]
    return _expiring(mosaic, keep, _began(alive))


def _expiring(mosaic: Mosaic, keep: int, began: datetime) -> Expiring:
    if keep < 1:
        raise UsageError(f"cannot keep {keep} versions; keep at least 1, the published one")
    versions = list(mosaic.history())
    kept = _kept(versions, keep, began)
    if not kept:
        return Expiring((), ())
    left = [
        version
        for version in mosaic.tagged(LEFT).values()
        if version.created < kept[-1].created and version not in versions
    ]
    return Expiring((*versions[len(kept) :], *left), tuple(kept))


def drop(mosaic: Mosaic, id: str) -> Version:
    """Discard a held version; a later prune deletes it.

    Raises
    ------
    VersionMissingError
        There is no such version.
    UsageError
        It is not held back.
    StoreError
        No access.
    """
    with mosaic.exclusively(), mosaic.reaching("delete"):
        version = mosaic.find(id)
        tag = next((tag for tag, each in mosaic.tagged(HELD).items() if each == version), None)
        if tag is None:
            raise UsageError(f"version {version.short} is not held back")
        mosaic.repository.delete_tag(tag)
    return version


def _kept(versions: Sequence[Version], keep: int, began: datetime) -> Sequence[Version]:
    """Return the newest versions, and older ones on which a build of that age depends."""
    older = [index for index, version in enumerate(versions) if version.created < began]
    return versions[: max(keep, older[0] + 1 if older else len(versions))]


def _drop_dead_builds(objects: Objects, now: datetime) -> tuple[tuple[str, ...], datetime]:
    """Delete the records of silent builds; return their names, and the oldest other's start."""
    dead: list[LiveBuild] = [b for b in live_builds(objects) if b.seen < now - DEAD_AFTER]
    for build in dead:
        objects.delete(build.keys)
    # Checked again: a build with a new heartbeat is still alive.
    alive = live_builds(objects)
    names = {build.id for build in alive}
    return tuple(build.id for build in dead if build.id not in names), _began(alive)


def _began(alive: Iterable[LiveBuild]) -> datetime:
    """Return when the oldest living build started, by any clock."""
    return min((build.started - _CLOCKS_DIFFER for build in alive), default=_FOREVER)
