"""What goes: versions beyond the last so many, and scene products that nobody names any more."""

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
"""Age from which a scene product goes that neither a tile should be made of nor a version is."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What goes, or went.

    Parameters
    ----------
    versions
        Versions that go and those that stay.
    products
        Names of scene products that go.
    builds
        Builds that were taken for dead.
    freed_bytes
        What was deleted of the mosaic; None before it was.
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
        Published versions that stay, the newest among them.
    now
        The present, by default by this machine's clock.

    Raises
    ------
    UsageError
        Not even one version kept.
    StoreError
        The store cannot be read.
    """
    moment = now or datetime.now(UTC)
    versions = expiring(mosaic, keep=keep, now=moment)
    # Held ones and those that a roll-back left may be published yet.
    staying = [version for version, _ in states(mosaic) if version not in versions.gone]
    return Pruning(versions, _unneeded(store, mosaic, staying, moment - PRODUCTS_AFTER))


def _unneeded(
    store: Store, mosaic: Mosaic, staying: list[Version], before: datetime
) -> tuple[str, ...]:
    """Return the products that nobody has needed since a moment."""
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
    """Remove old versions of a mosaic and products that nobody needs.

    Parameters
    ----------
    store, mosaic
        The store.
    keep
        Published versions that stay, the newest among them.
    margin
        Age up to which nothing of the mosaic is deleted, at least a day.
    now
        The present, by default by this machine's clock.

    Raises
    ------
    UsageError
        Not even one version kept, or too short a margin.
    StoreError
        The store cannot be read or written.
    """
    found = to_prune(store, mosaic, keep=keep, now=now)
    done = prune_versions(mosaic, keep=keep, margin=margin, now=now)
    # That took a while: what became complete, or was taken in again, stays.
    still = {*to_prune(store, mosaic, keep=keep, now=now).products}
    products = tuple(name for name in found.products if name in still)
    for name in products:
        remove_product(store, name)
    return replace(found, products=products, builds=done.builds, freed_bytes=done.bytes)
