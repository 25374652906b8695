"""Which products each tile needs, from the records of a store alone.

One rule makes the order of events irrelevant: of the complete products over a tile in the period,
those covered by tombstones are dropped, and the newest of each acquisition is kept.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from deepsalt.errors import StoreMismatchError
from deepsalt.grid import Tile
from deepsalt.products import (
    ProductMarker,
    complete_names,
    indexed,
    newest_versions,
    products_over,
    read_markers,
)
from deepsalt.store import Period, Store, Tombstone, tombstones
from deepsalt.store.tombstones import AcquisitionKey
from deepsalt.versions import Days, PeriodTile

FEW_TILES = 1000
"""Maximum tiles whose index is read one by one; for more the whole index is listed."""


@dataclass(frozen=True)
class Wanted:
    """Which products tiles need, in the form that `deepsalt.versions.Build` expects.

    Parameters
    ----------
    store
        The store.
    markers
        Markers already read; they never change.
    used
        Names of the products that tiles need, as far as requested.
    """

    store: Store
    markers: dict[str, ProductMarker] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __call__(self, period_tiles: Sequence[PeriodTile]) -> dict[PeriodTile, list[str]]:
        """Return the names of the products that tiles need now, sorted.

        Raises
        ------
        StoreMismatchError
            A product belongs to another model.
        StoreError
            The store cannot be read.
        """
        over = self._over({tile for _, tile in period_tiles})
        acquisitions = {
            self.markers[name].acquisition_key for names in over.values() for name in names
        }
        withdrawn = tombstones(self.store, acquisitions)
        found = {
            (period, tile): [
                marker.name
                for marker in chosen((self.markers[name] for name in over[tile]), withdrawn)
                # The newest version may lie elsewhere than an older one.
                if period.holds(marker.day) and tile.id in marker.own
            ]
            for period, tile in period_tiles
        }
        self.used.update(name for names in found.values() for name in names)
        return found

    def _over(self, tiles: Collection[Tile]) -> dict[Tile, list[str]]:
        """Return the complete products over tiles."""
        if len(tiles) > FEW_TILES:
            found = indexed(self.store)
            over = {tile: found.get(tile, []) for tile in tiles}
        else:
            over = products_over(self.store, tiles)
        # Markers already read count even if a listing of the index lags behind.
        for name, marker in self.markers.items():
            for tile in marker.over:
                if tile in over and name not in over[tile]:
                    over[tile].append(name)
        names = {name for each in over.values() for name in each}
        before = names & self.markers.keys()
        self.read(names)
        # But a product may have been found damaged since; then it no longer counts.
        missed = before - complete_names(self.store, before) if before else set()
        gone = missed - read_markers(self.store, missed).keys() if missed else set()
        present = self.markers.keys() - gone
        return {tile: [name for name in each if name in present] for tile, each in over.items()}

    def read(self, names: Collection[str]) -> list[ProductMarker]:
        """Return the markers of complete products, each read once.

        Raises
        ------
        StoreMismatchError
            A product belongs to another model, or measures another kind of salinity than the
            others.
        StoreError
            The store cannot be read.
        """
        if unread := set(names) - self.markers.keys():
            self.markers.update(read_markers(self.store, unread))
        found = [self.markers[name] for name in names if name in self.markers]
        first = next(iter(self.markers.values()), None)
        for marker in found:
            if first is not None and marker.label != first.label:
                raise StoreMismatchError(
                    f"products {first.name} and {marker.name} measure {_said(first)} and "
                    f"{_said(marker)}; different quantities cannot share a mosaic"
                )
            if marker.model_digest != self.store.model:
                raise StoreMismatchError(
                    f"product {marker.name} belongs to model {marker.model_digest[:12]}, but the "
                    f"store to {self.store.model[:12]}; give another --out"
                )
        return found

    def days(self, period: Period) -> Days | None:
        """Return first and last day of the used products in a period."""
        days = [day for name in self.used if period.holds(day := self.markers[name].day)]
        known = [day for day in days if day is not None]
        return (min(known), max(known)) if known else None

    def is_simulated(self, name: str) -> bool:
        """Return whether a known product was simulated."""
        return self.markers[name].simulated


def _said(marker: ProductMarker) -> str:
    return ", ".join(f"{name} {value}" for name, value in marker.label.items()) or "no named kind"


def chosen(
    markers: Iterable[ProductMarker], withdrawn: Mapping[AcquisitionKey, Tombstone]
) -> list[ProductMarker]:
    """Return the products that count: not withdrawn, the newest of each acquisition."""
    return newest_versions(marker for marker in markers if not is_withdrawn(marker, withdrawn))


def is_withdrawn(marker: ProductMarker, withdrawn: Mapping[AcquisitionKey, Tombstone]) -> bool:
    """Whether a tombstone covers a product."""
    found = withdrawn.get(marker.acquisition_key)
    return found is not None and found.covers(marker.version)


def newest_day(markers: Iterable[ProductMarker]) -> date | None:
    """Return the day of the newest product with an estimate; None if unknown."""
    days = [marker.day for marker in markers if marker.report.estimated and marker.day]
    return max(days, default=None)
