"""One object to one file: its parts in parallel, each written where it belongs."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from deepsalt.access import Reach, host_of, is_web, without_secrets
from deepsalt.access.login import Logins
from deepsalt.access.web import Web
from deepsalt.concurrency import run_all
from deepsalt.effort import Meter, SceneWork
from deepsalt.errors import ReadError
from deepsalt.fetch.answers import Found
from deepsalt.fetch.buckets import BucketFile, store_of
from deepsalt.fetch.checksums import fits
from deepsalt.fetch.patience import Patience, RetryBudget
from deepsalt.fetch.share import HostQueue, Share
from deepsalt.fetch.tiles import FIRST_BYTES, LEAST_BYTES, OTHERS, Pixels, Ranges, layout_of
from deepsalt.fetch.web_files import WebFile
from deepsalt.objects.disk import storing
from deepsalt.types import Asset

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Session:
    """Requests for one scene: a few at a time, web servers with one budget of failures.

    An async context manager: at its end the connections are closed.

    Parameters
    ----------
    patience
        With the servers.
    reach
        Hosts that the scene's Item may refer to.
    shares
        Share of each server, by its name from `host_of`; others get the default.
    meter
        Counts bytes and retries. Default: one of its own.
    """

    def __init__(
        self,
        patience: Patience,
        reach: Reach,
        shares: Mapping[str, Share] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._retries = RetryBudget(patience, self._meter)
        self._lanes = {host: HostQueue(share) for host, share in (shares or {}).items()}
        self._web = Web(reach, logins=Logins())
        self._stores: dict[tuple[str, str], ObjectStore] = {}

    def _lane(self, href: str) -> HostQueue:
        return self._lanes.setdefault(host_of(href), HostQueue(Share()))

    def _file(self, href: str) -> WebFile | BucketFile:
        if is_web(href):
            return WebFile(href, self._web, self._lane(href), self._retries)
        parts = urlsplit(href)
        bucket = (parts.scheme, parts.netloc)
        if bucket not in self._stores:
            self._stores[bucket] = store_of(href, self._retries.patience)
        return BucketFile(href, self._stores[bucket], self._lane(href), self._meter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._web.__aexit__(kind, error, trace)

    async def describe(self, asset: Asset) -> Found:
        """Ask how large an object is.

        Raises
        ------
        ReadError
            It is gone, refused, a web page, of another size than the catalogue says, or it lies
            where an Item may not send us.
        AwayError
            The server did not answer properly in time.
        """
        found = await self._file(asset.href).describe()
        if asset.size_bytes not in {None, found.size_bytes}:
            raise ReadError(
                f"{without_secrets(asset.href)} has {found.size_bytes} bytes, but its catalogue "
                f"says {asset.size_bytes}; ingest the scene again"
            )
        return found

    async def first_bytes(self, href: str, found: Found, most: int) -> bytes:
        """Return the beginning of an object.

        Raises
        ------
        ReadError, AwayError
            As of `describe`.
        """
        first = bytearray()
        async with aclosing(self._file(href).part(found, 0, min(most, found.size_bytes))) as stream:
            async for data in stream:
                first += data
        return bytes(first)

    async def ranges(self, asset: Asset, found: Found, pixels: Pixels) -> Ranges | None:
        """Return the bytes of a file that hold some pixels; None: fetch it whole.

        Raises
        ------
        ReadError, AwayError
            As of `describe`.
        """
        small = found.size_bytes < LEAST_BYTES
        if not found.ranges or small or urlsplit(asset.href).path.lower().endswith(OTHERS):
            return None
        first = await self.first_bytes(asset.href, found, FIRST_BYTES)
        layout = layout_of(first, found.size_bytes)
        return None if layout is None else layout.ranges(*pixels)

    async def download_parts(
        self, asset: Asset, found: Found, target: Path, ranges: Ranges
    ) -> None:
        """Write some bytes of an object where they belong in a file of its size.

        The rest is a hole, so a checksum of the whole cannot be checked.

        Raises
        ------
        ReadError, AwayError, StoreError
            As of `download`.
        """
        with storing(target):
            target.touch()
            os.truncate(target, found.size_bytes)
        await self._bring(asset.href, found, target, ranges)

    async def download(self, asset: Asset, found: Found, target: Path) -> None:
        """Write an object to a file; retry once if its checksum does not match.

        Raises
        ------
        ReadError
            The object is gone, refused or not what the catalogue says.
        AwayError
            The server did not answer properly in time, or the object kept changing.
        StoreError
            The file cannot be written.
        """
        await self._download(asset.href, found, target)
        if not await asyncio.to_thread(fits, target, asset.checksum):
            self._meter.add(SceneWork(retries=1))
            await self._download(asset.href, found, target)
            if not await asyncio.to_thread(fits, target, asset.checksum):
                raise ReadError(
                    f"{without_secrets(asset.href)} does not have the checksum in its catalogue; "
                    f"ingest the scene again"
                )

    async def _download(self, href: str, found: Found, target: Path) -> None:
        with storing(target):
            target.touch()
        await self._bring(href, found, target, [(0, found.size_bytes)])

    async def _bring(self, href: str, found: Found, target: Path, ranges: Ranges) -> None:
        file = self._file(href)
        step = self._lane(href).part_bytes if found.ranges else max(found.size_bytes, 1)

        async def bring(start: int, end: int) -> None:
            async with aclosing(file.part(found, start, end)) as stream:
                async for data in stream:
                    self._meter.add(SceneWork(fetched_bytes=len(data)))
                    with storing(target):
                        _write(target, start, data)
                    start += len(data)

        await run_all(
            bring(start, min(start + step, end))
            for first, end in ranges
            for start in range(first, end, step)
        )


def _write(target: Path, start: int, data: bytes) -> None:
    with target.open("r+b") as file:  # costs nothing beside the 256 KiB that are written
        file.seek(start)
        file.write(data)
