"""Zarr groups over objects: zarr's store over obstore, without secrets and with sentences.

zarr's own class pickles obstore's store with its configuration; this one pickles the value
`Objects`, and the unpickling process connects by itself, once for all groups.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from deepsalt.objects.connection.connect import Manner, connect
from deepsalt.objects.objects import Objects
from deepsalt.objects.sentences import reaching

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Obstore


class Chunks(Store):
    """A Zarr store of the objects below a location.

    Parameters
    ----------
    objects
        Objects that hold its keys.
    read_only
        Refuse to write.
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, objects: Objects, *, read_only: bool) -> None:
        super().__init__(read_only=read_only)
        self._objects = objects

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chunks):
            return False
        return other._objects == self._objects and other.read_only == self.read_only

    __hash__ = None  # type: ignore[assignment] # as zarr's stores, whose state may change

    def __str__(self) -> str:
        return self._objects.uri

    def __repr__(self) -> str:
        return f"Chunks({self._objects.uri!r}, read_only={self.read_only})"

    def with_read_only(self, read_only: bool = False) -> "Chunks":
        """Return the same store, read-only or writable."""
        return Chunks(self._objects, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key; None if missing."""
        if (store := self._reader()) is None:
            return None
        with reaching(self._objects.location, "read", key):
            return await store.get(self._full(key), prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of keys; None if missing."""
        wanted = [(self._full(key), part) for key, part in key_ranges]
        if (store := self._reader()) is None:
            return [None] * len(wanted)
        with reaching(self._objects.location, "read"):
            return await store.get_partial_values(prototype, wanted)

    async def exists(self, key: str) -> bool:
        """Whether a key exists."""
        if (store := self._reader()) is None:
            return False
        with reaching(self._objects.location, "read", key):
            return await store.exists(self._full(key))

    async def getsize(self, key: str) -> int:
        """Return the size of a key, bytes; raise `FileNotFoundError` if missing."""
        store = self._reader()
        if store is None or not await self.exists(key):
            raise FileNotFoundError(key)
        with reaching(self._objects.location, "read", key):
            return await store.getsize(self._full(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write a key in one request: parts of unfinished uploads would be billed."""
        self._check_writable()
        store = self._store("send")
        with reaching(self._objects.location, "write", key):
            await obstore.put_async(
                store, self._full(key), value.as_buffer_like(), use_multipart=False
            )

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a key if it does not exist."""
        self._check_writable()
        store = self._store("send")
        with (
            reaching(self._objects.location, "create", key),
            contextlib.suppress(AlreadyExistsError),
        ):
            await obstore.put_async(
                store,
                self._full(key),
                value.as_buffer_like(),
                mode="create",
                use_multipart=False,
            )

    async def delete(self, key: str) -> None:
        """Remove a key; a missing one is ignored."""
        self._check_writable()
        if (store := self._reader()) is None:
            return
        with reaching(self._objects.location, "delete", key):
            await store.delete(self._full(key))

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that start with a prefix."""
        if (store := self._reader()) is None:
            return
        cut = len(self._full(""))
        with reaching(self._objects.location, "list", prefix):
            async for key in store.list_prefix(self._full(prefix)):
                yield key[cut:]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names between a prefix and the next slash."""
        if (store := self._reader()) is None:
            return
        with reaching(self._objects.location, "list", prefix):
            async for name in store.list_dir(self._full(prefix)):
                yield name

    def _full(self, key: str) -> str:
        """Return a key as obstore knows it."""
        location = self._objects.location
        return key if location.kind == "file" or not location.prefix else f"{location.prefix}/{key}"

    def _reader(self) -> "ObjectStore[Obstore] | None":
        """Return zarr's store over obstore; None for a missing folder."""
        if self._objects.is_local and not self._objects.path.is_dir():
            return None  # reading must not create it
        return ObjectStore(self._store("ask"))

    def _store(self, manner: Manner) -> "Obstore":
        self._objects.check_reachable()
        return connect(self._objects.location, manner)
