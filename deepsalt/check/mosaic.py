"""The mosaic of a store: made of the right products, well formed, and every tile readable."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from os import cpu_count
from typing import Any

import numpy as np

from deepsalt.errors import StoreAccessError, StoreAwayError, StoreError
from deepsalt.grid import Tile
from deepsalt.grid.georef import GRID_MAPPING, group_attrs
from deepsalt.layers import MOSAIC_LAYERS, THRESHOLD
from deepsalt.mosaic import Wanted
from deepsalt.products import index_entries
from deepsalt.progress import Progress
from deepsalt.store import Period, Store
from deepsalt.validate import ANEW, Finding, Limits, check_age, check_tiles
from deepsalt.versions import (
    Mosaic,
    Stored,
    Version,
    filled_periods,
    held,
    live_builds,
    periods_of,
    products_at,
    tile_digest,
)
from deepsalt.versions.arrays import PERIODS
from deepsalt.versions.retention import DEAD_AFTER

_MAX_THREADS = 4
"""Number of tiles checked at a time; one takes about 0.1 GB."""
_AT_ONCE = 500
"""Number of tiles whose products are determined at a time; markers are in memory."""
_BUILD = "run `deepsalt mosaic build`"
_OTHERS = (THRESHOLD, "period", "period_bounds", "tile_counts", "tile_digest", "tile_products")


@dataclass
class Published:
    """Content of a published version.

    Parameters
    ----------
    version
        The version; None before the first.
    products
        Names of the products that its tiles are made of.
    """

    version: Version | None = None
    products: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class MosaicCheck:
    """How the mosaic of a store is checked.

    Parameters
    ----------
    store, mosaic
        Which.
    limits
        Limits beyond which it fails, with the largest salinity of the model.
    quick
        Leave out pixels and checksums.
    progress
        Receives progress on tiles.
    """

    store: Store
    mosaic: Mosaic
    limits: Limits
    quick: bool
    progress: Progress

    def __call__(self, published: Published) -> Iterator[Finding]:
        """Yield what is found; `published` is filled meanwhile.

        Raises
        ------
        StoreError
            The store cannot be read, or the mosaic is damaged so badly that its content is unknown.
        """
        version = published.version = self.mosaic.head()
        for waiting in held(self.mosaic):
            found = (
                f"version {waiting.short} has been held back since {waiting.created:%Y-%m-%d %H:%M}"
            )
            advice = f"`deepsalt mosaic publish` or drop {waiting.short}"
            yield Finding("info", "leftovers", "mosaic", found, advice)
        if version is None:
            yield Finding(
                "warning", "records", "mosaic", "no mosaic has been published yet", _BUILD
            )
            return
        newest = version.facts.get("newest")
        day = date.fromisoformat(newest) if newest else None
        yield from check_age(day, self.limits.max_age_days)
        stored = Stored.of(self.mosaic, version)
        yield from check_frame(self.store, self.mosaic)
        yield from check_metadata(self.mosaic, stored)
        yield from self._contents(version, published)
        if self.quick or any(layer.name not in stored.arrays for layer in MOSAIC_LAYERS):
            return
        with ThreadPoolExecutor(min(cpu_count() or 1, _MAX_THREADS)) as pool:
            for seen in check_tiles(
                self.mosaic, version, self.limits, executor=pool, progress=self.progress
            ):
                yield from seen.findings

    def _contents(self, version: Version, published: Published) -> Iterator[Finding]:
        """Compare the products of tiles with the records of the store."""
        try:
            slots = {slot: period for period, slot in periods_of(self.store.objects).items()}
        except (StoreAwayError, StoreAccessError):
            raise
        except StoreError as error:  # the tiles can still be read
            yield Finding("error", "records", "records/periods", str(error))
            return
        holds: dict[tuple[int, Tile], int] = {}
        for filled in filled_periods(self.mosaic, version):
            if filled.slot not in slots:
                found = f"no record says which period is in slot {filled.slot}"
                advice = f"restore records/periods/{filled.slot:04d}"
                yield Finding("error", "records", "mosaic", found, advice)
            holds |= {(filled.slot, tile): digest for tile, digest in filled.tiles.items()}
        tiles = {tile for _, tile in holds}
        tiles |= {Tile.from_id(id) for id, _ in index_entries(self.store)}
        ordered = sorted(tiles)
        known = slots or {-1: Period.all()}
        different: list[str] = []
        for first in range(0, len(ordered), _AT_ONCE):
            some = ordered[first : first + _AT_ONCE]
            try:
                different += self._different(some, known, holds)
            except (StoreAwayError, StoreAccessError):
                raise
            except StoreError as error:  # a record; the tiles can still be read
                yield Finding("error", "contents", "mosaic", str(error))
            present = [
                slot_tile for tile in some for slot in slots if (slot_tile := (slot, tile)) in holds
            ]
            published.products |= self._products(version, present)
        if different:
            named = ", ".join(different[:3]) + (" ..." if len(different) > 3 else "")
            found = f"{len(different)} tiles do not match the scenes of the store ({named})"
            yield Finding("warning", "contents", "mosaic", found, _BUILD)

    def _different(
        self,
        tiles: Sequence[Tile],
        slots: Mapping[int, Period],
        holds: Mapping[tuple[int, Tile], int],
    ) -> list[str]:
        wanted = Wanted(self.store)([(each, tile) for each in slots.values() for tile in tiles])
        grid = self.store.grid
        return [
            tile.id
            for tile in tiles
            for slot, period in slots.items()
            if tile_digest(grid, tile, wanted[period, tile]) != holds.get((slot, tile), 0)
        ]

    def _products(self, version: Version, slot_tiles: Sequence[tuple[int, Tile]]) -> set[str]:
        cells = [self.mosaic.frame.cell(*slot_tile) for slot_tile in slot_tiles]
        try:
            made_of = products_at(self.mosaic, version, cells)
        except (StoreError, ValueError, RuntimeError):
            return set()  # the check of these tiles reports it
        return {name for names in made_of for name in names}


def check_frame(store: Store, mosaic: Mosaic) -> Iterator[Finding]:
    """Compare the extent of the arrays with the store's record."""
    if mosaic.frame != store.frame:
        found = "the mosaic has another grid or area than the store's record"
        yield Finding("error", "georeferencing", "mosaic", found, f"restore store.json, or {ANEW}")


