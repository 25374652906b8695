"""What a run does, free of Prefect.

`run` searches, maps every scene and builds the mosaic. The two stages are handed in as callables,
so that the command (directly) and the Prefect flows (one flow run per scene and mosaic) do the
same work in the same order.
"""

from collections.abc import Callable, Container, Iterable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.types import Acquisition, ModelRef, Report
from flows.compute import computing, threads_per_worker
from flows.config import Checks, MosaicConfig, RunConfig, SceneConfig
from flows.fetching import fetching
from flows.progress import Progress, Silent, chunk_bar
from flows.selection import Found, Scene, find_scenes
from flows.stores import open_store, period_of, refuse_other_grid

if TYPE_CHECKING:
    from deepsalt.fetch import Fetcher
    from deepsalt.mosaic import PeriodSets
    from deepsalt.store import Store
    from deepsalt.validate import Limits


@dataclass(frozen=True)
class SceneResult:
    """What became of one scene.

    Parameters
    ----------
    scene
        Scene key.
    status
        ``written``, ``present`` (was complete before), ``withdrawn`` (an operator took it out),
        ``quarantined`` (can never work) or ``failed`` (may work another time).
    product
        Name of the scene product; empty when there is none.
    pixels, estimated
        Pixels of the scene, and those with an estimate.
    by_basis
        Pixels per `Basis` bit, lower case.
    reason
        Why a scene is withdrawn, quarantined or failed.
    """

    scene: str
    status: str
    product: str = ""
    pixels: int = 0
    estimated: int = 0
    by_basis: dict[str, int] = field(default_factory=dict)
    reason: str | None = None


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
    by_basis
        Cells per `Basis` bit, lower case.
    """

    version: str
    products: int
    tiles: int
    composed: int
    pixels: int = 0
    estimated: int = 0
    by_basis: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: every scene, and the mosaic (None when no scene could be mapped)."""

    scenes: tuple[SceneResult, ...]
    mosaic: MosaicResult | None

    @property
    def exit_code(self) -> int:
        """Exit code: 0 all done, 1 nothing could be mapped, 3 some scenes are left out.

        Withdrawn scenes are left out on purpose and change nothing.
        """
        wanted = [scene for scene in self.scenes if scene.status != "withdrawn"]
        if wanted and self.mosaic is None:
            return 1
        return 0 if all(scene.product for scene in wanted) else 3


Process = Callable[[dict[str, Any], str, SceneConfig], SceneResult]
Build = Callable[[str, MosaicConfig], MosaicResult]


def process_scene(
    item: dict[str, Any],
    out: str,
    config: SceneConfig,
    progress: Progress | None = None,
    fetcher: "Fetcher | None" = None,
) -> SceneResult:
    """Stage 1: map one scene on its own grid into the store; at once when that was done before.

    Parameters
    ----------
    item
        STAC Item of the scene.
    out
        Folder of the store; made when it does not exist.
    config
        Model, and what computes.
    progress
        Told about chunks when they are computed in this process.
    fetcher
        Brings the files of a remote scene here; one of its own without it.

    Raises
    ------
    InputError
        A scene that cannot be used.
    ReadError
        Pixels that cannot be read.
    StoreError
        A store that cannot be written, or is of another model or grid.
    """
    from catalog.items import parse_item
    from deepsalt.cube.load import open_scene
    from deepsalt.cube.quality import mark_valid
    from deepsalt.model.load import model_ref
    from deepsalt.predict import predict_cube
    from deepsalt.products import is_complete, product_key, product_name, read_marker, write_product
    from flows.publication import publish_product

    acquisition = parse_item(item)
    ref = model_ref(config.model)
    store = open_store(out, ref, config.grid)
    if withdrawn := _withdrawn(store, acquisition):
        return withdrawn
    name = product_name(acquisition, ref)
    path = store.scenes / f"{name}.zarr"
    status = "present" if is_complete(path) else "written"
    if status == "written":
        with (
            fetching(config, fetcher) as files,
            files.local(acquisition) as here,
            computing(config.compute),
        ):
            layers = predict_cube(mark_valid(open_scene(here)), ref, device=config.compute.device)
            with chunk_bar(progress or Silent(), acquisition.acquisition_id, layers["basis"].data):
                write_product(
                    layers,
                    store.scenes,
                    name=name,
                    key=product_key(acquisition, ref),
                    acquisition=acquisition,
                    ref=ref,
                    attrs={"simulated": acquisition.simulated},
                )
    marker = read_marker(path)
    publish_product(store, marker, acquisition, ref)
    return _result(acquisition, status, name, marker.report)


def _withdrawn(store: "Store", acquisition: Acquisition) -> SceneResult | None:
    from deepsalt.store import tombstone

    record = tombstone(store, (acquisition.collection, acquisition.acquisition_id))
    if record is None or not record.covers(acquisition.version):
        return None
    return SceneResult(scene=acquisition.key, status="withdrawn", reason=str(record))


def _result(acquisition: Acquisition, status: str, name: str, report: Report) -> SceneResult:
    return SceneResult(
        scene=acquisition.key,
        status=status,
        product=name,
        pixels=report.pixels,
        estimated=report.estimated,
        by_basis=dict(report.by_basis),
    )


