"""Builds: the tiles that scenes changed are composed anywhere and published together."""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from deepsalt.errors import StoreError, StoreMismatchError, StoreMissingError, UsageError
from deepsalt.mosaic.tile import Composer
from deepsalt.mosaic.wanted import Wanted, newest_day
from deepsalt.plot.overview import cell_px
from deepsalt.products import indexed
from deepsalt.store import Period, Store
from deepsalt.together import submitted
from deepsalt.validate import Finding, Limits, Listener, Nobody, check_age, effective
from deepsalt.versions import (
    Build,
    Built,
    Done,
    Mosaic,
    Place,
    Version,
    create_mosaic,
    filled_periods,
    open_repository,
    periods_of,
)

_SALINITY_LAYERS = ("salinity", "salinity_lower", "salinity_upper")


@dataclass(frozen=True)
class Builder:
    """Brings tiles of a store's mosaic to what they should be, and publishes them.

    Parameters
    ----------
    store
        The store.
    executor
        What composes tiles, a call per tile.
    limits
        From where on what was composed is wrong, so that nothing is published.
    listener
        Told about tiles.
    """

    store: Store
    executor: Executor
    limits: Limits = field(default_factory=Limits)
    listener: Listener = field(default_factory=Nobody)

    def __call__(
        self,
        places: Iterable[Place],
        *,
        why: str,
        hold: bool = False,
        again: Collection[Place] = (),
        known: Collection[str] = (),
    ) -> Built:
        """Compose the tiles that are not as they should be, check them, and publish them.

        Parameters
        ----------
        places
            Tiles that may have changed, by period.
        why
            What the history says about the version.
        hold
            Whether the version waits for a person.
        again
            Those among the tiles that are composed also if they are as they should be.
        known
            Products that just became complete, which a listing may not show yet.

        Raises
        ------
        UsageError
            There is nothing to make a mosaic of.
        StoreMismatchError
            Periods overlap, or a product is of another model.
        StoreError
            A product is damaged, a check finds an error, or the store cannot be written.
        """
        store, asked = self.store, sorted(set(places))
        for period in {period for period, _ in asked}:
            if period.layout != store.period_layout:
                raise StoreMismatchError(
                    f"store {store} holds {store.period_layout!r} periods, this run has "
                    f"{period.id}; give another --out"
                )
        wanted = Wanted(store)
        wanted.read(known)
        mosaic = mosaic_of(store, wanted, asked)
        head = mosaic.head()
        tiles = (head.totals.pixels // store.grid.tile_px**2 if head else 0) + len(asked)
        composer = Composer(
            store, effective(self.limits, store), cell_px(store.grid, tiles), secrets.token_hex(8)
        )
        build = Build(
            mosaic,
            wanted,
            composer,
            run=self._run,
            judge=lambda done: self._judge(done, head, wanted),
            days=wanted.days,
            simulated=wanted.is_simulated,
            why=why,
            facts=lambda parent, done: _facts(parent, done, wanted),
        )
        return build(asked, hold=hold, again=again)

    def _run(self, work: Callable[[Any], Done], items: Sequence[Any]) -> Iterable[Done]:
        self.listener.start("tiles", len(items))
        with submitted(self.executor, work, items) as calls:
            for call in as_completed(calls):
                yield call.result()
                self.listener.advance("tiles")

    def _judge(self, done: Sequence[Done], head: Version | None, wanted: Wanted) -> None:
        """Refuse to publish tiles in which a check found an error."""
        aged = check_age(_newest(head, wanted), self.limits.max_age_days)
        errors: list[Finding] = [each for each in aged if each.severity == "error"]
        errors += [error for each in done for error in each.note.errors]
        if errors:
            first, more = errors[0], len(errors) - 1
            rest = f" ({more} more)" if more else ""
            raise StoreError(f"nothing is published: {first.where}: {first.message}{rest}")


def mosaic_of(store: Store, wanted: Wanted, places: Sequence[Place]) -> Mosaic:
    """Open the mosaic of a store; make it of what is wanted where there is none.

    Raises
    ------
    UsageError
        There is none and nothing is wanted.
    StoreError
        The store cannot be read or written.
    """
    try:
        return open_repository(store.objects)
    except StoreMissingError:
        names = [name for found in wanted(places).values() for name in found]
    if not names:
        raise UsageError(
            f"there are no scene products to mosaic in {store} that are not withdrawn; run scenes"
        )
    first = wanted.markers[names[0]]
    return create_mosaic(
        store.objects,
        store.frame,
        attrs={
            "title": "Surface soil salinity",
            "model_family": first.model_family,
            "model_digests": [first.model_digest],
        },
        layer_attrs=dict.fromkeys(_SALINITY_LAYERS, first.label),
    )


def places_of(store: Store, names: Collection[str], period: Period) -> list[Place]:
    """Return the tiles that products change, in one period; those of incomplete products are none.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    wanted = Wanted(store)
    markers = wanted.read(names)
    return sorted({(period, tile) for marker in markers for tile in marker.over})


def all_places(store: Store, period: Period | None = None) -> list[Place]:
    """Return all tiles that have data or should have some.

    Parameters
    ----------
    store
        The store.
    period
        Of this period alone; without, of all periods that the store has.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    known = periods_of(store.objects)
    periods = [period] if period is not None else [*known] or [Period.all()]
    wanted, over = Wanted(store), indexed(store)
    wanted.read({name for names in over.values() for name in names})
    places = {
        (each, tile)
        for tile, names in over.items()
        for each in periods
        if any(each.holds(wanted.markers[n].day) for n in names if n in wanted.markers)
    }
    slots = {slot: each for each, slot in known.items() if each in periods}
    for filled in _filled(store):
        if filled.slot in slots:
            places |= {(slots[filled.slot], tile) for tile in filled.tiles}
    return sorted(places)


def _filled(store: Store) -> Sequence[Any]:
    try:
        mosaic = open_repository(store.objects)
    except StoreMissingError:
        return []
    head = mosaic.head()
    return filled_periods(mosaic, head) if head else []


def _newest(head: Version | None, wanted: Wanted) -> date | None:
    """Return the day of the newest scene with an estimate, in a version or among new products."""
    before = head.facts.get("newest") if head else None
    days = [newest_day(wanted.markers.values()), date.fromisoformat(before) if before else None]
    return max((day for day in days if day is not None), default=None)


def _facts(parent: Version | None, done: Sequence[Done], wanted: Wanted) -> Mapping[str, Any]:
    """Return what a version says besides: sensors that had a part in it, and its newest scene."""
    markers = [wanted.markers[name] for each in done for name in each.job.products]
    sensors = {*(parent.facts["sensors"] if parent else ()), *(m.sensor for m in markers)}
    newest = _newest(parent, wanted)
    return {"sensors": sorted(sensors), "newest": newest and newest.isoformat()}
