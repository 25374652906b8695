"""What is deleted: versions beyond the last so many, and what only they, or nobody, refers to.

Icechunk does not know what somebody has written and not committed yet; collecting it breaks the
commit that follows, without a word. So nothing is collected that is younger than a week, nor
anything of a build that has a record; and a build without one does not commit.
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
"""Age up to which nothing is collected."""
LEAST_MARGIN = timedelta(days=1)
"""The shortest margin that is accepted."""
DEAD_AFTER = timedelta(hours=6)
"""Silence after which a build is taken for dead; a living one gives a sign every 10 minutes."""

_CLOCKS_DIFFER = timedelta(hours=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did.

    Parameters
    ----------
    versions
        Versions that can be opened no more.
    bytes
        Size of what was deleted.
    kept
        Versions that led to the published one and stay.
    builds
        Builds that were taken for dead.
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
    """Forget versions before the last so many, and delete what nothing refers to.

    Versions that were rolled back are kept as long as published ones of their time, held ones
    until they are published or dropped. A version that the oldest living build began with stays.

    Parameters
    ----------
    mosaic
        The mosaic.
    keep
        Published versions that stay, the newest among them.
    margin
        Age up to which nothing is deleted, at least `LEAST_MARGIN`.
    now
        The present, by default by this machine's clock.

    Raises
    ------
    UsageError
        Not even one version kept, or too short a margin.
    StoreError
        No access.
    """
    if margin < LEAST_MARGIN:
        raise UsageError(
            f"a margin of {margin} could delete what builds are writing; give a day or more"
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
    """What a prune would do to versions.

    Parameters
    ----------
    gone
        Versions that could be opened no more.
    kept
        Versions that led to the published one and stay, the newest first.
    """

    gone: tuple[Version, ...]
    kept: tuple[Version, ...]


def expiring(mosaic: Mosaic, *, keep: int, now: datetime | None = None) -> Expiring:
    """Return which versions `prune` would forget; nothing is changed.

    Raises
    ------
    UsageError
        Not even one version kept.
    StoreError
        No access.
    """
    moment = now or datetime.now(UTC)
    alive = [b for b in live_builds(mosaic.objects) if b.seen >= moment - DEAD_AFTER]
    return _expiring(mosaic, keep, _began(alive))


def _expiring(mosaic: Mosaic, keep: int, began: datetime) -> Expiring:
    if keep < 1:
        raise UsageError(f"{keep} versions cannot be kept; the published one always is")
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
    """Give up a version that was held back; the next prunes delete it.

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
    """Return the newest versions, and as many more as a build that began then stands on."""
    older = [index for index, version in enumerate(versions) if version.created < began]
    return versions[: max(keep, older[0] + 1 if older else len(versions))]


def _drop_dead_builds(objects: Objects, now: datetime) -> tuple[tuple[str, ...], datetime]:
    """Delete the records of silent builds; return their names, and when the oldest other began."""
    dead: list[LiveBuild] = [b for b in live_builds(objects) if b.seen < now - DEAD_AFTER]
    for build in dead:
        objects.delete(build.keys)
    # Looked at again: a build that gave a sign meanwhile still lives.
    alive = live_builds(objects)
    names = {build.id for build in alive}
    return tuple(build.id for build in dead if build.id not in names), _began(alive)


def _began(alive: Iterable[LiveBuild]) -> datetime:
    """Return when the oldest living build began, by any clock."""
    return min((build.started - _CLOCKS_DIFFER for build in alive), default=_FOREVER)
