"""Stage 2: from the scene products of a store to a published mosaic."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deepsalt.errors import DeepsaltError, UsageError
from deepsalt.progress import Progress, Silent
from flows.config import NOWHERE, Checks, Compute, Export, MosaicConfig
from flows.run.stores import period_of, refuse_other_grid

if TYPE_CHECKING:
    from deepsalt.mosaic import MosaicReport
    from deepsalt.store import Store
    from deepsalt.validate import Limits
    from deepsalt.versions import Mosaic, Version
    from flows.kubernetes.pods import Pods

EXPORTED_BELOW_BYTES = 2 * 10**9
"""Size up to which a mosaic is exported into its folder by default."""
_BYTES_PER_PIXEL = 16
"""Bytes per cell, of 36 in eleven layers, that the codecs leave."""
_EXPORT = "mosaic.zarr"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MosaicResult:
    """Outcome of a build.

    Parameters
    ----------
    version
        Id of the version that readers see, or of the held one.
    held
        Whether it is held.
    why_held
        What makes it unlike the versions before; empty if it is held by request or not at all.
    tiles, composed
        Tiles of the mosaic, and those that had to be composed.
    added, removed
        Scene products that tiles gained and lost.
    pixels, estimated
        Cells of the mosaic's tiles, and those with an estimate.
    by_flag
        Cells per `QualityFlag` bit, lower case.
    exported_to, exported_bytes
        Location of the plain Zarr, and the bytes written; empty if there is none.
    export_failed
        Why the export failed; empty if it did not.
    not_exported
        Why it was not attempted; empty if it was exported, or not wanted.
    compose_s, publish_s, export_s
        Seconds of composing and committing tiles, of writing Item and quicklook, and of exporting.
        Equal outcomes may differ in them.
    """

    version: str
    held: bool
    tiles: int
    composed: int
    added: int = 0
    removed: int = 0
    pixels: int = 0
    estimated: int = 0
    by_flag: dict[str, int] = field(default_factory=dict)
    exported_to: str = ""
    exported_bytes: int = 0
    export_failed: str = ""
    not_exported: str = ""
    why_held: str = ""
    compose_s: float = field(default=0.0, compare=False)
    publish_s: float = field(default=0.0, compare=False)
    export_s: float = field(default=0.0, compare=False)


def publish(store: "Store", report: "MosaicReport", *, compose_s: float = 0.0) -> MosaicResult:
    """Write the Item and the quicklook of a new version, unless it is held.

    Parameters
    ----------
    store
        The store.
    report
        What was built.
    compose_s
        How long that took, seconds, if anybody asks.
    """
    from deepsalt.versions import open_repository
    from flows.publication import publish_version

    began_s = time.perf_counter()
    mosaic = open_repository(store.objects)
    if not report.held:
        publish_version(store, mosaic, report.version, report.built.tiles)
    elif report.why_held:
        _drop_overtaken(mosaic, report.version)
    return MosaicResult(
        version=report.version.short,
        held=report.held,
        tiles=report.tiles,
        composed=report.composed,
        added=report.added,
        removed=report.removed,
        pixels=report.pixels,
        estimated=report.estimated,
        by_flag=report.by_flag,
        why_held=report.why_held,
        compose_s=compose_s,
        publish_s=time.perf_counter() - began_s,
    )


def _drop_overtaken(mosaic: "Mosaic", version: "Version") -> None:
    """Discard versions held as unlike others before, if a newer one has all their changes.

    Otherwise each build until a person looks would leave one more.
    """
    from deepsalt.versions import HELD_FACT, drop, held

    for older in held(mosaic):
        if (
            older.id != version.id
            and older.parent == version.parent
            and HELD_FACT in older.facts
            and _names(older) <= _names(version)
            and older.added_count + older.removed_count == len(_names(older))
        ):
            try:
                drop(mosaic, older.id)
            except DeepsaltError as error:
                logger.warning("version %s stays held: %s", older.short, error)


def _names(version: "Version") -> set[tuple[str, bool]]:
    """Return the products that a version gained and lost, as far as they are named."""
    return {(name, True) for name in version.added} | {(name, False) for name in version.removed}


def build_at(out: str, config: MosaicConfig, progress: Progress | None = None) -> MosaicResult:
    """Build the mosaic of the store at a place from its complete products, and publish it.

    Parameters
    ----------
    out
        The store.
    config
        Period, and what computes; its export is checked here and made by `export_after_build`.
    progress
        Receives progress on tiles.

    Raises
    ------
    UsageError
        The store has no complete product in the period, or the export's location is invalid.
    StoreError
        The store cannot be written, or has another grid.
    """
    from deepsalt.mosaic import all_period_tiles, build_mosaic
    from deepsalt.store import Store
    from flows.engines.composing import composing

    store = Store.open(out)
    shown = progress or Silent()
    refuse_other_grid(store, config.grid)
    refuse_export(out, config.export)
    period = None if config.datetime is None else period_of(config.datetime)
    limits = limits_of(config.checks)
    with (
        _pods_of(out, config.compute, shown) as pods,
        composing(config.compute, store, limits, shown, pods=pods) as context,
    ):
        began_s = time.perf_counter()
        period_tiles = all_period_tiles(store, period)
        built = build_mosaic(store, context, period_tiles=period_tiles, hold=config.hold)
        return publish(store, built, compose_s=time.perf_counter() - began_s)


@contextmanager
def _pods_of(out: str, compute: Compute, progress: Progress) -> "Iterator[Pods | None]":
    """Keep the pods that a build makes for itself, if it makes any, until the block ends."""
    if compute.cluster is None:  # a light installation comes this way
        yield None
        return
    from flows.run.memory import needs_of_tiles
    from flows.run.pods import expect, pods_of, refuse_local

    refuse_local(out)
    with pods_of(compute, progress) as pods:
        expect(pods, needs_of_tiles(), 0)
        yield pods


def export_after_build(
    store: "Store", result: MosaicResult, to: Export, progress: Progress | None = None
) -> MosaicResult:
    """Write the published mosaic of a store as plain Zarr, even if nothing was added to it.

    The result reports a failure: the mosaic is published and stays.

    Parameters
    ----------
    store
        The store.
    result
        Outcome of a build.
    to
        Where to write it.
    progress
        Receives progress on shards.
    """
    if to.to == NOWHERE or result.held:
        return result
    from deepsalt.export import export_mosaic
    from deepsalt.versions import open_repository

    mosaic = open_repository(store.objects)
    head = mosaic.head()
    target = to.to
    if head is None or not head.totals.pixels:
        _remove_own(store)
        return replace(result, not_exported="the mosaic is empty")
    if target is None:
        if hint := _why_not(store, head):
            return replace(result, not_exported=hint)
        target = str(store.objects.path / _EXPORT)
    began_s = time.perf_counter()
    try:
        done = export_mosaic(mosaic, target, keep=to.keep, progress=progress or Silent())
    except DeepsaltError as error:
        took_s = time.perf_counter() - began_s
        return replace(result, exported_to=target, export_failed=str(error), export_s=took_s)
    took_s = time.perf_counter() - began_s
    return replace(result, exported_to=target, exported_bytes=done.bytes, export_s=took_s)


def follow(store: "Store", mosaic: "Mosaic") -> None:
    """Update the export in a store's own folder, if there is one, to the published version.

    A failure is only a warning: the version is published.
    """
    from deepsalt.export import export_mosaic

    if not _has_own(store):
        return
    head = mosaic.head()
    try:
        if head is None or not head.totals.pixels:
            _remove_own(store)
        else:
            export_mosaic(mosaic, str(store.objects.path / _EXPORT))
    except DeepsaltError as error:
        logger.warning("%s/%s shows an older version: %s", store, _EXPORT, error)


def refuse_export(out: str, to: Export) -> None:
    """Refuse an invalid export location before anything is done.

    Raises
    ------
    UsageError
        The location is invalid, or cannot keep versions as asked.
    StoreError
        The location cannot be read.
    """
    if to.to in (None, NOWHERE):
        if to.keep is not None:
            raise UsageError("--export-keep needs --export; give both")
        return
    from deepsalt.export import check_target
    from deepsalt.objects import Objects

    target = check_target(Objects.of(out), to.to)
    if to.keep is not None and not target.is_series:
        raise UsageError(
            f"{target.objects} is one Zarr group that changes in place and keeps no older versions"
            "; leave --export-keep out, or give a prefix of a bucket that does not end in .zarr"
        )


def _has_own(store: "Store") -> bool:
    return store.objects.is_local and next(store.objects.list(_EXPORT), None) is not None


def _remove_own(store: "Store") -> None:
    """Remove the export in a store's own folder: it would show scenes that are withdrawn."""
    if store.objects.is_local:
        store.objects.delete([entry.key for entry in store.objects.list(_EXPORT)])


def _why_not(store: "Store", head: "Version") -> str:
    """Return why a mosaic is not exported by default; empty if it is."""
    if not store.objects.is_local:
        return "plain Zarr of a store in a bucket is made only on request"
    pixels = head.totals.pixels - dict(head.totals.by_flag).get("outside", 0)
    # An existing one is kept up to date, whatever its size.
    if pixels * _BYTES_PER_PIXEL > EXPORTED_BELOW_BYTES and not _has_own(store):
        return "plain Zarr of a mosaic above 2 GB is made only on request"
    return ""


def limits_of(checks: Checks) -> "Limits":
    """Return the limits of a configuration, as fractions instead of percent."""
    from deepsalt.validate import Limits

    return Limits(
        max_missing=checks.max_missing_pct / 100,
        max_defective=checks.max_defective_pct / 100,
        max_salinity_ds_m=checks.max_salinity_ds_m,
        max_age_days=checks.max_age_days,
        max_lost=checks.max_lost_pct / 100,
        max_shift=checks.max_shift,
    )
