"""Sources of an object's bytes: a web server or a bucket, behind one interface."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from deepsalt.access import is_web, open_bucket, without_secrets
from deepsalt.access.web import Answer, RefusedError, Web
from deepsalt.errors import ReadError

Range = tuple[int, int]
"""First byte, and the byte after the last."""


@dataclass(frozen=True, slots=True)
class Body:
    """An answer that has started.

    Parameters
    ----------
    size_bytes
        Size of the whole object.
    e_tag
        Changes with its content; None if the server gives none.
    content_type
        Empty if the server gives none.
    chunks
        The requested bytes.
    """

    size_bytes: int
    e_tag: str | None
    content_type: str
    chunks: AsyncIterator[bytes]


class FileSource(Protocol):
    """An object on a server."""

    def get(self, wanted: Range | None) -> AbstractAsyncContextManager[Body]:
        """Request bytes, all if None; they arrive inside the block.

        Raises
        ------
        RangesRefusedError
            The server sends whole objects only.
        StatusError
            The server answers with another status.
        ReadError
            The object's host is not allowed.
        """


class RangesRefusedError(Exception):
    """A server that sends whole files only."""


class StatusError(Exception):
    """An answer other than the object.

    Parameters
    ----------
    status
        HTTP status.
    retry_after_s
        Wait that the server asks for, seconds.
    """

    def __init__(self, status: int, retry_after_s: float = 0.0) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.retry_after_s = retry_after_s


def source_of(href: str, web: Web) -> FileSource:
    """Return the source that an href names; sends no request yet.

    Raises
    ------
    ReadError
        The URL is not supported.
    """
    return WebSource(href, web) if is_web(href) else BucketSource(href)


@dataclass(frozen=True, slots=True)
class WebSource:
    """An object on a web server; each redirect to it is judged.

    Parameters
    ----------
    href
        Its URL.
    web
        The client, which judges hosts.
    """

    href: str
    web: Web

    @asynccontextmanager
    async def get(self, wanted: Range | None) -> AsyncIterator[Body]:
        """Request bytes; see `FileSource`."""
        headers = {} if wanted is None else {"Range": f"bytes={wanted[0]}-{wanted[1] - 1}"}
        try:
            async with self.web.ask("GET", self.href, headers) as answer:
                yield _body(answer, wanted, self.href)
        except RefusedError as error:
            raise ReadError(f"{without_secrets(self.href)} leads to {error}") from None


def _body(answer: Answer, wanted: Range | None, href: str) -> Body:
    headers = answer.headers
    if answer.status == 206 and wanted is not None:
        size = _size_of_ranged(headers.get("content-range", ""), wanted[0])
    elif answer.status == 200 and wanted is not None:
        raise RangesRefusedError
    elif answer.status == 200:
        length = headers.get("content-length", "")
        size = int(length) if length.isdigit() and len(length) < 20 else None
    else:
        raise StatusError(answer.status, _asked_wait_s(headers.get("retry-after", "")))
    if size is None:
        raise ReadError(
            f"{without_secrets(href)} is sent without its size; ask its operator for a server "
            f"that supports ranges, or download the file and ingest it"
        )
    kind = headers.get("content-type", "")
    return Body(size, headers.get("etag"), kind, answer.body)


def _size_of_ranged(text: str, first: int) -> int | None:
    """Return the size in a Content-Range such as ``bytes 0-99/1234``; None for any other."""
    unit, _, rest = text.strip().partition(" ")
    span, _, size = rest.partition("/")
    sound = unit == "bytes" and span.partition("-")[0] == str(first) and size.isdigit()
    return int(size) if sound and len(size) < 20 else None


def _asked_wait_s(text: str) -> float:
    """Return the wait that a Retry-After asks for, seconds; 0 if none."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


class BucketSource:
    """An object in a bucket, read with the credentials and the endpoint of the environment.

    Parameters
    ----------
    href
        Its URL.

    Raises
    ------
    ReadError
        It is not the URL of a bucket.
    """

    def __init__(self, href: str) -> None:
        self._href = href
        self._store, self._name = open_bucket(href)

    @asynccontextmanager
    async def get(self, wanted: Range | None) -> AsyncIterator[Body]:
        """Request bytes; see `FileSource`."""
        import obstore

        options: Any = {} if wanted is None else {"range": wanted}
        try:
            found = await obstore.get_async(self._store, self._name, options=options)
        except obstore.exceptions.NotSupportedError:
            raise RangesRefusedError from None
        kind = str(found.attributes.get("Content-Type", ""))
        chunks = (bytes(data) async for data in found.stream())
        yield Body(found.meta["size"], found.meta["e_tag"], kind, chunks)
