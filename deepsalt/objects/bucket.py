"""Objects in a bucket, or in the memory of this process, through obstore."""

import mimetypes
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

from deepsalt.errors import MissingObjectError, StoreAwayError
from deepsalt.objects.connection.connect import connect
from deepsalt.objects.entry import Entry
from deepsalt.objects.location import StoreLocation
from deepsalt.objects.sentences import is_in_progress, is_without_bucket, reaching

if TYPE_CHECKING:
    from obstore import Attributes

_LARGE_BYTES = 2**18  # sent with longer timeouts
_ATTEMPTS = 4
_PATIENCE_S = 12.0  # after which there is no further try
WAIT_S = 0.2
"""Pause before the second try; each further one is twice as long, and half of it is chance."""

_WRITER = (
    "deepsaltwriter"  # metadata that tells who created an object; Azure does not allow a hyphen
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The five verbs on objects below a location; callers check keys."""

    location: StoreLocation

    def read(self, key: str) -> bytes:
        """Return the bytes of an object."""
        import obstore

        with reaching(self.location, "read", key):
            return bytes(obstore.get(connect(self.location), self.location.full(key)).bytes())

    def write(self, key: str, data: bytes) -> None:
        """Write an object, as a whole or not at all."""
        import obstore

        store = connect(self.location, "send" if len(data) > _LARGE_BYTES else "ask")
        with reaching(self.location, "write", key):
            # In one request: parts of unfinished uploads are stored and billed.
            obstore.put(
                store, self.location.full(key), data, attributes=_type_of(key), use_multipart=False
            )

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; exactly one of many callers gets True.

        An answer may be lost after the server has created the object. A second request then finds
        it; the mark in its metadata tells whether it is ours.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        mark = secrets.token_hex(8)
        attributes: Attributes = {**_type_of(key), _WRITER: mark}
        full = self.location.full(key)
        lost = False
        until = time.monotonic() + _PATIENCE_S
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(WAIT_S * 2**attempt * (0.5 + random()))
            try:
                with reaching(self.location, "create", key):
                    try:
                        obstore.put(
                            connect(self.location, "once"),
                            full,
                            data,
                            mode="create",
                            attributes=attributes,
                            use_multipart=False,
                        )
                    except AlreadyExistsError as error:
                        if not is_in_progress(str(error)):
                            return lost and self._is_marked(key, mark)
                        continue
                    return True
            except StoreAwayError:
                if attempt == _ATTEMPTS - 1 or time.monotonic() > until:
                    raise
                lost = True
        raise StoreAwayError(
            f"{self.location}/{key} keeps being written and removed by other processes; try again"
        )

    def copy(self, source: str, key: str) -> None:
        """Copy an object inside the server."""
        import obstore

        with reaching(self.location, "write", key):
            obstore.copy(
                connect(self.location, "send"), self.location.full(source), self.location.full(key)
            )

    def list(self, prefix: str, offset: str | None) -> Iterator[Entry]:
        """Yield the objects below a prefix, by their names, one page per request."""
        import obstore

        start = self.location.full(prefix) if prefix else self.location.prefix
        after = self.location.full(offset) if offset is not None else None
        cut = len(self.location.prefix) + 1 if self.location.prefix else 0
        with reaching(self.location, "list", prefix):
            store = connect(self.location)
            pages = obstore.list(store, start or None, offset=after, chunk_size=1000)
            for page in pages:
                for meta in page:
                    yield Entry(meta["path"][cut:], meta["size"], meta["last_modified"])

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Return the names between a prefix and the next slash."""
        import obstore

        start = self.location.full(prefix) if prefix else self.location.prefix
        with reaching(self.location, "list", prefix):
            found = obstore.list_with_delimiter(connect(self.location), start or None)
        names = (each.rstrip("/").rpartition("/")[2] for each in found["common_prefixes"])
        return tuple(sorted(names))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; missing ones are ignored."""
        import obstore

        full = [self.location.full(key) for key in keys]
        if not full:
            return
        with reaching(self.location, "delete"):
            store = connect(self.location)
            if self.location.kind == "s3":
                obstore.delete(store, full)
                return
            for key in full:
                with _none_to_remove():
                    obstore.delete(store, key)

    def settle(self, prefix: str) -> None:
        """Do nothing: acknowledged objects are already stored."""

    def _is_marked(self, key: str, mark: str) -> bool:
        import obstore

        try:
            with reaching(self.location, "read", key):
                found = obstore.get(connect(self.location), self.location.full(key))
        except MissingObjectError:
            return False
        return found.attributes.get(_WRITER) == mark


@contextmanager
def _none_to_remove() -> Iterator[None]:
    """Ignore a missing object; a missing bucket is an error."""
    try:
        yield
    except FileNotFoundError as error:
        if is_without_bucket(str(error)):
            raise


def _type_of(key: str) -> "Attributes":
    """Return the headers for browsers, which read catalogues and pictures in place."""
    kind, _ = mimetypes.guess_type(key)
    return {} if kind is None else {"Content-Type": kind}
