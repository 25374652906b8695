"""Plain Zarr in a folder or an object store: a prefix per version, and a pointer put last.

::

    TARGET/
    ├── versions/<name>.zarr/    complete groups, named by their content; what did
    │                            not change is copied inside the target
    └── mosaic.json              the name of the one that readers see, and of those before it
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from shutil import rmtree
from typing import TYPE_CHECKING

from zarr.abc.store import Store as ZarrStore

from deepsalt.access import client_options, without_secrets
from deepsalt.errors import StoreError
from deepsalt.inputs import parse_json
from deepsalt.objects.disk import sync, sync_tree
from deepsalt.push.place import folder_of
from deepsalt.push.target import (
    Digests,
    Entries,
    Entry,
    Sent,
    lock_folder,
    nothing_shown,
    overtaken,
)
from deepsalt.store.lease import Lease

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_POINTER = "mosaic.json"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_REMEMBERED = 1000  # names of older versions


@dataclass(frozen=True, slots=True)
class _Pointer:
    """What readers see, None before the first, and which versions they saw before, last first."""

    name: str | None = None
    tag: str | None = None
    older: tuple[str, ...] = ()


_AT_ONCE = 8  # objects under way


class Objects:
    """A folder (``file:///...``) or a prefix of an object store (``s3://bucket/...``).

    Parameters
    ----------
    uri
        Where; credentials and endpoint come from the environment (``AWS_...``).
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._folder = folder_of(self._uri)

    @cached_property
    def _objects(self) -> "ObjectStore":
        with _reaching(self._uri):
            return _connect(self._uri)

    def shown(self) -> str | None:
        """Return the name of the content that readers see; None before the first."""
        return self._pointer().name

    def locked(self) -> AbstractContextManager[Lease | None]:
        """Hold a lock in a folder; object stores put the pointer where it is as found."""
        return lock_folder(self._folder, self._folder and self._folder / ".push.lock")

    def write(
        self,
        name: str,
        shown: str | None,
        entries: Entries,
        held: Digests,
        sent: Sent,
        *,
        ready: Callable[[], None],
    ) -> None:
        """Carry content over and put the pointer.

        Raises
        ------
        StoreError
            Damage, no access, or another run put the pointer meanwhile.
        """
        pointer = self._pointer()
        before = pointer.name
        if before != shown:
            raise overtaken(self._uri)
        prefix = f"versions/{name}.zarr/"
        there = self._sizes(prefix)
        sources = self._sources(before, held, entries) if before != name else {}

        def carry(key: str) -> None:
            entry = entries[key]
            # An object is put whole or not at all, and the prefix is named by its content.
            whole = there.get(prefix + key) == entry.size
            if whole or self._copied(sources.get(entry.sha256), prefix + key):
                sent(key, 0)
            else:
                sent(key, self._put(prefix + key, entry))

        with _reaching(self._uri):
            _each(carry, entries)
            self._check(prefix, entries)
            if self._folder is not None:
                sync_tree(self._folder / prefix)
            ready()
            if before != name:
                self._point(name, pointer)

    def prune(self, keep: int) -> int:
        """Remove what readers saw before the last `keep`, and what pushes left that never ended.

        Raises
        ------
        StoreError
            No access.
        """
        import obstore

        pointer = self._pointer()
        with _reaching(self._uri):
            objects, newest = defaultdict[str, list[str]](list), dict[str, datetime]()
            for page in obstore.list(self._objects, "versions/"):
                for meta in page:
                    name = meta["path"].split("/")[1].removesuffix(".zarr")
                    objects[name].append(meta["path"])
                    newest[name] = max(meta["last_modified"], newest.get(name, _LONG_AGO))
            # Newer ones may be what another push is sending.
            since = newest.get(pointer.name or "", _LONG_AGO)
            older = [name for name in pointer.older if name in objects]
            left = {name for name, when in newest.items() if when < since} - {*older, pointer.name}
            older += sorted(left, key=newest.__getitem__, reverse=True)
            removed = older[keep - 1 :]
            if not removed or not pointer.name:
                return 0
            # Put anew first: who is about to show one of them finds another pointer and stops.
            kept = [name for name in pointer.older if name not in removed]
            self._put_pointer(pointer.name, kept, pointer.tag)
            for name in removed:
                obstore.delete(self._objects, objects[name])
                if self._folder is not None:
                    rmtree(self._folder / "versions" / f"{name}.zarr", ignore_errors=True)
        return len(removed)

    def reaching(self) -> AbstractContextManager[None]:
        """Turn errors of the object store in the block into one sentence."""
        return _reaching(self._uri)

    def read(self) -> ZarrStore:
        """Return the group that the pointer names now.

        Raises
        ------
        StoreError
            There is none, or no access.
        """
        from zarr.storage import ObjectStore as ZarrObjects

        name = self.shown()
        if name is None:
            raise nothing_shown(self._uri)
        with _reaching(self._uri):
            group = _connect(f"{self._uri}/versions/{name}.zarr", make=False)
            return ZarrObjects(group, read_only=True)

    def _pointer(self) -> _Pointer:
        import obstore

        if self._folder is not None and not self._folder.is_dir():
            return _Pointer()  # and nothing is made by looking
        with _reaching(self._uri):
            try:
                found = obstore.get(self._objects, _POINTER)
                text = bytes(found.bytes())
            except FileNotFoundError:
                return _Pointer()
        try:
            document = parse_json(text)
            names = [str(name) for name in (document["version"], *document.get("older", ()))]
            if wrong := [name for name in names if not name.isalnum()]:
                raise ValueError(wrong[0])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._uri}/{_POINTER} is damaged ({error!r}); remove it and push again"
            ) from error
        return _Pointer(names[0], found.meta["e_tag"], tuple(names[1:]))

    def _point(self, name: str, before: _Pointer) -> None:
        seen = [] if before.name is None else [before.name, *before.older]
        older = [each for each in seen if each != name][:_REMEMBERED]
        self._put_pointer(name, older, before.tag)

    def _put_pointer(self, name: str, older: list[str], tag: str | None) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        # The mark makes the tag another one, whatever was there.
        mark = secrets.token_hex(4)
        document = json.dumps({"version": name, "older": older, "mark": mark}).encode()
        if self._folder is not None:  # under the lock
            obstore.put(self._objects, _POINTER, document)
            sync(self._folder / _POINTER)
            sync(self._folder)
            return
        mode = "create" if tag is None else {"e_tag": tag}
        try:
            obstore.put(self._objects, _POINTER, document, mode=mode)  # type: ignore[arg-type]
        except (AlreadyExistsError, PreconditionError) as error:
            raise overtaken(self._uri) from error

    def _sources(self, before: str | None, held: Digests, entries: Entries) -> dict[str, str]:
        """Return whole objects of what is shown, by the digest of their bytes."""
        if before is None or not held:
            return {}
        prefix = f"versions/{before}.zarr/"
        sizes = self._sizes(prefix)
        wanted = {entry.sha256: entry.size for entry in entries.values()}
        return {
            digest: prefix + key
            for key, digest in held.items()
            if digest in wanted and sizes.get(prefix + key) == wanted[digest]
        }

    def _sizes(self, prefix: str) -> dict[str, int]:
        import obstore

        with _reaching(self._uri):
            pages = obstore.list(self._objects, prefix)
            return {meta["path"]: meta["size"] for page in pages for meta in page}

    def _copied(self, source: str | None, target: str) -> bool:
        import obstore
        from obstore.exceptions import BaseError

        if source is None:
            return False
        try:
            obstore.copy(self._objects, source, target)
        except FileNotFoundError:
            return False
        except (BaseError, OSError):
            if self._folder is None:
                raise
            return False  # a file system without hard links
        return True

    def _put(self, key: str, entry: Entry) -> int:
        import obstore

        data = entry.read()
        obstore.put(self._objects, key, data)
        return len(data)

    def _check(self, prefix: str, entries: Entries) -> None:
        """Refuse to point to a version that is not there as a whole."""
        there = self._sizes(prefix)
        wanted = {prefix + key: entry.size for key, entry in entries.items()}
        wrong = sorted(key for key, size in wanted.items() if there.get(key) != size)
        if wrong:
            raise StoreError(
                f"{self._uri}: {len(wrong)} of {len(wanted)} objects are not as they were sent "
                f"({wrong[0]}); push again"
            )


def _connect(uri: str, *, make: bool = True) -> "ObjectStore":
    from obstore.store import LocalStore, from_url

    if uri.startswith("file://"):
        return LocalStore.from_url(uri, mkdir=make)
    return from_url(uri, config=None, client_options=client_options())


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Turn errors of the object store into one sentence.

    Its own text is kept to its first line: some quote requests with all their headers.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise StoreError(f"{uri} cannot be read or written: {without_secrets(reason)}") from error


def _each(act: Callable[[str], None], keys: Entries) -> None:
    """Act on all keys, some at a time; the first error stops what has not begun."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(act, keys):  # which gives up the rest itself
            pass
