"""Files in buckets: obstore asks again, and goes on where an answer broke off."""

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepsalt.access import open_bucket
from deepsalt.fetch.answers import STEP_BYTES, Found, StatusError, UnfitError
from deepsalt.fetch.patience import Patience, raise_for
from deepsalt.fetch.share import Lane

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_UNTIL = timedelta(minutes=3)
"""After which one request is not repeated: it has the credentials that it began with."""

_SILENCES = 4
"""Time for one answer, in silences. It ends those that come byte by byte; of a slow link the rest
is asked for anew."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")


class Buckets:
    """Connections to buckets, one pool for each: idle ones of many would be more than a share.

    Parameters
    ----------
    patience
        With their servers. What they ask for by Retry-After does not reach us.
    """

    def __init__(self, patience: Patience) -> None:
        silence = timedelta(seconds=patience.silence_s)
        self._options: ClientConfig = {"read_timeout": silence, "timeout": _SILENCES * silence}
        self._retries: RetryConfig = {
            "max_retries": patience.tries - 1,
            "retry_timeout": _UNTIL,
            "backoff": {
                "init_backoff": timedelta(seconds=patience.first_wait_s),
                "max_backoff": timedelta(seconds=patience.longest_wait_s),
            },
        }
        self._stores: dict[tuple[str, str], ObjectStore] = {}

    def file(self, href: str, lane: Lane) -> "BucketFile":
        """Return the object that an href names; nothing is asked yet.

        Raises
        ------
        ReadError
            No URL of a bucket.
        """
        parts = urlsplit(href)
        bucket = (parts.scheme, parts.netloc)
        if bucket not in self._stores:
            self._stores[bucket] = open_bucket(href, self._options, self._retries)
        return BucketFile(href, self._stores[bucket], parts.path.lstrip("/"), lane)


class BucketFile:
    """An object in a bucket.

    Parameters
    ----------
    href
        Its URL.
    store, name
        Where it lies.
    lane
        The way to its server. Who waits to ask again keeps the turn; what a broken connection lost
        is not paid for when it comes again.
    """

    def __init__(self, href: str, store: "ObjectStore", name: str, lane: Lane) -> None:
        self._href = href
        self._store = store
        self._name = name
        self._lane = lane

    async def describe(self) -> Found:
        """Ask how large the object is; as `WebFile.describe`."""
        import obstore

        try:
            async with self._lane.turn():
                found = await obstore.head_async(self._store, self._name)
        except (obstore.exceptions.BaseError, FileNotFoundError) as error:
            raise_for(self._href, _with_status(error))
        return Found(found["size"], found["e_tag"], ranges=True)

    async def part(self, found: Found, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield bytes `start` to `end`; as `WebFile.part`.

        obstore counts what fails of a request whatever it brought; where it brought something, the
        rest is a request of its own.
        """
        import obstore

        while start < end:
            begin = start
            try:
                async with self._lane.turn(end - start):
                    body = await obstore.get_async(
                        self._store, self._name, options={"range": (start, end)}
                    )
                    if found != Found(body.meta["size"], body.meta["e_tag"], ranges=True):
                        raise_for(self._href, UnfitError())
                    async for data in body.stream(min_chunk_size=STEP_BYTES):
                        start += len(data)
                        yield bytes(data)
            except (obstore.exceptions.BaseError, FileNotFoundError) as error:
                if start - begin < STEP_BYTES:
                    raise_for(self._href, _with_status(error))


def _with_status(error: Exception) -> Exception:
    """Return an error of obstore as that of the status it speaks of; itself without an answer."""
    found = _STATUS.search(str(error))
    if isinstance(error, FileNotFoundError):
        return StatusError(404)
    return StatusError(int(found[1])) if found else error
