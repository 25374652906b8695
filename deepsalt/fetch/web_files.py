"""Files on web servers: asked again within a patience, each part going on where it broke off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from deepsalt.access import without_secrets
from deepsalt.access.web import Answer, RefusedError, Web, WebError
from deepsalt.errors import ReadError
from deepsalt.fetch.answers import STEP_BYTES, Found, StatusError, UnfitError
from deepsalt.fetch.patience import RetryBudget
from deepsalt.fetch.share import HostQueue

_END_S = 1.0
"""Wait for the end of an answer whose bytes have arrived; a new connection takes about as long."""

_TRANSIENT = (TimeoutError, WebError, StatusError, UnfitError)
"""What `RetryBudget` judges: every error of the network, and none of our own."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server; each redirect on the way to it is judged.

    Parameters
    ----------
    href
        Its URL.
    web
        The client, which judges hosts.
    lane
        The way to its server. What is asked for again, after a failure or for its checksum, is
        part of the share as anything else.
    retries
        The patience with it.
    """

    href: str
    web: Web
    lane: HostQueue
    retries: RetryBudget

    async def describe(self) -> Found:
        """Ask how large the file is, by a range of one byte: a signed URL may not allow HEAD.

        Raises
        ------
        ReadError
            It is gone, refused, a web page, or lies where we do not go.
        AwayError
            The server did not answer properly in time.
        """
        failures = 0
        while True:
            try:
                async with (
                    self.lane.turn(),
                    asyncio.timeout(self.retries.patience.silence_s),
                    self._get((0, 1)) as (found, answer),
                ):
                    if found.ranges:
                        await _step(answer.body)  # reading to the end lets the connection be reused
                break
            except _TRANSIENT as error:
                failures += 1
                await self.retries.wait_or_raise(self.href, error, failures)
        if "text/html" in answer.headers.get("content-type", ""):
            raise ReadError(
                f"{without_secrets(self.href)} is answered with a web page, not with the file; "
                "search the catalogue again, or add its host to a profile of yours "
                "(`deepsalt access check`)"
            )
        return found

    async def part(self, found: Found, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield bytes `start` to `end`, all of them, of the file that was found.

        Raises
        ------
        ReadError
            It is gone or refused.
        AwayError
            The server did not answer well in time, or the file kept changing.
        """
        failures = 0
        while start < end:
            begin = start
            try:
                async with (
                    self.lane.turn(end - start if found.ranges else 0),
                    aclosing(self._stream(found, start, end)) as stream,
                ):
                    async for data in stream:
                        start += len(data)
                        yield data
                if start < end:
                    raise UnfitError(f"only {start - begin} of {end - begin} bytes came")
            except _TRANSIENT as error:
                failures = 0 if start - begin >= STEP_BYTES else failures + 1
                await self.retries.wait_or_raise(self.href, error, failures)

    async def _stream(self, found: Found, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield bytes `start` to `end` in steps; each must arrive within the patience."""
        silence_s = self.retries.patience.silence_s
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(silence_s):
                wanted = (start, end) if found.ranges else None
                now, answer = await stack.enter_async_context(self._get(wanted))
            if now != found:
                raise UnfitError
            skip = 0 if found.ranges else start  # without ranges existing bytes come again
            left = end - start  # a server may send more than requested
            while left > 0:
                async with asyncio.timeout(silence_s):
                    data = await _step(answer.body)
                if not data:
                    return
                if not found.ranges:  # requested as a whole, so paid for on arrival
                    await self.lane.wait(len(data))
                if kept := data[skip : skip + left]:
                    left -= len(kept)
                    yield kept
                skip = max(0, skip - len(data))
            # Reading to the end lets the connection be reused; all bytes have arrived, even if that
            # fails.
            with suppress(*_TRANSIENT):
                async with asyncio.timeout(_END_S):
                    await anext(answer.body, None)

    @asynccontextmanager
    async def _get(self, wanted: tuple[int, int] | None) -> AsyncIterator[tuple[Found, Answer]]:
        """Ask for bytes, the first and the one after the last, or for all; they come in the block.

        Raises
        ------
        StatusError
            The answer is not the file.
        ReadError
            The file lies where we do not go.
        """
        headers = {} if wanted is None else {"Range": f"bytes={wanted[0]}-{wanted[1] - 1}"}
        try:
            async with self.web.ask("GET", self.href, headers) as answer:
                yield _found(answer, wanted[0] if wanted else 0, self.href), answer
        except RefusedError as error:
            raise ReadError(f"{without_secrets(self.href)} leads to {error}") from None


async def _step(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the next `STEP_BYTES` or a little more; fewer at the end, and none after it."""
    step = bytearray()
    async for chunk in chunks:
        step += chunk
        if len(step) >= STEP_BYTES:
            break
    return bytes(step)


def _found(answer: Answer, first: int, href: str) -> Found:
    headers = answer.headers
    if answer.status == 206:
        size = _size_of_ranged(headers.get("content-range", ""), first)
    elif answer.status == 200:  # also where a range was asked for, of a server that knows none
        length = headers.get("content-length", "")
        size = int(length) if length.isdigit() and len(length) < 20 else None
    else:
        raise StatusError(answer.status, _asked_wait_s(headers.get("retry-after", "")))
    if size is None:
        raise ReadError(
            f"{without_secrets(href)} is sent without its size; ask its operator for a server "
            f"that supports ranges, or download the file and ingest it"
        )
    return Found(size, headers.get("etag"), ranges=answer.status == 206)


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