def build_mosaic(out: str, config: MosaicConfig, progress: Progress | None = None) -> MosaicResult:
    """Stage 2: composite the complete scene products of a store and publish the mosaic.

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
    if config.products is None:
        return compose(store, partial(all_sets, store), config, "mosaic build", progress)
    sets = partial(united_sets, store, period_of(config.datetime), config.products)
    return compose(store, sets, config, "run", progress)


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
    from flows.publication import publish_mosaic

    shown = progress or Silent()
    with begin_build(store, sets, why=why) as build:
        shown.start("tiles", len(build.tasks))
        with computing(config.compute) as executor:
            for done in as_completed([executor.submit(compose_tile, task) for task in build.tasks]):
                done.result()
                shown.advance("tiles")
        version = build.publish(limits_of(config.checks))
        report = build.report()
        publish_mosaic(store, version)
    return MosaicResult(
        version=version.id,
        products=len(version.products),
        tiles=len(build.tiles),
        composed=len(build.tasks),
        pixels=report.pixels,
        estimated=report.estimated,
        by_basis=dict(report.by_basis),
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


def run(
    config: RunConfig,
    *,
    process: Process | None = None,
    build: Build | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Search, map every scene, build and publish the mosaic.

    A scene that cannot work is quarantined with the reason and the rest goes on; a store that
    cannot be written ends the run. What is complete is never done again.

    Parameters
    ----------
    config
        The run.
    process, build
        The two stages; `process_scene` and `build_mosaic` without them.
    progress
        Told about scenes, chunks and tiles.

    Raises
    ------
    UsageError
        The search finds nothing that can be used, or a worker has too little memory.
    StoreError
        The store cannot be written, or is of another grid or model.
    """
    from deepsalt.model.load import model_ref

    shown = progress or Silent()
    build = build or partial(build_mosaic, progress=shown)
    found = find_scenes(config.selection)
    layout = period_of(config.mosaic.datetime).layout
    ref = model_ref(config.scene.model)
    _refuse_too_large(found, config, ref)
    store = open_store(config.out, ref, config.scene.grid, period_layout=layout)
    shown.start("scenes", len(found.scenes))
    results = [
        SceneResult(scene=name, status="quarantined", reason=reason)
        for name, reason in found.refused.items()
    ]
    barred = {} if config.retry_quarantined else store.quarantined()
    # Both opened once, not for each scene.
    with computing(config.scene.compute), fetching(config.scene) as fetcher:
        fetcher.expect(_to_read(found.scenes, store, ref, barred))
        process = process or partial(process_scene, progress=shown, fetcher=fetcher)
        for scene in found.scenes:
            reason = barred.get(scene.acquisition.key)
            results.append(_attempt(scene, store, config, process, reason))
            shown.advance("scenes")
    done = tuple(each.product for each in results if each.product)
    if not done:
        return RunResult(tuple(results), None)
    mosaic = config.mosaic.model_copy(update={"products": done})
    return RunResult(tuple(results), build(str(config.out), mosaic))


def _refuse_too_large(found: Found, config: RunConfig, ref: ModelRef) -> None:
    """Refuse scenes still to map that do not fit a worker, before the first is mapped."""
    from deepsalt.products import complete_names, product_name
    from flows.memory import refuse_too_large, worker_memory

    there = complete_names(config.out / "scenes")
    todo = (each for each in found.acquisitions if product_name(each, ref) not in there)
    compute = config.scene.compute
    needed = worker_memory(todo, threads_per_worker(compute), compute.device)
    refuse_too_large(needed, compute)


def _to_read(
    scenes: Iterable[Scene], store: "Store", ref: ModelRef, barred: Container[str]
) -> list[Acquisition]:
    """Return the scenes whose pixels a run will read, in its order."""
    from deepsalt.products import complete_names, product_name

    there = complete_names(store.scenes)
    return [
        scene.acquisition
        for scene in scenes
        if scene.acquisition.key not in barred
        and product_name(scene.acquisition, ref) not in there
        and _withdrawn(store, scene.acquisition) is None
    ]


def _attempt(
    scene: Scene, store: "Store", config: RunConfig, process: Process, barred: str | None
) -> SceneResult:
    """Map a scene unless it is barred; when it can never work, quarantine it with the reason."""
    if withdrawn := _withdrawn(store, scene.acquisition):
        return withdrawn
    key = scene.acquisition.key
    if barred is not None:
        return SceneResult(scene=key, status="quarantined", reason=barred)
    try:
        store.grid.tiles_over(scene.acquisition.grid)  # refused here, or the mosaic would fail
        result = process(scene.item, str(config.out), config.scene)
    except (FormatError, GridError, ReadError) as error:
        if isinstance(error, ReadError) and not is_there(scene.acquisition):
            # A server or a disk may be away for a moment; the next run tries again.
            return SceneResult(scene=key, status="failed", reason=str(error))
        store.quarantine(key, str(error))
        return SceneResult(scene=key, status="quarantined", reason=str(error))
    store.release(key)
    return result


def is_there(acquisition: Acquisition) -> bool:
    """Whether all files of a scene lie on this machine now."""
    return all(Path(asset.href).exists() for asset in acquisition.assets)
