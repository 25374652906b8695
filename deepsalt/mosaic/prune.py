"""What a prune removes: versions beyond the last few, and unused scene products."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from deepsalt.mosaic.wanted import chosen
from deepsalt.products import (
    ProductMarker,
    complete_names,
    read_markers,
    remove_product,
    unfinished,
)
from deepsalt.store import Store, tombstones
from deepsalt.versions import MARGIN, Expiring, Mosaic, Version, expiring, products_of, states
from deepsalt.versions import prune as prune_versions

PRODUCTS_AFTER = timedelta(days=30)
"""Minimum age for removal of a scene product that no tile needs and no version uses."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a prune removes, or removed.

    Parameters
    ----------
    versions
        Versions to remove and versions to keep.
    products
        Names of scene products to remove.
    builds
        Builds that were considered dead.
    freed_bytes
        Size of what was deleted from the mosaic; None before deletion.
    """

    versions: Expiring
    products: tuple[str, ...]
    builds: tuple[str, ...] = ()
    freed_bytes: int | None = None


def to_prune(store: Store, mosaic: Mosaic, *, keep: int, now: datetime | None = None) -> Pruning:
    """Find what a prune would remove.

    Parameters
    ----------
    store, mosaic
        The store.
    keep
        Number of published versions to keep, the newest included.
    now
        The present time. Default: this machine's clock.

    Raises
    ------
    UsageError
        `keep` is below one.
    StoreError
        The store cannot be read.
    """
    moment = now or datetime.now(UTC)
    versions = expiring(mosaic, keep=keep, now=moment)
    # Held versions, and those that a roll-back replaced, may still be published.
    staying = [version for version, _ in states(mosaic) if version not in versions.gone]
    return Pruning(versions, _unneeded(store, mosaic, staying, moment - PRODUCTS_AFTER))


def _unneeded(
    store: Store, mosaic: Mosaic, staying: list[Version], before: datetime
) -> tuple[str, ...]:
    """Return the products unused since a moment."""
    markers = read_markers(store, complete_names(store))
    withdrawn = tombstones(store)
    chosen_ones = {marker.acquisition_key: marker for marker in chosen(markers.values(), withdrawn)}
    named = {marker.name for marker in chosen_ones.values()}
    for version in staying:
        named |= {name for _, _, names in products_of(mosaic, version) for name in names}

    def is_old(marker: ProductMarker) -> bool:
        newer = chosen_ones.get(marker.acquisition_key)
        record = withdrawn.get(marker.acquisition_key)
        since = [marker.created]
        since += [newer.created] if newer else []
        since += [record.lifted or record.withdrawn] if record else []
        return max(since) < before

    old = {name for name, marker in markers.items() if name not in named and is_old(marker)}
    return tuple(sorted(old | set(unfinished(store, before))))


def prune(
    store: Store,
    mosaic: Mosaic,
    *,
    keep: int,
    margin: timedelta = MARGIN,
    now: datetime | None = None,
) -> Pruning:
    """Remove old versions of a mosaic and unused products.

    Parameters
    ----------
    store, mosaic
        The store.
    keep
        Number of published versions to keep, the newest included.
    margin
        Minimum age of deleted data of the mosaic, at least a day.
    now
        The present time. Default: this machine's clock.

    Raises
    ------
    UsageError
        `keep` is below one, or the margin is too short.
    StoreError
        The store cannot be read or written.
    """
    found = to_prune(store, mosaic, keep=keep, now=now)
    done = prune_versions(mosaic, keep=keep, margin=margin, now=now)
    # That took a while: products completed or readmitted meanwhile stay.
    still = {*to_prune(store, mosaic, keep=keep, now=now).products}
    products = tuple(name for name in found.products if name in still)
    for name in products:
        remove_product(store, name)
    return replace(found, products=products, builds=done.builds, freed_bytes=done.bytes)
