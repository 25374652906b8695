"""Moves the published version without a build: publishing a held version, rolling back.

Both move the branch only from where they saw it, so that no commit made meanwhile is lost. A
version that a roll-back replaces keeps a tag and can be published again.
"""

from collections.abc import Callable

from icechunk import IcechunkError

from deepsalt.errors import OvertakenError, UsageError
from deepsalt.versions.commit import HELD
from deepsalt.versions.repository import MAIN, SHORT, Mosaic, Version

LEFT = "left-"
"""Prefix of the tags of versions that were rolled back."""


def held(mosaic: Mosaic) -> tuple[Version, ...]:
    """Return the versions that are held back, oldest first.

    Raises
    ------
    StoreError
        No access.
    """
    published = {version.id for version in mosaic.history()}
    found = [each for each in mosaic.tagged(HELD).values() if each.id not in published]
    return tuple(sorted(found, key=lambda version: version.created))


def states(mosaic: Mosaic) -> list[tuple[Version, str]]:
    """Return all versions that can be opened, oldest first, and the state of each.

    ``published``, ``earlier`` (an ancestor of it), ``held``, or ``left`` by a roll-back.

    Raises
    ------
    StoreError
        No access.
    """
    history = list(mosaic.history())
    found = {version.id: (version, "earlier") for version in history}
    if history:
        found[history[0].id] = history[0], "published"
    for prefix, state in ((HELD, "held"), (LEFT, "left")):
        for version in mosaic.tagged(prefix).values():
            found.setdefault(version.id, (version, state))
    return sorted(found.values(), key=lambda each: each[0].created)


def publish(mosaic: Mosaic, id: str) -> Version:
    """Publish a version that was held back.

    Parameters
    ----------
    mosaic
        The mosaic.
    id
        Id of the version, or its first characters.

    Raises
    ------
    VersionMissingError
        There is no such version.
    UsageError
        It is not held back.
    OvertakenError
        It was made from another version than the published one.
    StoreError
        No access.
    """
    with mosaic.exclusively():
        version = mosaic.find(id)
        if version not in held(mosaic):
            raise UsageError(
                f"version {version.short} is not held back, so there is nothing to publish"
            )
        with mosaic.reaching("write"):
            seen = mosaic.repository.lookup_branch(MAIN)
            head = mosaic.version_at(seen)
            if (head and head.id) != version.parent:
                raise _overtaken(version)
            _move(mosaic, version, seen)
            mosaic.repository.delete_tag(f"{HELD}{version.id[:SHORT]}")
    return version


def roll_back(
    mosaic: Mosaic, id: str | None = None, *, check: Callable[[Version], None] = lambda _: None
) -> Version:
    """Publish an earlier version again, or one that was left by a roll-back.

    Parameters
    ----------
    mosaic
        The mosaic.
    id
        Id of the version, or its first characters. Default: the previous one.
    check
        Called to check whether that version may be published; if it raises, nothing changes.

    Raises
    ------
    VersionMissingError
        There is no such version.
    UsageError
        There is no earlier version, it is the published one, or it is held back.
    OvertakenError
        Another version was published meanwhile; nothing changed.
    StoreError
        No access.
    """
    with mosaic.exclusively():
        versions = list(mosaic.history())
        if id is None and len(versions) < 2:
            raise UsageError(f"{mosaic.objects} has no version before the published one")
        version = versions[1] if id is None else mosaic.find(id)
        if versions and version.id == versions[0].id:
            raise UsageError(f"version {version.short} is already published")
        if version in held(mosaic):
            raise UsageError(f"version {version.short} is held back; publish it instead")
        check(version)
        head = versions[0]
        with mosaic.reaching("write"):
            # Before the branch moves, so that the version always has a name.
            if f"{LEFT}{head.short}" not in mosaic.repository.list_tags():
                mosaic.repository.create_tag(f"{LEFT}{head.short}", head.id)
            _move(mosaic, version, head.id)
    return version


def _move(mosaic: Mosaic, version: Version, seen: str) -> None:
    try:
        mosaic.repository.reset_branch(MAIN, version.id, from_snapshot_id=seen)
    except IcechunkError as error:
        if "branch update conflict" in str(error):
            raise _overtaken(version) from error
        raise


def _overtaken(version: Version) -> OvertakenError:
    return OvertakenError(
        f"another version was published since version {version.short} was made or read; nothing "
        f"changed: build again, or check the history and repeat"
    )
