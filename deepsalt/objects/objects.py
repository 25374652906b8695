"""The value that represents a store: five verbs on its objects, and Zarr groups over them."""

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepsalt.errors import StoreError
from deepsalt.objects.bucket import Bucket
from deepsalt.objects.entry import Entry
from deepsalt.objects.folder import Folder
from deepsalt.objects.location import StoreLocation, check_key

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

_PROCESS = secrets.token_hex(8)  # process ids repeat in containers


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects below a location, by key.

    A value without connections or secrets, which may be pickled to any machine that can reach the
    location. Connections are made when needed and kept for the process.

    Parameters
    ----------
    location
        Their location.
    process
        The process that holds them in memory; empty for all other kinds.
    """

    location: StoreLocation
    process: str = ""

    @classmethod
    def of(cls, where: "str | os.PathLike[str] | Objects") -> "Objects":
        """Return the objects at a path or URI.

        Raises
        ------
        UsageError
            It cannot hold a store.
        """
        if isinstance(where, Objects):
            return where
        location = StoreLocation.of(where)
        return cls(location, _this_process() if location.kind == "memory" else "")

    @property
    def uri(self) -> str:
        """The location as a URI that `of` accepts, without credentials."""
        return self.location.uri

    @property
    def is_local(self) -> bool:
        """Whether the objects are files of a folder."""
        return self.location.kind == "file"

    @property
    def path(self) -> Path:
        """The folder.

        Raises
        ------
        StoreError
            The objects are not in a folder.
        """
        if not self.is_local:
            raise StoreError(f"{self} is not a folder; give a store in a folder")
        return Path(self.location.prefix)

    def __str__(self) -> str:
        return str(self.location)

    def below(self, prefix: str) -> "Objects":
        """Return the objects whose keys start with a prefix and a slash, by the rest of the key."""
        return replace(self, location=self.location.below(prefix))

    def outer(self) -> "Iterator[Objects]":
        """Yield the locations that contain this one, nearest first."""
        prefix = self.location.prefix
        while prefix.strip("/"):
            prefix = prefix.rpartition("/")[0]
            if prefix or not self.is_local:
                yield replace(self, location=replace(self.location, prefix=prefix))

    def read(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises
        ------
        MissingObjectError
            The object does not exist.
        StoreError
            The store cannot be reached, or refuses.
        """
        return self._at(key).read(key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object, replacing an existing one; readers see either the old or the new bytes.

        Raises
        ------
        StoreError
            The store cannot be reached, or refuses.
        """
        self._at(key).write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; return whether this call created it.

        Exactly one of any number of callers gets True, even if an answer is lost.

        Raises
        ------
        StoreError
            The store cannot be reached, refuses, or lacks conditional writes.
        """
        return self._at(key).create(key, data)

    def copy(self, source: str, key: str) -> None:
        """Copy an object to another key, replacing an existing one.

        In a bucket the bytes do not leave the server.

        Raises
        ------
        MissingObjectError
            The source does not exist.
        StoreError
            The store cannot be reached, or refuses.
        """
        self._at(source, key).copy(source, key)

    def list(self, prefix: str = "", *, offset: str | None = None) -> Iterator[Entry]:
        """Yield the objects below a prefix, a page at a time.

        Parameters
        ----------
        prefix
            Whole parts of keys: ``a`` lists ``a/b``, not ``ab``.
        offset
            Yield only keys after this one. Buckets yield keys in order, folders do not.

        Raises
        ------
        StoreError
            The store cannot be reached, or refuses.
        """
        return self._at(*(key for key in (prefix, offset) if key)).list(prefix, offset)

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return the names directly below a prefix that have objects below them.

        Raises
        ------
        StoreError
            The store cannot be reached, or refuses.
        """
        return self._at(*([prefix] if prefix else [])).folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; missing ones are ignored.

        Raises
        ------
        StoreError
            The store cannot be reached, or refuses.
        """
        keys = [*keys]
        self._at(*keys).delete(keys)

    def settle(self, prefix: str) -> None:
        """Wait until everything below a prefix would survive a power cut.

        The verbs do so by themselves; Zarr's chunks in a folder do not, and no marker that names
        them may survive without them.

        Raises
        ------
        StoreError
            The store cannot be reached, or refuses.
        """
        self._at(prefix).settle(prefix)

    def zarr_store(self, prefix: str, *, read_only: bool) -> "ZarrStore":
        """Return the Zarr store of the keys below a prefix.

        Raises
        ------
        StoreError
            The objects are in the memory of another process.
        """
        from deepsalt.objects.zarr import Chunks

        check_key(prefix)
        self.check_reachable()
        return Chunks(self.below(prefix), read_only=read_only)

    def check_reachable(self) -> None:
        """Refuse objects in the memory of another process.

        Raises
        ------
        StoreError
            They are.
        """
        if self.location.kind == "memory" and self.process != _this_process():
            raise StoreError(
                f"{self} is in the memory of another process; give a folder or a bucket to share "
                f"between processes"
            )

    def _at(self, *keys: str) -> "Folder | Bucket":
        """Return the implementation for this kind of store, after checking the keys."""
        for key in keys:
            check_key(key)
        if self.location.kind == "file":
            return Folder(Path(self.location.prefix))
        self.check_reachable()
        return Bucket(self.location)


def _this_process() -> str:
    """Return a name unique to this process, forked ones included."""
    return f"{_PROCESS}.{os.getpid()}"
