"""Opening the store of a run, and refusing one of another kind."""

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
    """Return the period of a run's dates.

    A range with both ends is its own period; a run without dates, or with an open range, belongs to
    the one period over all dates.

    Raises
    ------
    UsageError
        The text is not a date or range.
    """
    if dates is None or ".." in dates or dates.startswith("/") or dates.endswith("/"):
        return Period.all()
    ends = dates.split("/")
    return Period.from_id(f"{_first_day(ends[0])}/{_last_day(ends[-1])}")


def _first_day(moment: str) -> str:
    """Return the first day of a year, month, day or moment; other text unchanged."""
    return _utc(moment + {4: "-01-01", 7: "-01"}.get(len(moment), ""))


def _last_day(moment: str) -> str:
    """Return the last day of a year, month, day or moment; other text unchanged."""
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", moment):
        return f"{moment}-{monthrange(int(moment[:4]), int(moment[5:]))[1]}"
    return f"{moment}-12-31" if len(moment) == 4 else _utc(moment)


def _utc(moment: str) -> str:
    """Return the UTC day of a moment; other text unchanged."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return (parsed.astimezone(UTC) if parsed.tzinfo else parsed).date().isoformat()


def find_store(out: str) -> Store | None:
    """Return the store at a location; None if there is none.

    Raises
    ------
    StoreError
        The location cannot be read, or the store is damaged.
    """
    try:
        return Store.open(out)
    except StoreMissingError:
        return None


def mosaic_grid_of(grid: Grid, store: Store | None) -> MosaicGrid:
    """Return the grid of the store, or the requested one if there is no store yet.

    Raises
    ------
    GridError
        The CRS or cell size is invalid.
    StoreMismatchError
        The store has another grid than requested.
    """
    if store is not None:
        refuse_other_grid(store, grid)
        return store.grid
    return MosaicGrid.from_options(
        grid.crs or DEFAULT_CRS, grid.resolution_m or DEFAULT_RESOLUTION_M
    )


def refuse_other_grid(store: Store, grid: Grid) -> None:
    """Refuse a store whose grid differs from the requested one; what is not requested may differ.

    Raises
    ------
    StoreMismatchError
        The CRS or cell size differs.
    """
    asked = MosaicGrid.from_options(
        grid.crs or store.grid.crs, grid.resolution_m or store.grid.resolution_m
    )
    if (asked.crs, asked.resolution_m) != (store.grid.crs, store.grid.resolution_m):
        raise StoreMismatchError(
            f"store {store} has a grid of {store.grid.crs} at {store.grid.resolution_m:g} m, but "
            f"this run asks for {asked.crs} at {asked.resolution_m:g} m; give another --out"
        )


def refuse_unfit(
    out: str, ref: ModelRef, grid: Grid, found: Store | None, *, period_layout: str | None = None
) -> MosaicGrid:
    """Refuse a location where a run cannot write, found or not; return the grid of the run.

    Raises
    ------
    GridError
        The CRS or cell size is invalid.
    StoreMismatchError
        The store has another grid, model or period layout, or there is something else.
    """
    wanted = mosaic_grid_of(grid, found)
    if found is None:
        Store.refuse_foreign_place(out)
    else:
        found.refuse_other(wanted, ref.digest, period_layout or found.period_layout)
    return wanted


def open_store(
    out: str, ref: ModelRef, grid: Grid, found: Store | None, *, period_layout: str | None = None
) -> Store:
    """Return the store of a run, as `find_store` found it; create it if missing.

    Raises
    ------
    StoreMismatchError
        The store exists with another grid, model or period layout.
    StoreError
        The location cannot be written.
    """
    if found is None:
        # `create` makes the same refusals, and knows of another run that was faster.
        wanted = mosaic_grid_of(grid, None)
        return Store.create(
            out, grid=wanted, model=ref.digest, period_layout=period_layout or "all"
        )
    refuse_unfit(out, ref, grid, found, period_layout=period_layout)
    return found
