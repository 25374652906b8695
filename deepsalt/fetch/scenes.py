"""The files of a scene brought here, and those of the next scene while one is worked on."""

import asyncio
import re
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from deepsalt.access import Reach
from deepsalt.fetch.objects import Session
from deepsalt.fetch.patience import Patience
from deepsalt.fetch.scratch import ScratchSpace
from deepsalt.together import together
from deepsalt.types import Acquisition, Asset

_NOT_READ = frozenset({"metadata"})
"""Assets that were parsed into the Acquisition and are not opened again."""

_ROOM_EVERY_S = 0.05
"""Time between two looks for room in the scratch space."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Fetched:
    acquisition: Acquisition
    folder: Path
    size_bytes: int


class Fetcher:
    """Brings remote scenes to local files, one scene ahead of the work.

    A context manager: at its end, Ctrl-C included, a fetch on its way is given up and the scratch
    space is removed. Asked by one thread; fetches in one of its own.

    Parameters
    ----------
    scratch
        Where the files lie for as long as they are needed; bounded to nothing, none is fetched.
    patience
        With the servers.
    reach
        Whom we talk to on the word of the scenes' Items.
    """

    def __init__(
        self, scratch: ScratchSpace, patience: Patience | None = None, *, reach: Reach
    ) -> None:
        self._scratch = scratch
        self._patience = patience or Patience()
        self._reach = reach
        self._expected: deque[Acquisition] = deque()
        self._tasks: dict[Acquisition, asyncio.Task[_Fetched]] = {}  # touched by the loop only
        self._turn = asyncio.Lock()  # scenes come one after the other, each over many connections
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fetch", daemon=True)

    def expect(self, acquisitions: Iterable[Acquisition]) -> None:
        """Say which scenes will be asked for, in this order."""
        self._expected.extend(each for each in acquisitions if self._fetches(each))

    def _fetches(self, acquisition: Acquisition) -> bool:
        return self._scratch.limit_bytes > 0 and bool(_remote_assets(acquisition))

    @contextmanager
    def local(self, acquisition: Acquisition) -> Iterator[Acquisition]:
        """Wait for a scene's files and start on those of the next; they are there for the block.

        Yields
        ------
        Acquisition
            The scene with paths of local files.

        Raises
        ------
        ReadError
            A file is gone, refused, not what the catalogue says, or the scene is larger than the
            space.
        AwayError
            A server did not answer well for longer than we wait.
        StoreError
            The scratch folder cannot be written.
        """
        if not self._fetches(acquisition):
            yield acquisition
            return
        if not self._thread.is_alive():
            self._thread.start()
        fetched = self._run(self._serve(acquisition, self._passed_over(acquisition)))
        try:
            yield fetched.acquisition
        finally:
            self._scratch.give_back(fetched.folder, fetched.size_bytes)

    def _passed_over(self, acquisition: Acquisition) -> list[Acquisition]:
        """Return what was expected before this scene and will not be asked for any more."""
        passed: list[Acquisition] = []
        if acquisition not in self._expected:  # asked for again
            return passed
        while self._expected and (first := self._expected.popleft()) != acquisition:
            passed.append(first)
        return passed

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, acquisition: Acquisition, passed: list[Acquisition]) -> _Fetched:
        for each in passed:
            await self._abandon(each)
        wanted = self._task(acquisition)
        if self._expected:
            self._task(self._expected[0])
        try:
            return await wanted
        finally:
            del self._tasks[acquisition]

    def _task(self, acquisition: Acquisition) -> "asyncio.Task[_Fetched]":
        if acquisition not in self._tasks:
            self._tasks[acquisition] = self._loop.create_task(self._fetch(acquisition))
        return self._tasks[acquisition]

    async def _abandon(self, acquisition: Acquisition) -> None:
        task = self._tasks.pop(acquisition, None)
        if task is not None:
            task.cancel()
            (fetched,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(fetched, _Fetched):
                self._scratch.give_back(fetched.folder, fetched.size_bytes)

    async def _fetch(self, acquisition: Acquisition) -> _Fetched:
        async with self._turn:
            assets = _remote_assets(acquisition)
            async with Session(self._patience, self._reach) as session:
                found = await together(session.describe(asset) for asset in assets)
                size_bytes = sum(remote.size_bytes for remote in found)
                folder = await self._room(size_bytes, acquisition.scene_id)
                with ExitStack() as given_up:
                    given_up.callback(self._scratch.give_back, folder, size_bytes)
                    paths = [_new_path(folder, asset) for asset in assets]
                    places = zip(found, paths, strict=True)
                    await together(session.download(*each) for each in places)
                    given_up.pop_all()
        return _Fetched(_moved(acquisition, assets, map(str, paths)), folder, size_bytes)

    async def _room(self, size_bytes: int, what: str) -> Path:
        while (folder := self._scratch.take(size_bytes, f"scene {what}")) is None:
            await asyncio.sleep(_ROOM_EVERY_S)
        return folder

    def close(self) -> None:
        """Give up what is on its way and remove what is there."""
        if self._thread.is_alive():
            self._run(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._scratch.close()

    async def _stop(self) -> None:
        await asyncio.gather(*(self._abandon(each) for each in list(self._tasks)))
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


def _remote_assets(acquisition: Acquisition) -> list[Asset]:
    return [
        asset for asset in acquisition.assets if "://" in asset.href and asset.name not in _NOT_READ
    ]


def _new_path(folder: Path, asset: Asset) -> Path:
    """Return where a file is to lie: in a folder of its own, by its own name made harmless."""
    name = unquote(urlsplit(asset.href).path).rpartition("/")[2]
    home = folder / str(sum(1 for _ in folder.iterdir()))
    home.mkdir()
    return home / (re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "file")


def _moved(acquisition: Acquisition, assets: list[Asset], places: Iterable[str]) -> Acquisition:
    """Return the scene with its remote files in other places."""
    where = {asset.href: place for asset, place in zip(assets, places, strict=True)}
    return replace(
        acquisition,
        assets=tuple(
            replace(asset, href=where.get(asset.href, asset.href)) for asset in acquisition.assets
        ),
    )
