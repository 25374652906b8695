"""What each tile should be made of, from the records of a store alone.

One rule makes the order of events irrelevant: of the complete products over a tile whose day is in
the period, those that tombstones cover go, and of each acquisition the newest stays.
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

_FEW = 1000
"""Tiles whose index is asked for one by one; of more the whole index is listed."""


@dataclass(frozen=True)
class Wanted:
    """What tiles should be made of, as `deepsalt.versions.Build` asks for it.

    Parameters
    ----------
    store
        The store.
    markers
        What was read of products already; they never change.
    used
        Names of the products that tiles should be made of, as far as was asked.
    """

    store: Store
    markers: dict[str, ProductMarker] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __call__(self, period_tiles: Sequence[PeriodTile]) -> dict[PeriodTile, list[str]]:
        """Return the names of the products that tiles should be made of now, sorted.

        Raises
        ------
        StoreMismatchError
            A product is of another model.
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
                # The newest version need not lie where an older one did.
                if period.holds(marker.day) and tile.id in marker.own
            ]
            for period, tile in period_tiles
        }
        self.used.update(name for names in found.values() for name in names)
        return found

    def _over(self, tiles: Collection[Tile]) -> dict[Tile, list[str]]:
        """Return the complete products over tiles."""
        if len(tiles) > _FEW:
            found = indexed(self.store)
            over = {tile: found.get(tile, []) for tile in tiles}
        else:
            over = products_over(self.store, tiles)
        # What was read already counts also where a listing of the index lags behind.
        for name, marker in self.markers.items():
            for tile in marker.over:
                if tile in over and name not in over[tile]:
                    over[tile].append(name)
        names = {name for each in over.values() for name in each}
        before = names & self.markers.keys()
        self.read(names)
        # But it may have been found damaged since; then it counts no more.
        missed = before - complete_names(self.store, before) if before else set()
        gone = missed - read_markers(self.store, missed).keys() if missed else set()
        present = self.markers.keys() - gone
        return {tile: [name for name in each if name in present] for tile, each in over.items()}

    def read(self, names: Collection[str]) -> list[ProductMarker]:
        """Return the markers of complete products, each read once.

        Raises
        ------
        StoreMismatchError
            A product is of another model, or of another kind of salinity than the others.
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
                    f"products {first.name} and {marker.name} are of {_said(first)} and "
                    f"{_said(marker)}; different quantities cannot share a mosaic"
                )
            if marker.model_digest != self.store.model:
                raise StoreMismatchError(
                    f"product {marker.name} is of model {marker.model_digest[:12]}, the store of "
                    f"{self.store.model[:12]}; give another --out"
                )
        return found

    def days(self, period: Period) -> Days | None:
        """Return first and last day of the products that are used and lie in a period."""
        days = [day for name in self.used if period.holds(day := self.markers[name].day)]
        known = [day for day in days if day is not None]
        return (min(known), max(known)) if known else None

    def is_simulated(self, name: str) -> bool:
        """Return whether a product that was looked at was simulated."""
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
    """Return the day of the newest product with an estimate; None when no such day is known."""
    days = [marker.day for marker in markers if marker.report.estimated and marker.day]
    return max(days, default=None)
