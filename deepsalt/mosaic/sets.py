"""Which products a version is made of.

One rule makes the order of events irrelevant: of the products that were given, those that
tombstones cover go, and of each acquisition the newest stays.
"""

from collections.abc import Iterable, Mapping, Sequence

from deepsalt.products import ProductMarker, complete_products, newest_versions
from deepsalt.store import Period, Store, Tombstone, current_version, tombstones
from deepsalt.store.tombstones import Place

PeriodSets = Mapping[Period, Sequence[str]]
"""Names of the products of each period."""


def chosen(
    markers: Iterable[ProductMarker], withdrawn: Mapping[Place, Tombstone]
) -> list[ProductMarker]:
    """Return the products that count: not withdrawn, the newest of each acquisition."""
    return newest_versions(marker for marker in markers if not is_withdrawn(marker, withdrawn))


def is_withdrawn(marker: ProductMarker, withdrawn: Mapping[Place, Tombstone]) -> bool:
    """Whether a tombstone covers a product."""
    found = withdrawn.get(marker.place)
    return found is not None and found.covers(marker.version)


def withdrawn_products(store: Store) -> set[str]:
    """Return the names of all complete products that do not count because of a tombstone."""
    withdrawn = tombstones(store)
    if not withdrawn:  # spares reading every marker
        return set()
    markers = complete_products(store.scenes)
    return {marker.name for marker in markers if is_withdrawn(marker, withdrawn)}


def united_sets(
    store: Store, period: Period, names: Iterable[str], *, replace: bool = False
) -> dict[Period, tuple[str, ...]]:
    """Return the sets of the published version with products added to one period.

    After a rollback that is the version rolled back to.

    Parameters
    ----------
    store
        The store.
    period
        The period of this run.
    names
        Its products.
    replace
        Start the set of this period anew; other periods stay.
    """
    sets = published_sets(store)
    before = () if replace else sets.get(period, ())
    sets[period] = tuple(sorted({*before, *names}))
    return sets


def readmitted_sets(
    store: Store, products: Sequence[ProductMarker]
) -> dict[Period, tuple[str, ...]]:
    """Return the sets of the published version with products added to the periods of their days."""
    sets = published_sets(store)
    back = _sorted_in(products, sets)
    return {period: tuple(sorted({*sets[period], *back[period]})) for period in sets}


def published_sets(store: Store) -> dict[Period, tuple[str, ...]]:
    """Return the sets of the published version; nothing before the first."""
    current = current_version(store)
    return dict(current.periods) if current else {}


def all_sets(store: Store) -> dict[Period, tuple[str, ...]]:
    """Return the sets that hold every complete product, for the periods the store has."""
    return _sorted_in(complete_products(store.scenes), published_sets(store) or [Period.all()])


def _sorted_in(
    markers: Sequence[ProductMarker], periods: Iterable[Period]
) -> dict[Period, tuple[str, ...]]:
    """Sort products into the periods that hold their days."""
    return {p: tuple(marker.name for marker in markers if p.holds(marker.day)) for p in periods}
