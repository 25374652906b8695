"""Carrying the published version of a store to a target, and opening what was carried."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import xarray as xr

from deepsalt.access import without_secrets
from deepsalt.errors import StoreError, UsageError
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects.disk import storing
from deepsalt.push.place import folder_of, kind_of
from deepsalt.push.target import Entry, Target
from deepsalt.store import open_mosaic as open_local
from deepsalt.store.files import digest_of, read_json, sha256_of, write_json
from deepsalt.store.records import Store
from deepsalt.store.versions import Version, current_version


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Parameters
    ----------
    version
        Id of the version that readers of the target see now.
    objects
        Files of its Zarr group.
    sent
        Of them, how many had to be sent; the others were there.
    sent_bytes
        Their size.
    removed
        Older versions that were removed.
    """

    version: str
    objects: int
    sent: int
    sent_bytes: int
    removed: int = 0


class Listener(Protocol):
    """Told how a push goes on."""

    def start(self, stage: str, total: int) -> None:
        """Announce how many objects there are."""

    def advance(self, stage: str, units: int = 1) -> None:
        """Say that so many are dealt with."""


def push(
    store: Store, uri: str, listener: Listener | None = None, *, keep: int | None = None
) -> Pushed:
    """Make the published version of a store the one that readers of a target see.

    Only what the target lacks is sent; who reads there sees the version before until all of it
    has arrived. A push that was interrupted is repeated.

    Parameters
    ----------
    store
        The store.
    uri
        ``file``, ``s3``, ``icechunk+file`` or ``icechunk+s3`` and a place. Credentials come from
        the environment, as the cloud libraries read it.
    listener
        Told about objects.
    keep
        Versions that stay, the one pushed and those before it; older ones are removed, and readers
        that opened one lose it. All stay without.

    Raises
    ------
    UsageError
        No such kind of place, credentials in the URI, or not even one version kept.
    StoreError
        Nothing was published yet, damage, no access, or another push is going on.
    """
    if keep is not None and keep < 1:
        raise UsageError(f"{keep} versions cannot be kept; the one that is pushed always is")
    target = refuse_place(store.path, uri)
    with store.pushing() as ours, target.locked() as theirs:
        version = current_version(store)
        if version is None:
            raise StoreError(f"{store.path} has no published mosaic; `deepsalt run` makes one")
        entries = entries_of(version)
        digests = {key: entry.sha256 for key, entry in entries.items()}
        # The store's id says what a version is made of, not by which processor: bytes may differ.
        name = f"{version.id}{digest_of(digests)[:16]}"
        record = store.records / "pushed" / f"{digest_of(uri.rstrip('/'))[:16]}.json"
        found = read_json(record) if record.exists() else {}
        shown = target.shown()
        held = found.get("objects", {}) if shown and found.get("name") == shown else {}
        count = _Count(listener, len(entries))

        def ready() -> None:
            ours.check()
            if theirs is not None:
                theirs.check()

        target.write(name, shown, entries, held, count, ready=ready)
        write_json(record, {"name": name, "objects": digests})
        removed = 0
        if keep is not None:
            ready()
            removed = target.prune(keep)
        return Pushed(version.id, len(entries), count.objects, count.size, removed)


def open_mosaic(place: str | Path | Store) -> xr.Dataset:
    """Open the mosaic that a store or a target shows now, lazily; later versions do not mix in.

    Parameters
    ----------
    place
        A store, its folder, a mosaic in it, or the URI that `push` was given.

    Returns
    -------
    xr.Dataset
        As `deepsalt.store.open_mosaic` returns it.

    Raises
    ------
    UsageError
        No such kind of place, or credentials in the URI.
    StoreError
        There is no mosaic, or no access.
    """
    if not isinstance(place, str) or "://" not in place:
        return open_local(place)
    target = open_target(place)
    group = target.read()
    try:
        with target.reaching():
            opened: xr.Dataset = xr.open_zarr(group, chunks={}, consolidated=False)
    except (KeyError, TypeError, ValueError) as error:
        reason = without_secrets(str(error).partition("\n")[0])
        raise StoreError(f"{place} cannot be opened: {reason}; push it again") from error
    return opened


def refuse_place(store: Path, uri: str) -> Target:
    """Return the target of a URI, unless it is seen at once that a store cannot be pushed there.

    Parameters
    ----------
    store
        Folder of the store, which need not exist yet.
    uri
        As `push` takes it.

    Raises
    ------
    UsageError
        No such kind of place, credentials in the URI, or a folder that a store keeps for itself or
        that holds another kind of mosaic.
    StoreError
        No access.
    """
    kind, folder = kind_of(uri), folder_of(uri)
    if folder is not None:
        folder = folder.resolve()
        taken = "" if folder.is_dir() or not folder.exists() else f"{folder} is a file"
        if (folder / "records" / "store.json").exists() or folder.is_relative_to(store.resolve()):
            taken = f"{folder} belongs to a store"
        elif kind == "file" and (folder / "snapshots").is_dir() and (folder / "refs").is_dir():
            taken = f"{folder} is an Icechunk repository"
        elif kind != "file" and (folder / "mosaic.json").exists():
            taken = f"{folder} holds mosaics in plain Zarr"
        if taken:
            raise UsageError(f"{taken}; push to another folder")
    target = open_target(uri)
    target.shown()
    return target


def open_target(uri: str) -> Target:
    """Return the target of a URI.

    Raises
    ------
    UsageError
        No such kind of place, or credentials in the URI.
    StoreError
        No access.
    """
    from deepsalt.push.icechunk import Icechunk
    from deepsalt.push.objects import Objects

    return Icechunk(uri) if kind_of(uri).startswith("icechunk+") else Objects(uri)


def entries_of(version: Version) -> dict[str, Entry]:
    """Return all files of a version with their checksums; those of shards are on record.

    Raises
    ------
    StoreError
        Files that a mosaic always has are missing.
    """
    layout = version.layout
    known: dict[Path, str] = {}
    for manifest in layout.tile_manifests():
        paths = layout.shard_paths(manifest.period, manifest.tile)
        known |= {paths[name]: digest for name, digest in manifest.shards if digest is not None}
    entries = {}
    with storing(layout.group):
        files = set(known) | {path for path in layout.group.rglob("*") if path.is_file()}
        for path in sorted(files):
            checksum = known.get(path) or sha256_of(path)
            key = path.relative_to(layout.group).as_posix()
            entries[key] = Entry(path, path.stat().st_size, checksum)
    described = {"zarr.json", *(f"{layer.name}/zarr.json" for layer in MOSAIC_LAYERS)}
    if missing := described - set(entries):
        raise StoreError(f"{layout.group} lacks {sorted(missing)[0]}; run `deepsalt check`")
    return entries


class _Count:
    """Counts what is sent, from several threads, and tells the listener."""

    def __init__(self, listener: Listener | None, total: int) -> None:
        self.objects = self.size = 0
        self._listener = listener
        self._lock = threading.Lock()
        if listener is not None:
            listener.start("objects", total)

    def __call__(self, key: str, size: int) -> None:
        with self._lock:
            self.objects += size > 0
            self.size += size
            if self._listener is not None:
                self._listener.advance("objects")
