"""Builds: composes changed tiles anywhere and publishes them together."""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Self

from deepsalt.concurrency import submitted
from deepsalt.context import Context
from deepsalt.errors import StoreError, StoreMismatchError, StoreMissingError, UsageError
from deepsalt.layers import CHANCE, salinity_attrs
from deepsalt.mosaic.drift import Figures, unlike
from deepsalt.mosaic.tile import Composer
from deepsalt.mosaic.wanted import Wanted, newest_day
from deepsalt.plot.overview import cell_px
from deepsalt.products import indexed
from deepsalt.progress import Progress, Silent
from deepsalt.store import Period, Store
from deepsalt.validate import Finding, Limits, check_age, effective
from deepsalt.versions import (
    Build,
    BuildRecord,
    Built,
    Done,
    Mosaic,
    PeriodTile,
    Version,
    building,
    create_mosaic,
    filled_periods,
    open_repository,
    periods_of,
)

_COMPARED = 20
"""Versions that a new one is compared with."""
_FIGURES = "figures"  # fact of a version


@dataclass
class Builder:
    """Updates tiles of a store's mosaic, and publishes them.

    Use it as a context manager to compose tiles `ahead`: their data are protected from a prune
    until the block ends.

    Parameters
    ----------
    store
        The store.
    executor
        What composes tiles, a call per tile.
    limits
        Limits beyond which a mosaic fails and is not published, or is held.
    progress
        Receives progress on tiles.
    """

    store: Store
    executor: Executor
    limits: Limits = field(default_factory=Limits)
    progress: Progress = field(default_factory=Silent)
    _ready: list[Done] = field(default_factory=list, init=False)
    _wanted: Wanted = field(init=False)
    _compose: Composer | None = field(default=None, init=False)
    _alive: BuildRecord | None = field(default=None, init=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False)

    def __post_init__(self) -> None:
        """Start with no products looked up."""
        self._wanted = Wanted(self.store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def ahead(
        self, period_tiles: Iterable[PeriodTile], *, known: Collection[str], tiles: int
    ) -> int:
        """Compose tiles that will not change any more, for a later call to publish.

        Parameters
        ----------
        period_tiles
            The tiles, by period.
        known
            Products over them that were just completed.
        tiles
            Total number of tiles.

        Returns
        -------
        int
            Number of tiles composed.

        Raises
        ------
        StoreMismatchError
            Periods overlap, or a product belongs to another model.
        StoreError
            A product is damaged, or the store cannot be written.
        """
        asked = self._asked(period_tiles)
        self._wanted.read(known)
        if not any(self._wanted(asked).values()):
            return 0  # the rest is left to the call that publishes
        build = self._build(asked, tiles, why="")
        if self._alive is None:
            self._alive = self._open.enter_context(building(self.store.objects))
        done = build.ahead(asked)
        self._ready += done
        return len(done)

    def __call__(
        self,
        period_tiles: Iterable[PeriodTile],
        *,
        why: str,
        hold: bool = False,
        again: Collection[PeriodTile] = (),
        known: Collection[str] = (),
    ) -> Built:
        """Compose outdated tiles, check them, and publish them.

        Parameters
        ----------
        period_tiles
            Tiles that may have changed, by period.
        why
            Reason for the version, shown in the history.
        hold
            Whether to hold the version.
        again
            Tiles among them to compose even if they are up to date.
        known
            Products that were just completed, which a listing may not show yet.

        Raises
        ------
        UsageError
            There is nothing to make a mosaic from.
        StoreMismatchError
            Periods overlap, or a product belongs to another model.
        StoreError
            A product is damaged, a check finds an error, or the store cannot be written.
        """
        asked = self._asked(period_tiles)
        self._wanted.read(known)
        build = self._build(asked, len(asked), why=why)
        return build(asked, hold=hold, again=again, ready=self._ready)

    def _asked(self, period_tiles: Iterable[PeriodTile]) -> list[PeriodTile]:
        asked = sorted(set(period_tiles))
        for period in {period for period, _ in asked}:
            if period.layout != self.store.period_layout:
                raise StoreMismatchError(
                    f"store {self.store} has {self.store.period_layout!r} periods, but this run "
                    f"has {period.id}; give another --out"
                )
        return asked

    def _build(self, asked: Sequence[PeriodTile], tiles: int, *, why: str) -> Build:
        store = self.store
        wanted = self._wanted
        mosaic = mosaic_of(store, wanted, asked)
        head = mosaic.head()
        if self._compose is None:
            tiles += head.totals.pixels // store.grid.tile_px**2 if head else 0
            cell = cell_px(store.grid, tiles)
            limits = effective(self.limits, store)
            self._compose = Composer(store, limits, cell, secrets.token_hex(8))
        return Build(
            mosaic,
            wanted,
            self._compose,
            run=self._run,
            judge=lambda done: self._judge(done, mosaic, wanted),
            days=wanted.days,
            simulated=wanted.is_simulated,
            why=why,
            facts=lambda parent, done: _facts(parent, done, wanted, store.grid.tile_px**2),
        )

    def _run(self, work: Callable[[Any], Done], items: Sequence[Any]) -> Iterable[Done]:
        if items:
            self.progress.start("tiles", len(items))
        with submitted(self.executor, work, items) as calls:
            for call in as_completed(calls):
                yield call.result()
                self.progress.advance("tiles")

    def _judge(self, done: Sequence[Done], mosaic: Mosaic, wanted: Wanted) -> str:
        """Refuse to publish tiles in which a check found an error, or that a prune may delete.

        Returns why a person should look at them first; empty if none needs to.
        """
        if self._alive is not None:
            self._alive.check()
        last = list(islice(mosaic.history(), _COMPARED))
        aged = check_age(_newest(last[0] if last else None, wanted), self.limits.max_age_days)
        errors: list[Finding] = [each for each in aged if each.severity == "error"]
        errors += [error for each in done for error in each.note.errors]
        if errors:
            first = errors[0]
            more = len(errors) - 1
            rest = f" ({more} more)" if more else ""
            raise StoreError(f"nothing is published: {first.where}: {first.message}{rest}")
        before = [Figures.from_dict(v.facts[_FIGURES]) for v in last if _FIGURES in v.facts]
        return unlike(_figures(done, self.store.grid.tile_px**2), before, self.limits)


@dataclass(frozen=True, slots=True)
class MosaicReport:
    """Outcome of a build.

    Parameters
    ----------
    version
        Id of the version that readers see, or of the held one.
    held
        Whether it is held.
    tiles, composed
        Tiles of the mosaic, and those that had to be composed.
    added, removed
        Scene products that tiles gained and lost.
    pixels, estimated
        Cells of the mosaic's tiles, and those with an estimate.
    by_flag
        Cells per `QualityFlag` bit, lower case.
    why_held
        Why it is held, unless it was asked for.
    built
        The versions that were committed, and the tiles in them.

    Examples
    --------
    >>> import deepsalt
    >>> with deepsalt.Context.local() as context:
    ...     report = deepsalt.build_mosaic(deepsalt.Store.open("store"), context)
    >>> 0 < report.estimated < report.pixels
    True
    """

    version: Version
    held: bool
    tiles: int
    composed: int
    added: int
    removed: int
    pixels: int
    estimated: int
    by_flag: dict[str, int]
    why_held: str
    built: Built = field(repr=False)


def build_mosaic(
    store: Store,
    context: Context,
    *,
    period_tiles: Iterable[PeriodTile] | None = None,
    why: str = "mosaic build",
    hold: bool = False,
    known: Collection[str] = (),
    builder: Builder | None = None,
) -> MosaicReport:
    """Composite the complete scene products of a store and publish the mosaic.

    A tile depends only on the products over it, so only changed tiles are composed, and nothing is
    counted twice, however often it is built.

    Parameters
    ----------
    store
        The store.
    context
        What composes tiles, the limits beyond which one fails or a version is held, and the
        progress.
    period_tiles
        Tiles that may have changed, by period. Default: all that have or should have data.
    why
        Reason for the version, shown in the history.
    hold
        Whether to hold the version until `deepsalt.versions.publish`.
    known
        Products that were just completed, which a listing may not show yet.
    builder
        One that has composed tiles ahead. Default: a new one.

    Raises
    ------
    UsageError
        There is nothing to make a mosaic from.
    StoreMismatchError
        Periods overlap, or a product belongs to another model.
    StoreError
        The store cannot be read or written, or a check of the tiles fails.

    Examples
    --------
    >>> import deepsalt
    >>> store = deepsalt.Store.open("store")
    >>> with deepsalt.Context.local() as context:
    ...     report = deepsalt.build_mosaic(store, context)
    >>> report.held
    False
    """
    builder = builder or Builder(store, context.executor, context.limits, context.progress)
    asked = all_period_tiles(store) if period_tiles is None else period_tiles
    built = builder(asked, why=why, hold=hold, known=known)
    version = built.versions[-1] if built.versions else open_repository(store.objects).head()
    if version is None:
        raise UsageError(f"store {store} has no scene products in the period; map scenes first")
    totals = version.totals
    return MosaicReport(
        version=version,
        held=built.held and bool(built.versions),
        tiles=totals.pixels // store.grid.tile_px**2,
        composed=built.composed,
        added=sum(each.added_count for each in built.versions),
        removed=sum(each.removed_count for each in built.versions),
        pixels=totals.pixels,
        estimated=totals.estimated,
        by_flag=dict(totals.by_flag),
        why_held=built.why_held,
        built=built,
    )


def mosaic_of(store: Store, wanted: Wanted, period_tiles: Sequence[PeriodTile]) -> Mosaic:
    """Open the mosaic of a store; create it for the wanted products if there is none.

    Raises
    ------
    UsageError
        There is no mosaic and no product is wanted.
    StoreError
        The store cannot be read or written.
    """
    try:
        return open_repository(store.objects)
    except StoreMissingError:
        names = [name for found in wanted(period_tiles).values() for name in found]
    if not names:
        raise UsageError(
            f"store {store} has no scene products, or only withdrawn ones; map scenes first"
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
        layer_attrs={
            name: {**first.label, **(first.chances if name == CHANCE else {})}
            for name in salinity_attrs()
        },
    )


def period_tiles_of(store: Store, names: Collection[str], period: Period) -> list[PeriodTile]:
    """Return the tiles that products change, in one period; incomplete products change none.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    wanted = Wanted(store)
    markers = wanted.read(names)
    return sorted({(period, tile) for marker in markers for tile in marker.over})


def all_period_tiles(store: Store, period: Period | None = None) -> list[PeriodTile]:
    """Return all tiles that have or should have data.

    Parameters
    ----------
    store
        The store.
    period
        The only period to consider. Default: all periods of the store.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    known = periods_of(store.objects)
    periods = [period] if period is not None else [*known] or [Period.all()]
    wanted = Wanted(store)
    over = indexed(store)
    wanted.read({name for names in over.values() for name in names})
    period_tiles = {
        (each, tile)
        for tile, names in over.items()
        for each in periods
        if any(each.holds(wanted.markers[n].day) for n in names if n in wanted.markers)
    }
    slots = {slot: each for each, slot in known.items() if each in periods}
    for filled in _filled(store):
        if filled.slot in slots:
            period_tiles |= {(slots[filled.slot], tile) for tile in filled.tiles}
    return sorted(period_tiles)


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


def _facts(
    parent: Version | None, done: Sequence[Done], wanted: Wanted, tile_cells: int
) -> Mapping[str, Any]:
    """Return further facts of a version: its sensors, its newest scene, how far it moved."""
    markers = [wanted.markers[name] for each in done for name in each.job.products]
    sensors = {*(parent.facts["sensors"] if parent else ()), *(m.sensor for m in markers)}
    newest = _newest(parent, wanted)
    return {
        "sensors": sorted(sensors),
        "newest": newest and newest.isoformat(),
        _FIGURES: _figures(done, tile_cells).to_dict(),
    }


def _figures(done: Sequence[Done], tile_cells: int) -> Figures:
    scenes = {name for each in done for name in each.job.products}
    tiles = [(each.note.report, each.note.drift) for each in done]
    return Figures.of(tiles, tile_cells, len(scenes))
