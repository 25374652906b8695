"""The worker's side of a run: it fetches, maps and writes scenes, one of each at a time.

Only reports leave it: pixels go from the archive to this process and from here to the store.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from deepsalt import __version__
from deepsalt.errors import FormatError, GridError, ReadError, StoppedError
from flows.config import Access, Scratch
from flows.logs import LogStyle

if TYPE_CHECKING:
    from deepsalt.context import Context
    from deepsalt.fetch import Share
    from deepsalt.mapping import SceneReport
    from deepsalt.progress import Progress
    from deepsalt.store import Store
    from deepsalt.types import Acquisition, ModelRef


CACHE_VARIABLE = "DEEPSALT_MODEL_CACHE"
"""Folder where workers keep models. Default: one in the scratch folder."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Properties of a worker on which results and limits depend.

    Parameters
    ----------
    version, model, algorithm
        Of deepsalt; digest of the model; `ALGORITHM_VERSION`.
    platform
        Instruction set or device that predicts.
    memory_bytes
        Memory that it may take; None if unknown.
    scratch_bytes
        Space for files of remote scenes.
    host, process
        Where it runs.
    threads
        Chunks that it computes at a time.
    maps
        Whether it maps scenes; one that does not only composes tiles, and needs no model.
    """

    version: str
    model: str
    algorithm: int
    platform: str
    memory_bytes: int | None
    scratch_bytes: int
    host: str
    process: int
    threads: int = 1
    maps: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """What a run asks of each of its workers.

    Parameters
    ----------
    out
        The store.
    model
        Digest of the run's own model, which is in the store. Default: the shipped model.
    device
        ``cpu`` or ``cuda``.
    scratch
        Folder for files of remote scenes on a worker.
    access
        Hosts that scenes may refer to.
    retry_quarantined
        Whether scenes that now work leave the quarantine.
    log
        How its processes log. Default: as they do.
    mixed
        Whether the CPU may go on where the device fails, in the same product.
    """

    out: str
    model: str | None
    device: str
    scratch: Scratch
    access: Access
    retry_quarantined: bool = False
    log: LogStyle | None = None
    mixed: bool = False


class Station:
    """Works on scenes in this process; made once, callable from any thread.

    Parameters
    ----------
    task
        Its task.
    threads
        Threads that share the chunks of a scene.
    memory_bytes
        Memory that it may take; None if unknown.
    progress
        Receives progress on chunks. Default: none.
    store, model
        What this process has already opened and hashed, if any.
    maps
        Whether it maps scenes.
    """

    def __init__(
        self,
        task: Task,
        *,
        threads: int,
        memory_bytes: int | None = None,
        progress: "Progress | None" = None,
        store: "Store | None" = None,
        model: "ModelRef | None" = None,
        maps: bool = True,
    ) -> None:
        self._task = task
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._progress = progress
        self._opened = store
        self._model = model
        self._maps = maps
        self._open = ExitStack()
        self._lock = Lock()
        self._brought: set[Acquisition] = set()
        self._calls = 0
        self._is_leaving = False
        self._is_over = False

    @cached_property
    def context(self) -> "Context":
        """The model that maps scenes."""
        from deepsalt.context import Context

        task = self._task
        scratch = self._task.scratch
        return self._open.enter_context(
            Context.local(
                self._model or self._own_model(),
                threads=self._threads,
                device=task.device,
                scratch=scratch.folder,
                scratch_bytes=round(scratch.limit_gb * 1e9),
                reach=task.access.reach,
                progress=self._progress,
                mixed=task.mixed,
            )
        )

    def _own_model(self) -> "ModelRef | None":
        """Return the run's own model from the cache of this machine; None for the shipped one."""
        from flows.model_cache import cached_model

        if self._task.model is None:
            return None
        default = self._task.scratch.folder or Path(tempfile.gettempdir())
        cache = os.environ.get(CACHE_VARIABLE) or default / f"deepsalt-models-{os.getuid()}"
        return cached_model(self._store.objects, self._task.model, Path(cache))

    @cached_property
    def _store(self) -> "Store":
        from deepsalt.store import Store

        return self._opened or Store.open(self._task.out)

    def introduce(self) -> Identity:
        """Return this worker's identity; opens the store, and the model if it maps scenes.

        Raises
        ------
        ModelError
            The model is missing or damaged.
        StoreError
            The store cannot be read from here.
        """
        from deepsalt.model.platform import platform
        from deepsalt.products import ALGORITHM_VERSION

        with self._called():
            device = platform(self._task.device) if self._maps else ""
            return self._identity(device, ALGORITHM_VERSION)

    def _identity(self, platform: str, algorithm: int) -> Identity:
        scratch = self._task.scratch
        folder = scratch.folder or Path(tempfile.gettempdir())
        while not folder.exists():
            folder = folder.parent
        room = min(shutil.disk_usage(folder).free, round(scratch.limit_gb * 1e9))
        _ = self._store
        return Identity(
            version=__version__,
            model=self.context.model.digest if self._maps else "",
            algorithm=algorithm,
            platform=platform,
            memory_bytes=self._memory_bytes,
            scratch_bytes=room,
            host=socket.gethostname(),
            process=os.getpid(),
            threads=self._threads,
            maps=self._maps,
        )

    def bring(self, acquisition: "Acquisition", shares: "Mapping[str, Share]") -> int:
        """Fetch the files of a remote scene to this worker's scratch; return their bytes.

        Raises
        ------
        ReadError
            They cannot be fetched, or differ from what the catalogue says.
        StoreError
            The scratch folder cannot be written.
        StoppedError
            The station was stopped.
        """
        with self._called():
            with self._lock:
                self._refuse_to_go_on(acquisition)
                self._brought.add(acquisition)
            try:
                return self.context.fetcher.bring(acquisition, shares)
            except ReadError:
                self._refuse_to_go_on(acquisition)
                raise

    def process(self, acquisition: "Acquisition") -> "SceneReport":
        """Map a scene into the store; one that can never work is quarantined with the reason.

        Its Items are written before the product counts, and not linked yet.

        Raises
        ------
        StoreError
            The store cannot be written, or belongs to another model.
        StoppedError
            The station was stopped.
        DeviceError
            The device failed, and the CPU may not take over.
        """
        from deepsalt.effort import Meter
        from deepsalt.mapping import map_scene
        from deepsalt.store import release
        from flows.publication import write_items

        with self._called():
            with self._lock:
                self._refuse_to_go_on(acquisition)
                self._brought.discard(acquisition)
            store = self._store
            context = self.context
            announce = partial(write_items, store, acquisition, context.model)
            meter = Meter()
            try:
                report = map_scene(acquisition, store, context, announce=announce, meter=meter)
            except (FormatError, GridError, ReadError) as error:
                self._refuse_to_go_on(acquisition)
                return replace(_without_product(acquisition, store, error), work=meter.work)
            finally:
                context.fetcher.drop(acquisition)  # fetched in vain if the product already existed
            if self._task.retry_quarantined:
                release(store, acquisition.key)
            return report

    @contextmanager
    def _called(self) -> Iterator[None]:
        """Count the calls under way: the last one of a closed station tidies up."""
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
            self._tidy()

    def _refuse_to_go_on(self, acquisition: "Acquisition") -> None:
        """Distinguish a stop from a scene's own failure.

        Raises
        ------
        StoppedError
            The station was stopped.
        """
        if self._is_leaving or self.context.stopped.is_set():
            raise StoppedError(f"scene {acquisition.scene_id} was abandoned; the next run maps it")

    def leave(self) -> None:
        """Finish the scenes being mapped and written; give back those fetched or being fetched."""
        with self._lock:
            self._is_leaving = True
        if "context" in self.__dict__:
            self.context.closing.set()
            for acquisition in tuple(self._brought):
                self.context.fetcher.drop(acquisition)

    def stop(self) -> None:
        """Abandon fetching and mapping; finish writing."""
        if "context" in self.__dict__:
            self.context.stopped.set()
            self.context.fetcher.close()

    def close(self) -> None:
        """Stop, and clean up once the running calls are over, without waiting for them."""
        self.stop()
        self._is_over = True
        self._tidy()

    def _tidy(self) -> None:
        with self._lock:
            opened = self._open.pop_all() if self._is_over and not self._calls else ExitStack()
        opened.close()


def _without_product(
    acquisition: "Acquisition", store: "Store", error: FormatError | GridError | ReadError
) -> "SceneReport":
    """Return the fate of a failed scene: retried by the next run, or never."""
    from deepsalt.mapping import SceneReport
    from deepsalt.store import quarantine

    is_local = all(Path(asset.href).exists() for asset in acquisition.assets)
    if isinstance(error, ReadError) and not is_local:
        # A server or a disk may be away for a moment.
        return SceneReport(acquisition.key, "failed", reason=str(error))
    quarantine(store, acquisition.key, str(error))
    return SceneReport(acquisition.key, "quarantined", reason=str(error))
