"""Everything that work on scenes and tiles needs besides them, made once per process."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from deepsalt.access import Reach
from deepsalt.fetch import Fetcher, ScratchSpace
from deepsalt.model.load import model_ref
from deepsalt.naming import NamedThreads
from deepsalt.progress import Progress, Silent
from deepsalt.types import ModelRef
from deepsalt.validate import Limits

SCRATCH_BYTES = 8 * 10**9
"""Maximum bytes of remote scenes in the scratch folder at a time."""


@dataclass(frozen=True, slots=True)
class Context:
    """Resources of `map_scene` and `build_mosaic`.

    Any number of threads may map scenes with one context: one scene is mapped at a time, by all
    threads of the pool, and one is written meanwhile, so that memory is always bounded.

    Parameters
    ----------
    model
        The model, hashed once.
    pool
        Threads that share the chunks of a scene.
    executor
        What composes tiles: the same threads, or remote workers.
    fetcher
        Fetches the files of remote scenes.
    device
        Device that predicts: ``cpu`` or ``cuda``.
    limits
        Limits beyond which a mosaic fails and is not published.
    progress
        Receives progress on chunks and tiles.
    maps, writes
        Held by the scene being mapped, and by the one being written.
    closing
        Set to map no further scene: one that waits for its turn ends with a `StoppedError`.
    stopped
        Set to abandon the scene being mapped, with a `StoppedError`.
    mixed
        Whether the CPU may go on where the device fails, in the same product.

    Examples
    --------
    >>> import deepsalt
    >>> with deepsalt.Context.local(threads=2) as context:
    ...     deepsalt.build_mosaic(deepsalt.Store.open("store"), context).composed
    0
    """

    model: ModelRef
    pool: ThreadPoolExecutor
    executor: Executor
    fetcher: Fetcher
    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)
    progress: Progress = field(default_factory=Silent)
    maps: Lock = field(default_factory=Lock)
    writes: Lock = field(default_factory=Lock)
    closing: Event = field(default_factory=Event)
    stopped: Event = field(default_factory=Event)
    mixed: bool = False

    @classmethod
    @contextmanager
    def local(
        cls,
        model: ModelRef | str | Path | None = None,
        *,
        threads: int | None = None,
        device: str = "cpu",
        scratch: Path | None = None,
        scratch_bytes: int = SCRATCH_BYTES,
        reach: Reach | None = None,
        limits: Limits | None = None,
        progress: Progress | None = None,
        mixed: bool = False,
    ) -> Iterator["Context"]:
        """Work with threads of this process until the block ends.

        Parameters
        ----------
        model
            The model, or its folder. Default: the shipped model.
        threads
            Chunks and tiles to process at a time. Default: one per core.
        device
            ``cpu`` or ``cuda``.
        scratch
            Folder for the files of remote scenes. Default: the system's temporary folder.
        scratch_bytes
            Maximum size of its content, bytes.
        reach
            Hosts that a scene may refer to. Default: public servers.
        limits
            Limits beyond which a mosaic fails.
        progress
            Receives progress on chunks and tiles.
        mixed
            Whether the CPU may go on where the device fails, in the same product.

        Raises
        ------
        ModelError
            The model's files are missing, unreadable or disagree.
        StoreError
            The scratch folder cannot be created.
        """
        with (
            NamedThreads(threads or os.cpu_count(), "chunk") as pool,
            Fetcher(ScratchSpace(scratch, scratch_bytes), reach=reach or Reach()) as fetcher,
        ):
            yield cls(
                model if isinstance(model, ModelRef) else model_ref(model),
                pool,
                pool,
                fetcher,
                device,
                limits or Limits(),
                progress or Silent(),
                mixed=mixed,
            )
