"""The value that stands for a store: five verbs on its objects, and Zarr groups over them."""

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

    A value: it holds no connection and no secret, and may be pickled to any machine that reaches
    the location by itself. Connections are made when they are needed and kept for the process.

    Parameters
    ----------
    location
        Where they lie.
    process
        The process that has them in its memory; empty for all other kinds.
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
        """Where, as a URI that `of` takes; no credentials are in it."""
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
            They lie in no folder.
        """
        if not self.is_local:
            raise StoreError(f"{self} is not a folder; give a store in a folder")
        return Path(self.location.prefix)

    def __str__(self) -> str:
        return str(self.location)

    def below(self, prefix: str) -> "Objects":
        """Return the objects whose keys begin with a prefix and a slash, by the rest of the key."""
        return replace(self, location=self.location.below(prefix))

    def outer(self) -> "Iterator[Objects]":
        """Yield the places that this one lies in, the nearest first."""
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
            It is not there.
        StoreError
            The store does not let us.
        """
        return self._at(key).read(key)

    def write(self, key: str, data: bytes) -> None:
        """Write an object, over what is there; readers see the old bytes or the new.

        Raises
        ------
        StoreError
            The store does not let us.
        """
        self._at(key).write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; return whether it was this call that did.

        Of any number of callers exactly one is told True, also where an answer was lost on the way.

        Raises
        ------
        StoreError
            The store does not let us, or has no way to do so.
        """
        return self._at(key).create(key, data)

    def copy(self, source: str, key: str) -> None:
        """Write an object with the bytes of another one, over what is there.

        In a bucket they do not leave the server.

        Raises
        ------
        MissingObjectError
            There is no such other one.
        StoreError
            The store does not let us.
        """
        self._at(source, key).copy(source, key)

    def list(self, prefix: str = "", *, offset: str | None = None) -> Iterator[Entry]:
        """Yield the objects below a prefix, a page at a time.

        Parameters
        ----------
        prefix
            Whole parts of keys: ``a`` lists ``a/b``, not ``ab``.
        offset
            Yield only keys behind this one. Buckets yield keys in order, folders do not.

        Raises
        ------
        StoreError
            The store does not let us.
        """
        return self._at(*(key for key in (prefix, offset) if key)).list(prefix, offset)

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return the names right below a prefix that have objects below them.

        Raises
        ------
        StoreError
            The store does not let us.
        """
        return self._at(*([prefix] if prefix else [])).folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is passed over.

        Raises
        ------
        StoreError
            The store does not let us.
        """
        keys = [*keys]
        self._at(*keys).delete(keys)

    def settle(self, prefix: str) -> None:
        """Wait until all below a prefix would outlive a power cut.

        The verbs do so by themselves; Zarr's chunks in a folder do not, and a marker that names
        them may not outlive them.

        Raises
        ------
        StoreError
            The store does not let us.
        """
        self._at(prefix).settle(prefix)

    def zarr_store(self, prefix: str, *, read_only: bool) -> "ZarrStore":
        """Return the Zarr store of the keys below a prefix.

        Raises
        ------
        StoreError
            They are in the memory of another process.
        """
        from deepsalt.objects.zarr import Chunks

        check_key(prefix)
        self.check_reachable()
        return Chunks(self.below(prefix), read_only=read_only)

    def check_reachable(self) -> None:
        """Refuse what lies in the memory of another process.

        Raises
        ------
        StoreError
            It does.
        """
        if self.location.kind == "memory" and self.process != _this_process():
            raise StoreError(
                f"{self} is in the memory of another process; give a folder or a bucket where "
                "several processes work"
            )

    def _at(self, *keys: str) -> "Folder | Bucket":
        """Return who knows this kind of store, when the keys are good."""
        for key in keys:
            check_key(key)
        if self.location.kind == "file":
            return Folder(Path(self.location.prefix))
        self.check_reachable()
        return Bucket(self.location)


def _this_process() -> str:
    """Return what no other process is called, forked ones included."""
    return f"{_PROCESS}.{os.getpid()}"
