"""Where a run keeps the files of remote scenes while it works on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flows.config import SceneConfig

if TYPE_CHECKING:
    from deepsalt.fetch import Fetcher


_opened: "ContextVar[Fetcher | None]" = ContextVar("fetcher", default=None)
"""Fetcher of the `with` block around: one for a run, also where Prefect calls the stages."""


@contextmanager
def fetching(config: SceneConfig) -> Iterator["Fetcher"]:
    """Yield the fetcher of the block around, or without one a new one that ends with the block.

    Workers of a scheduler that runs elsewhere do not see this machine's temporary files: without a
    scratch folder, which has to be one that all machines share, they cannot read remote scenes.

    Raises
    ------
    StoreError
        The scratch folder cannot be written.
    UsageError
        An allowed host that is none.
    """
    from deepsalt.fetch import Fetcher, ScratchSpace

    known = _opened.get()
    if known is not None:
        yield known
        return
    scratch, elsewhere = config.scratch, config.compute.scheduler is not None
    limit_gb = 0.0 if elsewhere and scratch.folder is None else scratch.limit_gb
    space = ScratchSpace(scratch.folder, round(limit_gb * 1e9))
    with Fetcher(space, reach=config.access.reach) as new:
        token = _opened.set(new)
        try:
            yield new
        finally:
            _opened.reset(token)
