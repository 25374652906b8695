"""One object to one file: ranges in parallel, each resumed where it broke off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deepsalt.access import Reach, host_of, without_secrets
from deepsalt.access.web import Web, WebError
from deepsalt.concurrency import run_all
from deepsalt.errors import ReadError
from deepsalt.fetch.checksums import fits
from deepsalt.fetch.patience import Patience, RetryBudget
from deepsalt.fetch.share import Lane, Share
from deepsalt.fetch.sources import (
    Body,
    FileSource,
    Range,
    RangesRefusedError,
    StatusError,
    source_of,
)
from deepsalt.objects.disk import storing
from deepsalt.types import Asset

STEP_BYTES = 256 * 2**10
"""Bytes handed on at a time; what `Patience.silence_s` is about."""

_END_S = 1.0
"""Wait for the end of an answer whose bytes are here; a new connection takes about as long."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An object as its server describes it.

    Parameters
    ----------
    asset
        What the catalogue says of it.
    source
        Where its bytes come from.
    size_bytes
        Its size.
    e_tag
        Changes with its content; None when the server gives none.
    ranges
        Whether the server answers ranges.
    """

    asset: Asset
    source: FileSource
    size_bytes: int
    e_tag: str | None
    ranges: bool


class Session:
    """Requests for one scene: a few at a time, with one budget of failures.

    An async context manager: at its end the connections are closed. What is asked for again, after
    a failure or for its checksum, is part of the share as anything else.

    Parameters
    ----------
    patience
        With the servers.
    reach
        Whom we talk to on the word of the scene's Item.
    shares
        What may be used of a server, by the name that `host_of` gives it; of others the default.
    """

    def __init__(
        self, patience: Patience, reach: Reach, shares: Mapping[str, Share] | None = None
    ) -> None:
        self._patience = patience
        self._retries = RetryBudget(patience)
        self._lanes = {host: Lane(share) for host, share in (shares or {}).items()}
        self._web = Web(reach)

    def _lane(self, href: str) -> Lane:
        return self._lanes.setdefault(host_of(href), Lane(Share()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._web.__aexit__(kind, error, trace)

    async def describe(self, asset: Asset) -> Remote:
        """Ask how large an object is, by a range of one byte: a signed URL may not allow HEAD.

        Raises
        ------
        ReadError
            It is gone, refused, a web page, of another size than the catalogue says, or it lies
            where an Item may not send us.
        AwayError
            The server did not answer well in time.
        """
        source = source_of(asset.href, self._web)
        ranges = True
        try:
            found = await self._begin(source, asset.href, (0, 1))
        except RangesRefusedError:
            ranges = False
            found = await self._begin(source, asset.href, None)
        size = found.size_bytes
        if "text/html" in found.content_type:
            raise ReadError(
                f"{without_secrets(asset.href)} is answered with a web page, not with the file; "
                "log in where the data are, or search the catalogue again"
            )
        if asset.size_bytes not in {None, size}:
            raise ReadError(
                f"{without_secrets(asset.href)} has {size} bytes, its catalogue says "
                f"{asset.size_bytes}; ingest the scene again"
            )
        return Remote(asset, source, size, found.e_tag, ranges)

    async def _begin(self, source: FileSource, href: str, wanted: Range | None) -> Body:
        """Return an answer that was begun and let go, asked for until it is a good one."""
        failures = 0
        while True:
            try:
                async with (
                    self._lane(href).turn(),
                    asyncio.timeout(self._patience.silence_s),
                    source.get(wanted) as body,
                ):
                    if wanted is not None:
                        await _step(body.chunks)  # read to its end, the connection serves again
                    return body
            except _transient() as error:
                failures += 1
                await self._retries.wait_or_raise(href, error, failures)

    async def download(self, remote: Remote, target: Path) -> None:
        """Write an object to a file; a checksum that does not fit is given one more chance.

        Raises
        ------
        ReadError
            The object is gone, refused or not what the catalogue says.
        AwayError
            The server did not answer well in time, or the object kept changing.
        StoreError
            The file cannot be written.
        """
        await self._download(remote, target)
        if not await asyncio.to_thread(fits, target, remote.asset.checksum):
            await self._download(remote, target)
            if not await asyncio.to_thread(fits, target, remote.asset.checksum):
                raise ReadError(
                    f"{without_secrets(remote.asset.href)} has another checksum than its catalogue "
                    "says; ingest the scene again"
                )

    async def _download(self, remote: Remote, target: Path) -> None:
        with storing(target):
            target.touch()
        part_bytes = self._lane(remote.asset.href).part_bytes
        step = part_bytes if remote.ranges else remote.size_bytes
        starts = range(0, remote.size_bytes, max(step, 1))
        ends = [min(start + step, remote.size_bytes) for start in starts]
        await run_all(self._part(remote, target, *each) for each in zip(starts, ends, strict=True))

    async def _part(self, remote: Remote, target: Path, start: int, end: int) -> None:
        """Write bytes `start` to `end` of an object to their place in a file."""
        failures = 0
        lane = self._lane(remote.asset.href)
        while start < end:
            begin = start
            wanted_bytes = end - start if remote.ranges else 0
            try:
                async with (
                    lane.turn(wanted_bytes),
                    aclosing(self._stream(remote, start, end)) as stream,
                ):
                    async for data in stream:
                        with storing(target):
                            _write(target, start, data)
                        start += len(data)
                if start < end:
                    raise _UnfitError(f"only {start - begin} of {end - begin} bytes came")
            except _transient() as error:
                failures = 0 if start - begin >= STEP_BYTES else failures + 1
                await self._retries.wait_or_raise(remote.asset.href, error, failures)

    async def _stream(self, remote: Remote, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield bytes `start` to `end` in steps; each has to come within the patience."""
        wanted = (start, end) if remote.ranges else None
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._patience.silence_s):
                body = await stack.enter_async_context(remote.source.get(wanted))
            if (body.size_bytes, body.e_tag) != (remote.size_bytes, remote.e_tag):
                raise _UnfitError("the file changes while it is fetched")
            skip = 0 if remote.ranges else start  # without ranges what is there comes again
            left = end - start  # a server may send more than was asked for
            while left > 0:
                async with asyncio.timeout(self._patience.silence_s):
                    data = await _step(body.chunks)
                if not data:
                    return
                if not remote.ranges:  # asked for as a whole, so paid for as it comes
                    await self._lane(remote.asset.href).wait(len(data))
                if kept := data[skip : skip + left]:
                    left -= len(kept)
                    yield kept
                skip = max(0, skip - len(data))
            # Read to its end, the connection serves again; all bytes are here, whatever it says.
            with suppress(*_transient()):
                async with asyncio.timeout(_END_S):
                    await anext(body.chunks, None)


async def _step(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the next `STEP_BYTES` or a little more; fewer at the end, and none behind it."""
    step = bytearray()
    async for chunk in chunks:
        step += chunk
        if len(step) >= STEP_BYTES:
            break
    return bytes(step)


def _write(target: Path, start: int, data: bytes) -> None:
    with target.open("r+b") as file:  # costs nothing beside the 256 KiB that are written
        file.seek(start)
        file.write(data)


class _UnfitError(Exception):
    """An answer that ended too early or does not belong to those before it."""


def _transient() -> tuple[type[BaseException], ...]:
    """Return what `RetryBudget` judges: every error of the network, and none of our own."""
    from obstore.exceptions import BaseError

    return (BaseError, FileNotFoundError, TimeoutError, WebError, StatusError, _UnfitError)
