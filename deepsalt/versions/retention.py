"""What is deleted: versions beyond the last so many, and what only they, or nobody, refers to.

Icechunk does not know what somebody has written and not committed yet; collecting it breaks the
commit that follows, without a word. So nothing is collected that is younger than a week, nor
anything of a build that has a record; and a build without one does not commit.
"""

from collections.abc import Sequence
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
    if keep < 1:
        raise UsageError(f"{keep} versions cannot be kept; the published one always is")
    if margin < LEAST_MARGIN:
        raise UsageError(
            f"a margin of {margin} could delete what builds are writing; give a day or more"
        )
    now = now or datetime.now(UTC)
    with mosaic.exclusively(), mosaic.reaching("delete"):
        dead, began = _bury(mosaic.objects, now)
        cut = min(now - margin, began)
        versions = list(mosaic.history())
        kept = _kept(versions, keep, began)
        gone = 0
        if kept:
            # What is exactly as old stays.
            oldest = kept[-1].created
            published = {version.id for version in versions}
            for tag, version in mosaic.tagged(LEFT).items():
                if version.created < oldest and version.id not in published:
                    mosaic.repository.delete_tag(tag)
                    gone += 1
            mosaic.repository.expire_snapshots(oldest)
            gone += len(versions) - len(kept)
        summary = mosaic.repository.garbage_collect(cut)
    return Pruned(gone, summary.bytes_deleted, len(kept), dead)


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


def _bury(objects: Objects, now: datetime) -> tuple[tuple[str, ...], datetime]:
    """Delete the records of silent builds; return their names, and when the oldest other began."""
    dead: list[LiveBuild] = [b for b in live_builds(objects) if b.seen < now - DEAD_AFTER]
    for build in dead:
        objects.delete(build.keys)
    # Looked at again: a build that gave a sign meanwhile still lives.
    alive = live_builds(objects)
    names = {build.id for build in alive}
    began = min((build.started - _CLOCKS_DIFFER for build in alive), default=_FOREVER)
    return tuple(build.id for build in dead if build.id not in names), began
