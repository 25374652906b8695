"""Where a run keeps the files of remote scenes while it works on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.config import SceneConfig

if TYPE_CHECKING:
    from deepsalt.fetch import Fetcher


@contextmanager
def fetching(config: SceneConfig, fetcher: "Fetcher | None" = None) -> Iterator["Fetcher"]:
    """Yield `fetcher`, or without one a new one that ends with the block.

    Workers of a scheduler that runs elsewhere do not see this machine's temporary files: they read
    by windows, unless a scratch folder is given, which has to be one that all machines share.

    Raises
    ------
    StoreError
        The scratch folder cannot be written.
    """
    from deepsalt.fetch import Fetcher, ScratchSpace

    if fetcher is not None:
        yield fetcher
        return
    scratch, elsewhere = config.scratch, config.compute.scheduler is not None
    limit_gb = 0.0 if elsewhere and scratch.folder is None else scratch.limit_gb
    with Fetcher(ScratchSpace(scratch.folder, round(limit_gb * 1e9))) as new:
        yield new
