"""Opening the store of a run, and refusing one that is of another kind."""

import re
from calendar import monthrange
from datetime import UTC, datetime

from deepsalt.errors import StoreMismatchError, StoreMissingError
from deepsalt.grid import MosaicGrid
from deepsalt.grid.tiles import DEFAULT_CRS, DEFAULT_RESOLUTION_M
from deepsalt.store import Period, Store
from deepsalt.types import ModelRef
from flows.config import Grid


def period_of(dates: str | None) -> Period:
    """Return the period that a run's dates stand for.

    A range with both ends is a period of its own; a run without dates, or with an open range,
    belongs to the one period over all dates.

    Raises
    ------
    UsageError
        Not a date or range.
    """
    if dates is None or ".." in dates or dates.startswith("/") or dates.endswith("/"):
        return Period.all()
    ends = dates.split("/")
    return Period.from_id(f"{_first_day(ends[0])}/{_last_day(ends[-1])}")


def _first_day(moment: str) -> str:
    """Return the first day of a year, month, day or moment; other text as it is."""
    return _utc(moment + {4: "-01-01", 7: "-01"}.get(len(moment), ""))


def _last_day(moment: str) -> str:
    """Return the last day of a year, month, day or moment; other text as it is."""
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", moment):
        return f"{moment}-{monthrange(int(moment[:4]), int(moment[5:]))[1]}"
    return f"{moment}-12-31" if len(moment) == 4 else _utc(moment)


def _utc(moment: str) -> str:
    """Return the UTC day of a moment; text that is none as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return (parsed.astimezone(UTC) if parsed.tzinfo else parsed).date().isoformat()


def find_store(out: str) -> Store | None:
    """Return the store at a place; None where there is none.

    Raises
    ------
    StoreError
        The place cannot be read, or the store is damaged.
    """
    try:
        return Store.open(out)
    except StoreMissingError:
        return None


def mosaic_grid_of(grid: Grid, store: Store | None) -> MosaicGrid:
    """Return the grid of the store, or the one asked for when there is no store yet.

    Raises
    ------
    GridError
        A CRS or cell size that cannot be.
    StoreMismatchError
        The store has another grid than the one asked for.
    """
    if store is not None:
        refuse_other_grid(store, grid)
        return store.grid
    return MosaicGrid.from_options(
        grid.crs or DEFAULT_CRS, grid.resolution_m or DEFAULT_RESOLUTION_M
    )


def refuse_other_grid(store: Store, grid: Grid) -> None:
    """Refuse a store whose grid is not the one asked for; what is not asked for does not matter.

    Raises
    ------
    StoreMismatchError
        Another CRS or cell size.
    """
    asked = MosaicGrid.from_options(
        grid.crs or store.grid.crs, grid.resolution_m or store.grid.resolution_m
    )
    if (asked.crs, asked.resolution_m) != (store.grid.crs, store.grid.resolution_m):
        raise StoreMismatchError(
            f"store {store} has a grid of {store.grid.crs} at {store.grid.resolution_m:g} m, "
            f"this run asks for {asked.crs} at {asked.resolution_m:g} m; give another --out"
        )


def open_store(
    out: str, ref: ModelRef, grid: Grid, found: Store | None, *, period_layout: str | None = None
) -> Store:
    """Return the store of a run, which `find_store` found; make it when it does not exist.

    Raises
    ------
    StoreMismatchError
        The store exists with another grid, model or period layout.
    StoreError
        The place cannot be written.
    """
    wanted = mosaic_grid_of(grid, found)
    if found is None:
        return Store.create(
            out, grid=wanted, model=ref.digest, period_layout=period_layout or "all"
        )
    found.refuse_other(wanted, ref.digest, period_layout or found.period_layout)
    return found
