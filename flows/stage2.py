"""Stage 2: the scene products of a store to a mosaic that readers see."""

from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from deepsalt.errors import DeepsaltError
from deepsalt.together import submitted
from flows.compute import computing
from flows.config import Checks, MosaicConfig, Push
from flows.progress import Progress, Silent
from flows.stores import period_of, refuse_other_grid

if TYPE_CHECKING:
    from deepsalt.mosaic import PeriodSets
    from deepsalt.store import Store
    from deepsalt.validate import Limits


@dataclass(frozen=True)
class MosaicResult:
    """What became of the mosaic.

    Parameters
    ----------
    version
        Id of the published version.
    products
        Scene products in it.
    tiles, composed
        Tiles of the mosaic, and those that had to be composed anew.
    pixels, estimated
        Cells of the mosaic's tiles, and those with an estimate.
    by_flag
        Cells per `QualityFlag` bit, lower case.
    pushed_to, sent_bytes, removed_there
        Where it was carried to, what had to be sent, and how many older versions were removed
        there; empty when nowhere.
    push_failed
        Why that failed; empty when it did not.
    """

    version: str
    products: int
    tiles: int
    composed: int
    pixels: int = 0
    estimated: int = 0
    by_flag: dict[str, int] = field(default_factory=dict)
    pushed_to: str = ""
    sent_bytes: int = 0
    removed_there: int = 0
    push_failed: str = ""


def build_mosaic(out: str, config: MosaicConfig, progress: Progress | None = None) -> MosaicResult:
    """Composite the complete scene products of a store and publish the mosaic.

    Parameters
    ----------
    out
        Folder of the store.
    config
        Grid and period.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        The store has no complete product in the period.
    StoreError
        A store that cannot be written, or has another grid.
    """
    from deepsalt.mosaic import all_sets, united_sets
    from deepsalt.store import Store

    store = Store.open(out)
    refuse_other_grid(store, config.grid)
    sets, why = partial(all_sets, store), "mosaic build"
    if config.products is not None:
        sets = partial(united_sets, store, period_of(config.datetime), config.products)
        why = "run"
    return compose(store, sets, config, why, progress)


def carry_on(
    out: str, result: MosaicResult, to: Push, progress: Progress | None = None
) -> MosaicResult:
    """Carry on what a store has published, also when nothing was added to it.

    What fails is said in the result: the mosaic is published and stays.

    Parameters
    ----------
    out
        Folder of the store.
    result
        What became of the mosaic.
    to
        Where it is carried to.
    progress
        Told about objects.
    """
    if to.uri is None:
        return result
    from deepsalt.push import push
    from deepsalt.store import Store

    try:
        pushed = push(Store.open(out), to.uri, progress, keep=to.keep)
    except DeepsaltError as error:
        return replace(result, pushed_to=to.uri, push_failed=str(error))
    return replace(
        result, pushed_to=to.uri, sent_bytes=pushed.sent_bytes, removed_there=pushed.removed
    )


def compose(
    store: "Store",
    sets: "Callable[[], PeriodSets]",
    config: MosaicConfig,
    why: str,
    progress: Progress | None = None,
) -> MosaicResult:
    """Compose the tiles that changed and publish the version that these sets make.

    Parameters
    ----------
    store
        The store.
    sets
        Asked for the products of each period when nobody else can publish.
    config
        What computes, and from where on a version is wrong.
    why
        What the history says about the version.
    progress
        Told about tiles.

    Raises
    ------
    UsageError
        There is nothing to mosaic.
    StoreError
        Another build is going on, or the store cannot be read or written.
    """
    from deepsalt.mosaic import begin_build, compose_tile
    from flows.publication import drawing, publish_mosaic

    shown = progress or Silent()
    with begin_build(store, sets, why=why) as build, computing(config.compute) as executor:
        shown.start("tiles", len(build.tasks))
        with submitted(executor, compose_tile, build.tasks) as tiles:
            for done in as_completed(tiles):
                done.result()
                shown.advance("tiles")
        with drawing(build.layout) as quicklook:
            version = build.publish(
                limits_of(config.checks),
                executor=executor,
                listener=shown,
                before=quicklook.result,
            )
        report = build.report()
        build.lease.check()
        publish_mosaic(store, version, quicklook.result())
    return MosaicResult(
        version=version.id,
        products=len(version.products),
        tiles=len(build.tiles),
        composed=len(build.tasks),
        pixels=report.pixels,
        estimated=report.estimated,
        by_flag=dict(report.by_flag),
    )


def limits_of(checks: Checks) -> "Limits":
    """Return the limits of a configuration, shares instead of percent."""
    from deepsalt.validate import Limits

    return Limits(
        max_missing=checks.max_missing_pct / 100,
        max_defective=checks.max_defective_pct / 100,
        max_salinity_ds_m=checks.max_salinity_ds_m,
        max_age_days=checks.max_age_days,
    )