def check_metadata(mosaic: Mosaic, stored: Stored) -> Iterator[Finding]:
    """Check the georeferencing of the arrays, and that all exist with their type and shape."""
    for name, value in group_attrs(mosaic.frame.pixels).items():
        if stored.attrs.get(name) != value:
            seen = _short(stored.attrs.get(name))
            found = f"attribute {name} is {seen}, expected {_short(value)}"
            yield Finding("error", "georeferencing", "mosaic", found, ANEW)
    for name in _OTHERS:
        if name not in stored.arrays:
            yield Finding("error", "layers", "mosaic", f"array {name} is missing", ANEW)
    pixels = mosaic.frame.pixels
    grid = mosaic.frame.grid
    for layer in MOSAIC_LAYERS:
        if (array := stored.arrays.get(layer.name)) is None:
            yield Finding("error", "layers", "mosaic", f"layer {layer.name} is missing", ANEW)
            continue
        described = array.metadata.to_dict()
        compared: tuple[tuple[str, object, object], ...] = (
            ("type", str(array.dtype), layer.dtype),
            ("shape", array.shape, (PERIODS, *layer.shape(pixels.height, pixels.width))),
            ("chunk", array.chunks, (1, *layer.shape(grid.chunk_px, grid.chunk_px))),
            ("shard", array.shards, (1, *layer.shape(grid.shard_px, grid.shard_px))),
            ("dimensions", described.get("dimension_names"), ("period", *layer.dims)),
            ("fill value", _plain(array.fill_value), _plain(layer.fill)),
            ("nodata", _nodata(array.attrs), _nodata(layer.fill_attribute())),
        )
        for what, stated, expected in compared:
            if stated != expected:
                found = f"{what} of layer {layer.name} is {_short(stated)}, expected {expected}"
                yield Finding("error", "layers", "mosaic", found, ANEW)
        if array.attrs.get("grid_mapping") != GRID_MAPPING:
            found = f"layer {layer.name} does not refer to {GRID_MAPPING}"
            yield Finding("error", "georeferencing", "mosaic", found, ANEW)


def _plain(value: Any) -> str:
    return repr(float(np.asarray(value)))


def _nodata(attrs: Mapping[str, Any]) -> Any:
    return attrs.get("_FillValue"), attrs.get("nodata")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_builds(store: Store) -> Iterator[Finding]:
    """Report builds with a record: running ones, and those that seem dead.

    Raises
    ------
    StoreError
        The store cannot be read, or a record is invalid.
    """
    now = datetime.now(UTC)
    for build in live_builds(store.objects):
        where = f"records/builds/{build.id}"
        if now - build.seen > DEAD_AFTER:
            found = f"a build on {build.host} has been silent since {build.seen:%Y-%m-%d %H:%M}"
            advice = (
                f"if it is dead, {_BUILD}; `deepsalt mosaic prune STORE --keep N --yes` removes "
                f"its record"
            )
            yield Finding("warning", "leftovers", where, found, advice)
        else:
            found = f"a build on {build.host} has been running since {build.started:%Y-%m-%d %H:%M}"
            yield Finding("info", "leftovers", where, found)
