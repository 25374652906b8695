"""What work on scenes and tiles needs besides them: one object, made once for each process."""

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
from deepsalt.progress import Progress, Silent
from deepsalt.types import ModelRef
from deepsalt.validate import Limits

SCRATCH_BYTES = 8 * 10**9
"""Bytes of remote scenes that may lie in the scratch folder at a time."""


@dataclass(frozen=True, slots=True)
class Context:
    """What `map_scene` and `build_mosaic` work with.

    Any number of threads may map scenes with one context: one scene is mapped at a time, by all
    threads of the pool, and one is written meanwhile. So memory is bounded whatever is asked for.

    Parameters
    ----------
    model
        The model, hashed once.
    pool
        Threads that share the chunks of a scene.
    engine
        What composes tiles: the same threads, or workers elsewhere.
    fetcher
        Brings the files of remote scenes here.
    device
        ``cpu`` or ``cuda``: what predicts.
    limits
        From where on what was composed is wrong, so that nothing is published.
    progress
        Told about chunks and tiles.
    maps, writes
        Held by the scene that is mapped, and by the one that is written.
    stopped
        Set to give up the scene that is mapped, with a `StoppedError`.

    Examples
    --------
    >>> import deepsalt
    >>> with deepsalt.Context.local(threads=2) as context:
    ...     deepsalt.build_mosaic(deepsalt.Store.open("store"), context).composed
    0
    """

    model: ModelRef
    pool: ThreadPoolExecutor
    engine: Executor
    fetcher: Fetcher
    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)
    progress: Progress = field(default_factory=Silent)
    maps: Lock = field(default_factory=Lock)
    writes: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

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
    ) -> Iterator["Context"]:
        """Work with threads of this process, until the block ends.

        Parameters
        ----------
        model
            The model, or its folder. Default: the shipped one.
        threads
            Chunks and tiles that are worked on at a time. Default: one per core.
        device
            ``cpu`` or ``cuda``.
        scratch
            Folder for the files of remote scenes. Default: the system's for temporary files.
        scratch_bytes
            Bytes that may lie in it.
        reach
            Whom we talk to on the word of a scene. Default: public servers.
        limits
            Limits beyond which a mosaic fails.
        progress
            Told about chunks and tiles.

        Raises
        ------
        ModelError
            The model's files are missing, unreadable or disagree.
        StoreError
            The scratch folder cannot be made.
        """
        with (
            ThreadPoolExecutor(threads or os.cpu_count(), "chunk") as pool,
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
            )
