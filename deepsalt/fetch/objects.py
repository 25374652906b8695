"""One object to one file: ranges in parallel, each resumed where it broke off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deepsalt.access import open_object, without_secrets
from deepsalt.checksums import fits
from deepsalt.errors import ReadError
from deepsalt.fetch.patience import Patience, Temper
from deepsalt.objects.disk import storing
from deepsalt.together import together
from deepsalt.types import Asset

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

CONNECTIONS = 10
"""Ranges of a scene on their way at a time."""

PART_BYTES = 8 * 2**20
"""Bytes of one range; a request costs a round trip, so not much less."""

STEP_BYTES = 256 * 2**10
"""Bytes handed on at a time; what `Patience.silence_s` is about."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remote:
    """An object as its server describes it.

    Parameters
    ----------
    asset
        What the catalogue says of it.
    store, name
        Where it is.
    size_bytes
        Its size.
    e_tag
        Changes with its content; None when the server gives none.
    ranges
        Whether the server answers ranges.
    """

    asset: Asset
    store: "ObjectStore"
    name: str
    size_bytes: int
    e_tag: str | None
    ranges: bool


class Session:
    """Requests for one scene: a few at a time, and one budget of failures.

    Parameters
    ----------
    patience
        With the servers.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._temper = Temper(patience)
        self._gate = asyncio.Semaphore(CONNECTIONS)

    async def describe(self, asset: Asset) -> Remote:
        """Ask how large an object is, by a range of one byte: a signed URL may not allow HEAD.

        Raises
        ------
        ReadError
            It is gone, refused, a web page, or of another size than the catalogue says.
        AwayError
            The server did not answer well in time.
        """
        store, name = open_object(asset.href)
        ranges = True

        async def ask() -> "GetResult":
            return await self._get(store, name, (0, 1) if ranges else None)

        try:
            found = await self._persist(asset.href, ask)
        except _RangesRefusedError:
            ranges = False
            found = await self._persist(asset.href, ask)
        size = found.meta["size"]
        if "text/html" in str(found.attributes.get("Content-Type", "")):
            raise ReadError(
                f"{without_secrets(asset.href)} is answered with a web page, not with the file; "
                "log in where the data are, or search the catalogue again"
            )
        if asset.size_bytes not in {None, size}:
            raise ReadError(
                f"{without_secrets(asset.href)} has {size} bytes, its catalogue says "
                f"{asset.size_bytes}; ingest the scene again"
            )
        return Remote(asset, store, name, size, found.meta["e_tag"], ranges)

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
        step = PART_BYTES if remote.ranges else remote.size_bytes
        starts = range(0, remote.size_bytes, max(step, 1))
        ends = [min(start + step, remote.size_bytes) for start in starts]
        await together(self._part(remote, target, *part) for part in zip(starts, ends, strict=True))

    async def _part(self, remote: Remote, target: Path, start: int, end: int) -> None:
        """Write bytes `start` to `end` of an object to their place in a file."""
        failures = 0
        while start < end:
            begin = start
            try:
                async with self._gate:
                    async for data in self._stream(remote, start, end):
                        with storing(target):
                            _write(target, start, data)
                        start += len(data)
                if start < end:
                    raise _UnfitError(f"only {start - begin} of {end - begin} bytes came")
            except _transient() as error:
                failures = 0 if start - begin >= STEP_BYTES else failures + 1
                await self._temper.bear(remote.asset.href, error, failures)

    async def _stream(self, remote: Remote, start: int, end: int) -> AsyncIterator[bytes]:
        wanted = (start, end) if remote.ranges else None
        found = await self._get(remote.store, remote.name, wanted)
        if (found.meta["size"], found.meta["e_tag"]) != (remote.size_bytes, remote.e_tag):
            raise _UnfitError("the file changes while it is fetched")
        skip = 0 if remote.ranges else start  # without ranges what is there already comes again
        stream = found.stream(min_chunk_size=STEP_BYTES)
        while True:
            try:
                data = await asyncio.wait_for(anext(stream), self._patience.silence_s)
            except StopAsyncIteration:
                return
            if kept := data[skip:]:
                yield kept
            skip = max(0, skip - len(data))

    async def _get(
        self, store: "ObjectStore", name: str, wanted: tuple[int, int] | None
    ) -> "GetResult":
        import obstore

        options: Any = {} if wanted is None else {"range": wanted}
        asked = obstore.get_async(store, name, options=options)
        try:
            return await asyncio.wait_for(asked, self._patience.silence_s)
        except obstore.exceptions.NotSupportedError:
            raise _RangesRefusedError from None

    async def _persist(self, href: str, attempt: Callable[[], Awaitable[T]]) -> T:
        failures = 0
        while True:
            try:
                async with self._gate:
                    return await attempt()
            except _RangesRefusedError:
                raise
            except _transient() as error:
                failures += 1
                await self._temper.bear(href, error, failures)


def _write(target: Path, start: int, data: bytes) -> None:
    with target.open("r+b") as file:  # costs nothing beside the 256 KiB that are written
        file.seek(start)
        file.write(data)


class _UnfitError(Exception):
    """An answer that ended too early or does not belong to those before it."""


class _RangesRefusedError(Exception):
    """A server that sends whole files only."""


def _transient() -> tuple[type[BaseException], ...]:
    """Return what `Temper.bear` judges: every error of the network, and none of our own."""
    from obstore.exceptions import BaseError

    return (BaseError, FileNotFoundError, TimeoutError, _UnfitError, _RangesRefusedError)
