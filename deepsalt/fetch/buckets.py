"""Files in buckets: obstore asks again, and goes on where an answer broke off."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepsalt.access import open_bucket, without_secrets
from deepsalt.effort import Meter, SceneWork
from deepsalt.errors import LoginError, StoreAccessError
from deepsalt.fetch.answers import STEP_BYTES, Found, StatusError, UnfitError
from deepsalt.fetch.patience import Patience, raise_for
from deepsalt.fetch.share import HostQueue
from deepsalt.objects.connection.credentials import aws_keys, has_aws_keys

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_UNTIL = timedelta(minutes=3)
"""After which one request is not repeated: it has the credentials that it began with."""

_SILENCES = 4
"""Time for one answer, in silences. It ends those that come byte by byte; of a slow link the rest
is asked for anew."""

_CHUNK_BYTES = 2**20
"""Bytes handed on at a time: obstore's own 10 MiB lose a whole part where an answer breaks off."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")


def store_of(href: str, patience: Patience) -> "ObjectStore":
    """Return the store that holds an object, with connections of its own; nothing is asked yet.

    What a server asks for by Retry-After does not reach us. Keys of S3 are those of the environment
    or of AWS's profile, read again when they expire.

    Raises
    ------
    ReadError
        It is not the URL of a bucket.
    LoginError
        The keys or the profile of S3 are incomplete or not supported.
    """
    silence = timedelta(seconds=patience.silence_s)
    options: ClientConfig = {"read_timeout": silence, "timeout": _SILENCES * silence}
    retries: RetryConfig = {
        "max_retries": patience.tries - 1,
        "retry_timeout": _UNTIL,
        "backoff": {
            "init_backoff": timedelta(seconds=patience.first_wait_s),
            "max_backoff": timedelta(seconds=patience.longest_wait_s),
        },
    }
    try:
        has_keys = urlsplit(href).scheme.lower() == "s3" and has_aws_keys()
    except StoreAccessError as error:
        raise LoginError(f"{without_secrets(href)} cannot be fetched: {error}") from None
    return open_bucket(href, options, retries, aws_keys if has_keys else None)


@dataclass(frozen=True, slots=True)
class BucketFile:
    """An object in a bucket.

    Parameters
    ----------
    href
        Its URL.
    store
        Where it lies; one for all objects of a bucket, since its idle connections count, too.
    lane
        The way to its server. Who waits to ask again keeps the turn; what a broken connection lost
        is not paid for when it comes again.
    meter
        Counts the requests for the rest of an answer that broke off.
    """

    href: str
    store: "ObjectStore"
    lane: HostQueue
    meter: Meter

    @property
    def _name(self) -> str:
        return urlsplit(self.href).path.lstrip("/")

    async def describe(self) -> Found:
        """Ask how large the object is; as `WebFile.describe`."""
        import obstore

        try:
            async with self.lane.turn():
                found = await obstore.head_async(self.store, self._name)
        except (obstore.exceptions.BaseError, FileNotFoundError) as error:
            raise_for(self.href, _with_status(error))
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
                async with self.lane.turn(end - start):
                    body = await obstore.get_async(
                        self.store, self._name, options={"range": (start, end)}
                    )
                    if found != Found(body.meta["size"], body.meta["e_tag"], ranges=True):
                        raise_for(self.href, UnfitError())
                    async for data in body.stream(min_chunk_size=_CHUNK_BYTES):
                        start += len(data)
                        yield bytes(data)
            except (obstore.exceptions.BaseError, FileNotFoundError) as error:
                if start - begin < STEP_BYTES:
                    raise_for(self.href, _with_status(error))
                self.meter.add(SceneWork(retries=1))


def _with_status(error: Exception) -> Exception:
    """Return an error of obstore as that of the status it speaks of; itself without an answer."""
    found = _STATUS.search(str(error))
    if isinstance(error, FileNotFoundError):
        return StatusError(404)
    return StatusError(int(found[1])) if found else error
