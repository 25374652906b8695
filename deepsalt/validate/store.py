"""Checking a store as a whole, on demand."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import cpu_count
from pathlib import Path

from deepsalt.errors import DeepsaltError, ModelError
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.model.card import read_card
from deepsalt.products import is_complete, verify_product
from deepsalt.store import Store, Version, current_version
from deepsalt.store.arrays import open_group
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.validate.catalogue import check_catalogue
from deepsalt.validate.findings import (
    MAX_SALINITY_DS_M,
    Finding,
    Limits,
    Listener,
    Nobody,
    by_severity,
)
from deepsalt.validate.mosaic import (
    check_freshness,
    check_georeferencing,
    check_layers,
    check_shards,
    check_tiles,
)
from deepsalt.validate.pixels import check_pixels

_MAX_THREADS = 4
"""Tiles checked at a time; each takes about 0.3 GB."""


def check_store(
    path: str | Path,
    limits: Limits | None = None,
    *,
    quick: bool = False,
    listener: Listener | None = None,
) -> list[Finding]:
    """Check a store from its records to its pixels.

    Parameters
    ----------
    path
        Folder of the store.
    limits
        From where on a mosaic is wrong; the defaults of `Limits` without them.
    quick
        Leave out what reads every byte: checksums and pixels.
    listener
        Told about products and tiles.

    Returns
    -------
    list of Finding
        Errors first; a sound store has none.
    """
    limits, heard = limits or Limits(), listener or Nobody()
    try:
        store = Store.open(Path(path).absolute())
        version = current_version(store)
    except DeepsaltError as error:
        return [Finding("error", "records", str(path), str(error))]
    findings = [
        *_check_products(store, checksums=not quick, heard=heard),
        *_check_leftovers(store),
        *check_catalogue(store, version),
    ]
    if version is None:
        found = "no mosaic is published yet"
        findings.append(Finding("warning", "records", "mosaic.zarr", found, "build one"))
    else:
        findings += _check_version(store, version, limits, quick=quick, heard=heard)
    return by_severity(findings)


def _check_products(store: Store, *, checksums: bool, heard: Listener) -> Iterator[Finding]:
    paths = sorted(store.scenes.glob("*.zarr"))
    heard.start("products", len(paths))
    with _threads() as pool:
        for found in pool.map(partial(_check_product, checksums=checksums), paths):
            yield from found
            heard.advance("products")


def _check_product(path: Path, *, checksums: bool) -> list[Finding]:
    where = f"scenes/{path.name}"
    if not is_complete(path):
        found = "the product is unfinished"
        return [Finding("warning", "products", where, found, "run its scene again")]
    try:
        if checksums:
            verify_product(path)
    except DeepsaltError as error:
        return [Finding("error", "products", where, str(error))]
    return []


def _check_leftovers(store: Store) -> Iterator[Finding]:
    for path in sorted(store.scenes.glob(".*~*")):
        found = "a write is going on or was interrupted"
        advice = "if nothing runs, remove the folder"
        yield Finding("warning", "leftovers", f"scenes/{path.name}", found, advice)
    for path in sorted(store.versions.glob("*.building")):
        found = "a build is going on or was interrupted"
        advice = "the next one with the same scenes resumes it"
        yield Finding("warning", "leftovers", f"versions/{path.name}", found, advice)


def _check_version(
    store: Store, version: Version, limits: Limits, *, quick: bool, heard: Listener
) -> Iterator[Finding]:
    group = version.layout.group
    try:
        manifests = version.layout.tile_manifests()
        ds = open_group(group, chunked=False)
    except DeepsaltError as error:
        yield Finding("error", "records", f"versions/{group.name}", str(error))
        return
    if store.mosaic.resolve() != group.resolve():
        found = f"the link does not lead to {group}"
        yield Finding("error", "records", "mosaic.zarr", found, "build again")
    yield from check_tiles(store, version, manifests)
    yield from check_freshness(store, version.products, max_age_days=limits.max_age_days)
    yield from check_layers(version.layout, ds)
    yield from check_georeferencing(version.layout, ds)
    if quick:
        for manifest in manifests:
            yield from check_shards(version.layout, manifest, checksums=False)
    else:
        heard.start("tiles", len(manifests))
        for _, contents in check_contents(store, version.layout, manifests, limits=limits):
            yield from contents
            heard.advance("tiles")


def check_contents(
    store: Store, layout: Layout, manifests: Sequence[TileManifest], *, limits: Limits
) -> Iterator[tuple[TileManifest, list[Finding]]]:
    """Check checksums and pixels of tiles, a few at a time; yield each tile with its findings."""
    ceiling = limits.max_salinity_ds_m or _ceiling_ds_m(store)
    ds = open_group(layout.group, chunked=False, decoded=False)
    complete = all(layer.name in ds for layer in MOSAIC_LAYERS)

    def check(manifest: TileManifest) -> list[Finding]:
        findings = list(check_shards(layout, manifest, checksums=True))
        if complete:
            findings += check_pixels(
                ds,
                layout,
                manifest,
                ceiling_ds_m=ceiling,
                max_missing=limits.max_missing,
                max_defective=limits.max_defective,
            )
        return findings

    with _threads() as pool:
        yield from zip(manifests, pool.map(check, manifests), strict=True)


def _ceiling_ds_m(store: Store) -> float:
    """Return the largest value that the store's model can say, dS/m."""
    try:
        return read_card(store.path / "models" / store.model[:12]).ec_max
    except ModelError:
        return MAX_SALINITY_DS_M


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(cpu_count() or 1, _MAX_THREADS))
