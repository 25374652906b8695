"""Fetches the files of scenes and keeps them until they are processed."""

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from deepsalt.access import Reach, host_of
from deepsalt.concurrency import run_all
from deepsalt.effort import Meter, SceneWork
from deepsalt.errors import ReadError
from deepsalt.fetch.answers import Found
from deepsalt.fetch.objects import Session
from deepsalt.fetch.patience import Patience
from deepsalt.fetch.scratch import ScratchSpace
from deepsalt.fetch.share import Share, share_of
from deepsalt.fetch.tiles import Pixels
from deepsalt.naming import named
from deepsalt.scenes.base import refuse_remote
from deepsalt.types import Acquisition, Asset

_NOT_READ = frozenset({"metadata"})
"""Assets that were parsed into the Acquisition and are not opened again."""

_ROOM_EVERY_S = 0.05
"""Time between two checks for free scratch space."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Fetched:
    acquisition: Acquisition
    folder: Path
    size_bytes: int
    work: SceneWork


class Fetcher:
    """Fetches remote scenes to local files.

    A context manager: at its end, Ctrl-C included, running fetches are abandoned and the scratch
    space is removed. Several threads may use it; scenes are fetched concurrently, in its own
    thread.

    A scene that waits for scratch space holds none of it. Scenes kept by `bring` do, until `local`
    or `drop` is called for them: fetching more than fits without using it waits for ever.

    Parameters
    ----------
    scratch
        Folder of the files for as long as they are needed; with a size of 0, remote scenes are
        refused.
    patience
        With the servers.
    reach
        Hosts that the scenes' Items may refer to.
    """

    def __init__(
        self, scratch: ScratchSpace, patience: Patience | None = None, *, reach: Reach
    ) -> None:
        self._scratch = scratch
        self._patience = patience or Patience()
        self._reach = reach
        self._kept: dict[Acquisition, asyncio.Task[_Fetched]] = {}  # touched by the loop only
        self._turn = (
            asyncio.Lock()
        )  # for space: a large scene would otherwise wait behind small ones for ever
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._lock = Lock()
        self._closed = False

    def bring(self, acquisition: Acquisition, shares: Mapping[str, Share] | None = None) -> int:
        """Fetch a scene's files and keep them until `local` asks for them.

        Parameters
        ----------
        acquisition
            The scene.
        shares
            Share of each of its `hosts_of`. Default: as much as one scene uses, within the
            archive's known limits.

        Returns
        -------
        int
            Bytes fetched: 0 for a local scene, or one already fetched or being fetched.

        Raises
        ------
        ReadError
            A file is gone, refused, or differs from the catalogue, the scene is larger than the
            space, or `drop` or `close` abandoned the fetch.
        AwayError
            A server did not answer properly in time.
        StoreError
            The scratch folder cannot be written.
        """
        if not _remote_assets(acquisition):
            return 0
        return self._run(self._bring(acquisition, shares or {}), acquisition)

    @contextmanager
    def local(
        self,
        acquisition: Acquisition,
        meter: Meter | None = None,
        pixels: Pixels | None = None,
        shares: Mapping[str, Share] | None = None,
    ) -> Iterator[Acquisition]:
        """Wait for a scene's files, fetched now unless `bring` did; they exist during the block.

        Parameters
        ----------
        acquisition
            The scene.
        meter
            Counts what fetching took, also what `bring` did. Default: nobody counts.
        pixels
            Pixels that are read, not empty: of large tiled files on servers that know ranges only
            what holds these is fetched. Default: all.
        shares
            As of `bring`, if nothing was brought.

        Yields
        ------
        Acquisition
            The scene with paths of local files.

        Raises
        ------
        ReadError, AwayError, StoreError
            As of `bring`.
        """
        if not _remote_assets(acquisition):
            yield acquisition
            return
        taken = self._take(acquisition, meter or Meter(), pixels, shares or {})
        fetched = self._run(taken, acquisition)
        try:
            yield fetched.acquisition
        finally:
            self._scratch.give_back(fetched.folder, fetched.size_bytes)

    def drop(self, acquisition: Acquisition) -> None:
        """Remove files of a scene that `bring` keeps or is fetching, if any."""
        if self._thread.is_alive() and not self._closed:
            with suppress(ReadError):  # closed meanwhile, which drops everything
                self._run(self._drop(acquisition), acquisition)

    def _run(self, work: Coroutine[Any, Any, T], acquisition: Acquisition) -> T:
        given_up = f"the fetch of scene {acquisition.scene_id} was abandoned; run again to fetch it"
        with self._lock:
            if self._closed:
                work.close()
                raise ReadError(given_up)
            if not self._thread.is_alive():
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ReadError(given_up) from None
        finally:
            future.cancel()  # the waiting thread was interrupted, and no other waits

    async def _bring(self, acquisition: Acquisition, shares: Mapping[str, Share]) -> int:
        known = self._kept.get(acquisition)
        if known is not None:
            await asyncio.shield(
                known
            )  # another thread's fetch; it continues if this one is interrupted
            return 0
        task = self._loop.create_task(self._fetch(acquisition, shares, Meter()))
        self._kept[acquisition] = task
        try:
            return (await task).size_bytes
        finally:
            failed = task.cancelled() or task.exception() is not None
            if failed and self._kept.get(acquisition) is task:
                del self._kept[acquisition]

    async def _take(
        self,
        acquisition: Acquisition,
        meter: Meter,
        pixels: Pixels | None,
        shares: Mapping[str, Share],
    ) -> _Fetched:
        known = self._kept.pop(acquisition, None)
        if known is None:
            return await self._fetch(acquisition, shares, meter, pixels)
        fetched = await known
        meter.add(fetched.work)
        return fetched

    async def _drop(self, acquisition: Acquisition) -> None:
        task = self._kept.pop(acquisition, None)
        if task is not None:
            task.cancel()
            (fetched,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(fetched, _Fetched):
                self._scratch.give_back(fetched.folder, fetched.size_bytes)

    async def _fetch(
        self,
        acquisition: Acquisition,
        shares: Mapping[str, Share],
        meter: Meter,
        pixels: Pixels | None = None,
    ) -> _Fetched:
        assets = _remote_assets(acquisition)
        if not self._scratch.limit_bytes:
            refuse_remote(assets[0].href)
        lent = {host: shares.get(host) or share_of(host) for host in hosts_of(acquisition)}
        async with Session(self._patience, self._reach, lent, meter) as session:
            with meter.during("fetch"):
                found = await run_all(session.describe(asset) for asset in assets)
            size_bytes = sum(each.size_bytes for each in found)
            folder = await self._room(size_bytes, acquisition.scene_id)
            with ExitStack() as given_up:
                given_up.callback(self._scratch.give_back, folder, size_bytes)
                paths = [_new_path(folder, asset) for asset in assets]
                files = zip(assets, found, paths, strict=True)
                with meter.during("fetch"):
                    await run_all(_download(session, *each, pixels=pixels) for each in files)
                given_up.pop_all()
        work = meter.work
        with named(scene=acquisition.key):
            logger.info(
                "fetched %d bytes in %.1f s, %d requests made again",
                work.fetched_bytes,
                work.fetch_s,
                work.retries,
            )
        moved = _moved(acquisition, assets, map(str, paths))
        return _Fetched(moved, folder, size_bytes, work)

    async def _room(self, size_bytes: int, what: str) -> Path:
        async with self._turn:
            while (folder := self._scratch.take(size_bytes, f"scene {what}")) is None:
                await asyncio.sleep(_ROOM_EVERY_S)
        return folder

    def close(self) -> None:
        """Abandon running fetches and remove all files; waiting callers get an error."""
        with self._lock:
            self._closed = True
            running = self._thread.is_alive()
        if running:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._scratch.close()

    async def _stop(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _download(
    session: Session, asset: Asset, found: Found, target: Path, *, pixels: Pixels | None
) -> None:
    """Write an object to a file, or what of it holds some pixels."""
    ranges = None if pixels is None else await session.ranges(asset, found, pixels)
    if ranges is None:
        await session.download(asset, found, target)
    else:
        await session.download_parts(asset, found, target, ranges)


def _remote_assets(acquisition: Acquisition) -> list[Asset]:
    return [
        asset for asset in acquisition.assets if "://" in asset.href and asset.name not in _NOT_READ
    ]


def hosts_of(acquisition: Acquisition) -> tuple[str, ...]:
    """Return the servers that a scene's files are fetched from, sorted, as `host_of` names them.

    Empty for a scene on this machine. Targets of redirects are not included: they are known only
    after a request.
    """
    return tuple(sorted({host_of(asset.href) for asset in _remote_assets(acquisition)}))


def _new_path(folder: Path, asset: Asset) -> Path:
    """Return the path for a file: in its own folder, with a sanitised name."""
    name = unquote(urlsplit(asset.href).path).rpartition("/")[2]
    home = folder / str(sum(1 for _ in folder.iterdir()))
    home.mkdir()
    return home / (re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "file")


def _moved(acquisition: Acquisition, assets: list[Asset], places: Iterable[str]) -> Acquisition:
    """Return the scene with other paths for its remote files."""
    where = {asset.href: place for asset, place in zip(assets, places, strict=True)}
    return replace(
        acquisition,
        assets=tuple(
            replace(asset, href=where.get(asset.href, asset.href)) for asset in acquisition.assets
        ),
    )
