"""Checking a store as a whole, on demand."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from os import cpu_count
from pathlib import Path

from deepsalt.errors import DeepsaltError, ModelError
from deepsalt.model.card import read_card
from deepsalt.products import is_complete, verify_product
from deepsalt.store import Store, Version, current_version
from deepsalt.store.arrays import open_group
from deepsalt.store.versions import Layout, TileManifest
from deepsalt.together import submitted
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
"""Products or tiles checked at a time; a tile takes about 0.1 GB."""


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
        Told about products and checks of tiles.

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
    with threads() as pool:
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
        with threads() as pool:
            contents = check_contents(
                store, version.layout, manifests, limits, executor=pool, heard=heard
            )
            yield from (finding for _, found in contents for finding in found)


def check_contents(
    store: Store,
    layout: Layout,
    manifests: Sequence[TileManifest],
    limits: Limits,
    *,
    executor: Executor,
    heard: Listener,
) -> Iterator[tuple[TileManifest, list[Finding]]]:
    """Check checksums and pixels of tiles on an executor; yield each tile with its findings."""
    ceiling = limits.max_salinity_ds_m or _ceiling_ds_m(store)
    limits = replace(limits, max_salinity_ds_m=ceiling)
    heard.start("checks", len(manifests))
    with submitted(executor, partial(_check_tile, layout, limits), manifests) as checks:
        for manifest, check in zip(manifests, checks, strict=True):
            yield manifest, check.result()
            heard.advance("checks")


def _check_tile(layout: Layout, limits: Limits, manifest: TileManifest) -> list[Finding]:
    shards = check_shards(layout, manifest, checksums=True)
    return [*shards, *check_pixels(layout, manifest, limits)]


def _ceiling_ds_m(store: Store) -> float:
    """Return the largest value that the store's model can say, dS/m."""
    try:
        return read_card(store.path / "models" / store.model[:12]).ec_max
    except ModelError:
        return MAX_SALINITY_DS_M


def threads() -> ThreadPoolExecutor:
    """Return an executor of this process for checks."""
    return ThreadPoolExecutor(min(cpu_count() or 1, _MAX_THREADS))
