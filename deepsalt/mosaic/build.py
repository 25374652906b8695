"""Builds: the tiles that changed, composed in any order, anywhere; published whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from deepsalt.errors import StoreError, StoreMismatchError, UsageError
from deepsalt.georef import history_attr
from deepsalt.grid import Extent, Tile
from deepsalt.mosaic.sets import PeriodSets, chosen
from deepsalt.mosaic.tile import TileTask, tile_digest
from deepsalt.objects.disk import storing
from deepsalt.products import ALGORITHM_VERSION, ProductMarker, read_marker
from deepsalt.store import (
    Period,
    Store,
    Version,
    check_periods,
    create_mosaic,
    current_version,
    read_version,
    tombstones,
)
from deepsalt.store.arrays import EPOCH
from deepsalt.store.files import digest_of, read_json
from deepsalt.store.journal import point_to, publish
from deepsalt.store.lease import Lease
from deepsalt.store.versions import (
    Layout,
    TileManifest,
    adopt_tile,
    layout_of,
    published_id,
)
from deepsalt.types import Report
from deepsalt.validate import Limits, Listener, refuse_unfit

_SALINITY_LAYERS = ("salinity", "salinity_lower", "salinity_upper")


@dataclass(frozen=True, slots=True)
class Build:
    """A mosaic version that is being built; `begin_build` makes it.

    Parameters
    ----------
    store
        The store.
    version
        Id of the version.
    layout
        Where its tiles lie until it is published.
    periods
        Each period with the names of the products it is made of, sorted.
    tiles
        Digest of each tile, by period id and tile.
    tasks
        Tiles to compose; empty when the version is complete already.
    left_out
        Names of products that do not count: withdrawn, or there in a newer version.
    why
        What the history says about the version.
    lease
        The right to build.
    """

    store: Store
    version: str
    layout: Layout
    periods: tuple[tuple[Period, tuple[str, ...]], ...]
    tiles: Mapping[tuple[str, Tile], str]
    tasks: tuple[TileTask, ...]
    left_out: tuple[str, ...]
    why: str
    lease: Lease

    def publish(
        self,
        limits: Limits | None = None,
        *,
        executor: Executor | None = None,
        listener: Listener | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> Version:
        """Make this version the one that readers see.

        Parameters
        ----------
        limits
            From where on what is new in it is wrong; the usual ones without.
        executor
            What checks the new tiles, a call per tile; threads of this process without.
        listener
            Told about the checks.
        before
            Called once all is found right and before anything moves; if it fails, nothing does.

        Raises
        ------
        StoreError
            A tile is missing or was made of other products, a check finds an error in what is
            new, the store cannot be written, or another machine took the build over.
        """
        store, version, why, lease = self.store, self.version, self.why, self.lease
        lease.check()
        published = _is_published(store, version)
        if not published:
            self._refuse_incomplete()
            names = [name for _, members in self.periods for name in members]
            refuse_unfit(
                store,
                self.layout,
                names,
                limits or Limits(),
                lease,
                executor=executor,
                listener=listener,
            )
        before()
        if published:
            point_to(store, version, why=why, previous=published_id(store), lease=lease)
        else:
            publish(store, version, self.layout, self.periods, why=why, lease=lease)
        return read_version(store, version)

    def report(self) -> Report:
        """Return the pixels of all tiles done so far."""
        manifests = self.layout.tile_manifests()
        return sum((manifest.report for manifest in manifests), start=Report())

    def _refuse_incomplete(self) -> None:
        for (period, tile), digest in self.tiles.items():
            if not _is_done(self.layout, period, tile, digest):
                raise StoreError(
                    f"tile {tile.id} of period {period} is not done; build again before publishing"
                )


@contextmanager
def begin_build(
    store: Store, sets: PeriodSets | Callable[[], PeriodSets], *, why: str = "mosaic build"
) -> Iterator[Build]:
    """Plan a version, make its arrays, take over unchanged tiles; holds the store's build lock.

    Withdrawn scenes are left out, and of several versions of one acquisition the newest is taken.

    Parameters
    ----------
    store
        The store.
    sets
        Names of the products of **every** period the version shall have. What depends on the
        published version is given as a function and asked for when the lock is held; else
        another build may publish in between and its scenes would be lost.
    why
        What the history says about the version.

    Raises
    ------
    UsageError
        No products.
    StoreMismatchError
        Periods, models or the kinds of EC do not go together.
    StoreError
        Another build holds the lock, a product is unfinished, or the store cannot be written.
    """
    with store.locked() as lease:
        yield _plan(store, sets() if callable(sets) else sets, why, lease)


def _plan(store: Store, sets: PeriodSets, why: str, lease: Lease) -> Build:
    ordered = _check_layout(store, sets)
    given = {period: [_marker(store, name) for name in sets[period]] for period in ordered}
    withdrawn = tombstones(store)
    markers = {period: chosen(found, withdrawn) for period, found in given.items()}
    everything = [marker for found in markers.values() for marker in found]
    if not everything:
        raise UsageError(
            f"there are no scene products to mosaic in {store.scenes} that are not withdrawn; "
            "run scenes"
        )
    _check_kind(store, everything)
    periods = tuple((period, tuple(m.name for m in markers[period])) for period in ordered)
    over = _products_over(store, markers)
    version = digest_of([ALGORITHM_VERSION, store.grid.to_dict(), _plain(periods)])[:12]
    layout = layout_of(
        store,
        version,
        Extent.of([tile for _, tile in over]),
        [period.id for period in ordered],
        building=not _is_published(store, version),
    )
    tiles = {key: tile_digest(store.grid, key[1], names) for key, names in over.items()}
    kept = {marker.name for marker in everything}
    return Build(
        store=store,
        version=version,
        layout=layout,
        periods=periods,
        tiles=tiles,
        tasks=_prepare(store, layout, markers, over=over, tiles=tiles, lease=lease),
        left_out=tuple(sorted({m.name for found in given.values() for m in found} - kept)),
        why=why,
        lease=lease,
    )


def _check_layout(store: Store, sets: PeriodSets) -> list[Period]:
    check_periods(sets)
    for period in sets:
        if period.layout != store.period_layout:
            raise StoreMismatchError(
                f"store {store.path} holds {store.period_layout!r} periods, this run has "
                f"{period.id}; give another --out"
            )
    return sorted(sets)


def _marker(store: Store, name: str) -> ProductMarker:
    return read_marker(store.scenes / f"{name}.zarr")


def _check_kind(store: Store, markers: Sequence[ProductMarker]) -> None:
    label = dict(markers[0].label)
    for marker in markers:
        if marker.model_digest != store.model:
            raise StoreMismatchError(
                f"product {marker.name} is of model {marker.model_digest[:12]}, the store of "
                f"{store.model[:12]}; give another --out"
            )
        if dict(marker.label) != label:
            raise StoreMismatchError(
                f"product {marker.name} is {_said(marker.label)}, {markers[0].name} is "
                f"{_said(label)}; different quantities cannot share a mosaic"
            )


def _said(label: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in label.items()) or "without an EC method"


def _products_over(
    store: Store, markers: Mapping[Period, Sequence[ProductMarker]]
) -> dict[tuple[str, Tile], tuple[str, ...]]:
    over: dict[tuple[str, Tile], list[str]] = {}
    for period, found in markers.items():
        for marker in found:
            for tile in store.grid.tiles_over(marker.grid):
                over.setdefault((period.id, tile), []).append(marker.name)
    return {key: tuple(sorted(names)) for key, names in over.items()}


def _plain(periods: Iterable[tuple[Period, tuple[str, ...]]]) -> list[list[Any]]:
    return [[period.id, list(names)] for period, names in periods]


def _is_published(store: Store, version: str) -> bool:
    record = store.records / "versions" / version / "version.json"
    return record.exists() and (store.versions / f"{version}.zarr").is_dir()


def _is_done(layout: Layout, period: str, tile: Tile, digest: str) -> bool:
    path = layout.manifest_path(period, tile)
    if not path.exists():
        return False
    manifest = TileManifest.read(path)
    files = layout.shard_paths(period, tile)
    listed = dict(manifest.shards)
    return (manifest.digest == digest and listed.keys() == files.keys()) and all(
        path.exists() == (listed[name] is not None) for name, path in files.items()
    )


def _prepare(
    store: Store,
    layout: Layout,
    markers: Mapping[Period, Sequence[ProductMarker]],
    *,
    over: Mapping[tuple[str, Tile], tuple[str, ...]],
    tiles: Mapping[tuple[str, Tile], str],
    lease: Lease,
) -> tuple[TileTask, ...]:
    """Make the arrays, take over what is there, and return the tiles that are left."""
    if layout.group.suffix == ".zarr":
        return ()
    _make_arrays(store, layout, markers, lease)
    left = {key for key in tiles if not _is_done(layout, *key, tiles[key])}
    current = current_version(store)
    for manifest in current.layout.tile_manifests() if current else ():
        key = (manifest.period, manifest.tile)
        if current and key in left and _is_done(current.layout, *key, tiles[key]):
            lease.check()
            adopt_tile(current.layout, layout, manifest)
            left.remove(key)
    return tuple(
        TileTask(
            layout,
            period,
            tile,
            tuple(store.scenes / f"{name}.zarr" for name in over[period, tile]),
            tiles[period, tile],
            lease,
        )
        for period, tile in sorted(left)
    )


def _make_arrays(
    store: Store, layout: Layout, markers: Mapping[Period, Sequence[ProductMarker]], lease: Lease
) -> None:
    finished = layout.group.with_suffix(".zarr")
    lease.check()
    with storing(layout.group):
        unrecorded = not _is_published(store, finished.stem)
        if unrecorded and finished.is_dir() and not layout.group.exists():
            # Killed between its last two steps: the arrays are there, the version record is not.
            finished.rename(layout.group)
    root = layout.group / "zarr.json"
    if root.exists() and "consolidated_metadata" in read_json(root):
        return
    found = [marker for period in markers.values() for marker in period]
    create_mosaic(
        layout.group,
        store.grid.extent_grid(layout.extent),
        [_span(period, members) for period, members in markers.items()],
        chunk_px=store.grid.chunk_px,
        shard_px=store.grid.shard_px,
        attrs={
            "title": "Surface soil salinity",
            **history_attr(f"combined from {len(found)} scene products"),
            "version_id": layout.group.stem,
            "period_ids": list(layout.periods),
            "scene_counts": [len(members) for members in markers.values()],
            "sensors": sorted({marker.sensor for marker in found}),
            "model_family": found[0].model_family,
            "model_digests": sorted({marker.model_digest for marker in found}),
            "simulated": any(marker.simulated for marker in found),
        },
        layer_attrs=dict.fromkeys(_SALINITY_LAYERS, found[0].label),
    )


def _span(period: Period, members: Sequence[ProductMarker]) -> tuple[date, date]:
    """Return first and last day of a period; without limits, those of its scenes."""
    if period.start is not None and period.end is not None:
        return period.start, period.end
    days = [marker.day for marker in members if marker.day is not None]
    return (min(days), max(days)) if days else (EPOCH, EPOCH)
