"""What an operator changes in a store by hand: scenes withdrawn, versions rolled back or pruned."""

from dataclasses import dataclass
from functools import partial

from deepsalt.errors import StoreError
from deepsalt.mosaic import (
    begin_repair,
    readmit,
    readmitted_sets,
    repair_tile,
    rolled_back,
    withdraw,
)
from deepsalt.mosaic.sets import published_sets
from deepsalt.store import Prunable, Store, Version, current_version, find_prunable, prune
from deepsalt.together import submitted
from flows.compute import computing
from flows.config import Compute, MosaicConfig
from flows.progress import Progress, Silent
from flows.publication import draw_quicklook, publish_mosaic, remove_old_mosaics
from flows.stage2 import MosaicResult, compose


@dataclass(frozen=True)
class ChangeResult:
    """Outcome of a change: scene keys, and the mosaic (None before the first was published)."""

    scenes: tuple[str, ...]
    mosaic: MosaicResult | None


def withdraw_scenes(
    out: str,
    scenes: tuple[str, ...],
    *,
    reason: str = "",
    compute: Compute | None = None,
    progress: Progress | None = None,
) -> ChangeResult:
    """Withdraw scenes and publish a version without them; only the tiles under them are composed.

    Parameters
    ----------
    out
        Folder of the store.
    scenes
        Scene keys or product names.
    reason
        Why.
    compute
        What computes the tiles; threads of this process without it.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        A scene is not in the store, or none would be left.
    StoreError
        Another build is going on, or the store cannot be read or written.
    """
    store = Store.open(out)
    keys = withdraw(store, scenes, reason=reason)
    if current_version(store) is None:
        return ChangeResult(keys, None)
    why = f"withdrawn: {reason}" if reason else "withdrawn"
    sets = partial(published_sets, store)
    config = MosaicConfig(compute=compute or Compute())
    return ChangeResult(keys, compose(store, sets, config, why, progress))


def readmit_scenes(
    out: str,
    scenes: tuple[str, ...],
    *,
    compute: Compute | None = None,
    progress: Progress | None = None,
) -> ChangeResult:
    """Take withdrawals back and publish a version with the scenes.

    Parameters
    ----------
    out
        Folder of the store.
    scenes
        Scene keys or product names.
    compute
        What computes the tiles; threads of this process without it.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        A scene was never withdrawn.
    StoreError
        Another build is going on, or the store cannot be read or written.
    """
    store = Store.open(out)
    products = readmit(store, scenes)
    keys = tuple(sorted({marker.scene_key for marker in products}))
    if current_version(store) is None:
        return ChangeResult(keys, None)
    sets = partial(readmitted_sets, store, products)
    config = MosaicConfig(compute=compute or Compute())
    return ChangeResult(keys, compose(store, sets, config, "readmitted", progress))


def roll_back(out: str, version: str | None = None) -> Version:
    """Publish an earlier version again, and let catalogue and quicklook follow.

    Parameters
    ----------
    out
        Folder of the store.
    version
        Id of the version; without, the one that was published before the present one.

    Raises
    ------
    UsageError
        There is no such version, or it holds a scene that is withdrawn.
    StoreError
        A build is going on, or the store cannot be written.
    """
    store = Store.open(out)
    with rolled_back(store, version) as target:
        publish_mosaic(store, target, draw_quicklook(target.layout))
    return target


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Parameters
    ----------
    tiles
        Tiles that were looked at.
    repaired
        By version those that were made again.
    failed
        By version and tile why it could not be made again.
    """

    tiles: int
    repaired: dict[str, list[str]]
    failed: dict[str, dict[str, str]]

    @property
    def exit_code(self) -> int:
        """Exit code: 0 all is as it was written, 3 some tiles are not."""
        return 3 if self.failed else 0


def repair_store(
    out: str, *, compute: Compute | None = None, progress: Progress | None = None
) -> Repaired:
    """Compare all shards of all kept versions with their checksums, and make damaged tiles again.

    Parameters
    ----------
    out
        Folder of the store.
    compute
        What reads and computes the tiles; threads of this process without it.
    progress
        Told about tiles.

    Raises
    ------
    StoreError
        A build is going on, or the store cannot be read.
    """
    store, shown = Store.open(out), progress or Silent()
    repaired: dict[str, list[str]] = {}
    failed: dict[str, dict[str, str]] = {}
    with begin_repair(store) as tasks, computing(compute or Compute()) as executor:
        shown.start("tiles", len(tasks))
        with submitted(executor, repair_tile, tasks) as tiles:
            for job, tile in zip(tasks, tiles, strict=True):
                try:
                    if tile.result():
                        repaired.setdefault(job.version, []).append(job.id)
                except StoreError as error:  # the other tiles may still be mended
                    failed.setdefault(job.version, {})[job.id] = str(error)
                shown.advance("tiles")
    return Repaired(len(tasks), repaired, failed)


def prune_store(out: str, *, keep: int, remove: bool) -> Prunable:
    """Find old versions and unfinished builds, and remove them when asked to.

    Parameters
    ----------
    out
        Folder of the store.
    keep
        Versions that stay.
    remove
        Whether to remove what was found.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        A build is going on, or the store cannot be written.
    """
    store = Store.open(out)
    if not remove:
        return find_prunable(store, keep=keep)
    pruned = prune(store, keep=keep)
    remove_old_mosaics(store)
    return pruned
