"""The files and arrays of a mosaic: tiles, shards, checksums, georeferencing, freshness."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr

from deepsalt.errors import DeepsaltError
from deepsalt.georef import GRID_MAPPING, grid_mapping_attrs, group_attrs, pixel_centers
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.products import read_marker
from deepsalt.store import Store, Version
from deepsalt.store.files import sha256_of
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.validate.findings import Finding

_BUILD = "build again"
_RESTORE = "build again, or run `deepsalt mosaic repair` once it is published"


def check_tiles(store: Store, version: Version, manifests: list[TileManifest]) -> Iterator[Finding]:
    """Compare the tiles there are with those that the products touch, and files with both."""
    expected = set()
    for period, names in version.periods:
        for name in names:
            try:
                grid = read_marker(store.scenes / f"{name}.zarr").grid
            except DeepsaltError as error:
                yield Finding("error", "products", f"scenes/{name}.zarr", str(error))
                continue
            expected |= {(period.id, tile) for tile in store.grid.tiles_over(grid)}
    found = {(manifest.period, manifest.tile) for manifest in manifests}
    for period_id, tile in sorted(expected - found):
        where = f"tile {tile.id} of period {period_id}"
        yield Finding(
            "error", "shards", where, "scenes touch the tile but it was never made", _BUILD
        )
    layout = version.layout
    known = {path for key in found for path in layout.shard_paths(*key).values()}
    for layer in MOSAIC_LAYERS:
        for path in sorted((layout.group / layer.name / "c").rglob("*")):
            if path.is_file() and path not in known:
                where = str(path.relative_to(store.path))
                yield Finding("error", "shards", where, "a shard that belongs to no tile", _BUILD)


def check_shards(layout: Layout, manifest: TileManifest, *, checksums: bool) -> Iterator[Finding]:
    """Check that each shard of a tile is there or declared empty, and whole."""
    files = layout.shard_paths(manifest.period, manifest.tile)
    tile = f"tile {manifest.tile.id} of period {manifest.period}"
    listed = dict(manifest.shards)
    if listed.keys() != files.keys():
        found = "the manifest lists other shards than a tile has"
        yield Finding("error", "shards", tile, found, _RESTORE)
    for name, path in files.items():
        if name not in listed:
            continue
        digest = listed[name]
        where = f"{tile}, {layout.group.name}/{path.relative_to(layout.group)}"
        if digest is None and path.exists():
            found = "the shard is declared empty but exists"
            yield Finding("error", "shards", where, found, _RESTORE)
        elif digest is not None and not path.is_file():
            yield Finding("error", "shards", where, "the shard is missing", _RESTORE)
        elif digest is not None and checksums and (found := _damage(path, digest)):
            yield Finding("error", "checksums", where, found, _RESTORE)


def _damage(path: Path, digest: str) -> str:
    try:
        return "" if sha256_of(path) == digest else "the shard is damaged (other checksum)"
    except OSError as error:
        return f"the shard cannot be read ({error.strerror})"


def damage_of(layout: Layout, manifest: TileManifest) -> list[Finding]:
    """Return which shards of a tile are missing, damaged or should not be there."""
    return list(check_shards(layout, manifest, checksums=True))


def check_layers(layout: Layout, ds: xr.Dataset) -> Iterator[Finding]:
    """Check that all layers are there, of their type, and refer to the CRS."""
    where = f"versions/{layout.group.name}"
    for layer in MOSAIC_LAYERS:
        if layer.name not in ds:
            yield Finding("error", "shards", where, f"layer {layer.name} is missing", _BUILD)
            continue
        if not (layout.group / layer.name / "zarr.json").is_file():
            found = f"layer {layer.name} has no metadata of its own"
            yield Finding("error", "shards", where, found, _BUILD)
        # Opening moves attributes that it understands into the encoding.
        stored = {**ds[layer.name].attrs, **ds[layer.name].encoding}
        if stored["dtype"] != np.dtype(layer.dtype):
            found = f"layer {layer.name} is {stored['dtype']}, a mosaic stores {layer.dtype}"
            yield Finding("error", "values", where, found, _BUILD)
        if stored.get("grid_mapping") != GRID_MAPPING:
            found = f"layer {layer.name} does not refer to {GRID_MAPPING}"
            yield Finding("error", "georeferencing", where, found, _BUILD)


def check_georeferencing(layout: Layout, ds: xr.Dataset) -> Iterator[Finding]:
    """Compare CRS, transform and pixel centres with the grid of the store."""
    where = f"versions/{layout.group.name}"
    grid = layout.grid.extent_grid(layout.extent)
    mapping = ds.variables.get(GRID_MAPPING, xr.Variable((), 0)).attrs
    for owner, attrs, expected in (
        ("attribute", ds.attrs, group_attrs(grid)),
        (f"{GRID_MAPPING} attribute", mapping, grid_mapping_attrs(grid)),
    ):
        for name, value in expected.items():
            if attrs.get(name) != value:
                found = f"{owner} {name} is {_short(attrs.get(name))}, expected {_short(value)}"
                yield Finding("error", "georeferencing", where, found, _BUILD)
    for axis, centers in zip("yx", pixel_centers(grid), strict=True):
        if axis not in ds or not np.array_equal(ds[axis].values, centers):
            found = f"coordinate {axis} does not hold the pixel centres"
            yield Finding("error", "georeferencing", where, found, _BUILD)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_freshness(
    store: Store, products: Iterable[str], *, max_age_days: float | None
) -> Iterator[Finding]:
    """Compare the newest product with an estimate with today, UTC."""
    today, days = datetime.now(UTC).date(), dict[str, date]()
    for name in products:
        try:
            marker = read_marker(store.scenes / f"{name}.zarr")
        except DeepsaltError:
            continue  # `check_tiles` reports it
        if marker.day is not None and marker.report.estimated:
            days[name] = marker.day
    for name in sorted(days):
        if days[name] > today + timedelta(days=1):
            found = f"observed on {days[name]}, which has not come yet"
            advice = "correct the scene's date or this machine's clock"
            yield Finding("warning", "freshness", f"scenes/{name}.zarr", found, advice)
    newest = max(days.values(), default=None)
    found = (
        "no scene with an estimate has a date"
        if newest is None
        else f"the newest scene with an estimate is of {newest}, {(today - newest).days} days ago"
    )
    if max_age_days is None or (newest and (today - newest).days <= max_age_days):
        yield Finding("info", "freshness", "mosaic.zarr", found)
    else:
        found = f"{found}; {max_age_days:g} days are allowed"
        yield Finding("error", "freshness", "mosaic.zarr", found, "run over newer scenes")
