"""Changes that an operator makes to a store by hand: scenes, versions, retention."""

from dataclasses import dataclass
from datetime import timedelta

from deepsalt.mosaic import (
    Builder,
    Changed,
    Pruning,
    build_mosaic,
    prune,
    readmit,
    refuse_withdrawn,
    to_prune,
    withdraw,
)
from deepsalt.mosaic.repair import Repaired, repair_mosaic
from deepsalt.products import read_markers
from deepsalt.progress import Progress, Silent
from deepsalt.store import Period, Store
from deepsalt.validate import Limits
from deepsalt.versions import (
    MARGIN,
    Version,
    find_repository,
    open_repository,
    periods_of,
    publish,
    roll_back,
)
from flows.config import Compute, Export
from flows.engines.composing import composing
from flows.publication import (
    items_of,
    link_items,
    picture_key,
    publish_version,
    unlink_items,
    version_keys,
)
from flows.run.mosaic import MosaicResult, export_after_build, follow
from flows.run.mosaic import publish as publish_report


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
        The store.
    scenes
        Scene keys or product names.
    reason
        Why.
    compute
        What computes the tiles. Default: threads of this process.
    progress
        Receives progress on tiles.

    Raises
    ------
    UsageError
        A scene is not in the store.
    StoreError
        The store cannot be read or written.
    """
    store = Store.open(out)
    changed = withdraw(store, scenes, reason=reason)
    why = f"withdrawn: {reason}" if reason else "withdrawn"
    return _follow(store, changed, why, compute, progress)


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
        The store.
    scenes
        Scene keys or product names.
    compute
        What computes the tiles. Default: threads of this process.
    progress
        Receives progress on tiles.

    Raises
    ------
    UsageError
        A scene was never withdrawn.
    StoreError
        The store cannot be read or written.
    """
    store = Store.open(out)
    return _follow(store, readmit(store, scenes), "readmitted", compute, progress)


def _follow(
    store: Store, changed: Changed, why: str, compute: Compute | None, progress: Progress | None
) -> ChangeResult:
    """Build the tiles of scenes whose records changed, and let the catalogue follow."""
    if find_repository(store.objects) is None:
        return ChangeResult(changed.scenes, None)
    periods = [*periods_of(store.objects)] or [Period.all()]
    period_tiles = [(period, tile) for period in periods for tile in changed.tiles]
    shown = progress or Silent()
    with composing(compute or Compute(), store, Limits(), shown) as context:
        built = build_mosaic(store, context, period_tiles=period_tiles, why=why)
        result = export_after_build(store, publish_report(store, built), Export(), shown)
    link_items(store, (key for marker in changed.products for key in items_of(marker)))
    return ChangeResult(changed.scenes, result)


def return_to(out: str, version: str | None = None) -> Version:
    """Publish an earlier version again, and let catalogue and quicklook follow.

    Parameters
    ----------
    out
        The store.
    version
        Id of the version, or its first characters. Default: the previous one.

    Raises
    ------
    UsageError
        There is no such version, or it holds a scene that is withdrawn.
    StoreError
        Another version was published meanwhile, or the store cannot be written.
    """
    store = Store.open(out)
    mosaic = open_repository(store.objects)
    left = mosaic.head()
    found = roll_back(mosaic, version, check=lambda each: refuse_withdrawn(store, mosaic, each))
    link_items(store, version_keys(mosaic, [left] if left else []).values())
    publish_version(store, mosaic, found)
    follow(store, mosaic)
    return found


def publish_held(out: str, version: str) -> Version:
    """Publish a held version.

    Parameters
    ----------
    out
        The store.
    version
        Its id, or the first characters of it.

    Raises
    ------
    UsageError
        There is no such version.
    StoreError
        Another version was published meanwhile, or the store cannot be written.
    """
    store = Store.open(out)
    mosaic = open_repository(store.objects)
    found = publish(mosaic, version)
    publish_version(store, mosaic, found)
    follow(store, mosaic)
    return found


def repair_store(
    out: str, *, compute: Compute | None = None, progress: Progress | None = None
) -> Repaired:
    """Rebuild damaged parts of a store from its products, as far as they allow.

    Parameters
    ----------
    out
        The store.
    compute
        What reads and composes tiles. Default: threads of this process.
    progress
        Receives progress on tiles.

    Raises
    ------
    StoreError
        The store cannot be read or written.
    """
    store = Store.open(out)
    with composing(compute or Compute(), store, Limits(), progress or Silent()) as context:
        done = repair_mosaic(Builder(store, context.executor, progress=context.progress))
    if done.built is not None and done.built.versions:
        mosaic = open_repository(store.objects)
        publish_version(store, mosaic, done.built.versions[-1], done.built.tiles)
        follow(store, mosaic)
    return done


def prune_store(out: str, *, keep: int, remove: bool, margin: timedelta = MARGIN) -> Pruning:
    """Find old versions and unused products, and remove them on request.

    Parameters
    ----------
    out
        The store.
    keep
        Number of versions to keep.
    remove
        Whether to remove them.
    margin
        Minimum age of anything removed.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        The store cannot be read or written.
    """
    store = Store.open(out)
    mosaic = open_repository(store.objects)
    found = to_prune(store, mosaic, keep=keep)
    if not remove:
        return found
    keys = version_keys(mosaic, found.versions.gone)
    markers = read_markers(store, found.products)
    pruned = prune(store, mosaic, keep=keep, margin=margin)
    gone = [items_of(markers[name])[0] for name in pruned.products if name in markers]
    unlink_items(store, [*keys.values(), *gone])
    store.objects.delete([picture_key(name) for name in pruned.products])
    return pruned
