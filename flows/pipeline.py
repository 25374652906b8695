"""What a run does, free of Prefect.

`run` searches, maps every scene and builds the mosaic. The two stages are handed in as callables,
so that the command (directly) and the Prefect flows (one flow run per scene and mosaic) do the
same work in the same order.
"""

from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import FormatError, GridError, ReadError
from deepsalt.types import Acquisition, Report
from flows.compute import computing
from flows.config import MosaicConfig, RunConfig, SceneConfig
from flows.fetching import fetching
from flows.progress import Progress, Silent, chunk_bar
from flows.selection import Scene, find_scenes
from flows.stores import open_store, period_of, refuse_other_grid

if TYPE_CHECKING:
    from deepsalt.fetch import Fetcher
    from deepsalt.store import Store
    from deepsalt.types import ModelRef


@dataclass(frozen=True)
class SceneResult:
    """What became of one scene.

    Parameters
    ----------
    scene
        Scene key.
    status
        ``written``, ``present`` (was complete before), ``quarantined`` (can never work) or
        ``failed`` (may work another time).
    product
        Name of the scene product; empty when there is none.
    pixels, estimated
        Pixels of the scene, and those with an estimate.
    by_basis
        Pixels per `Basis` bit, lower case.
    reason
        Why a scene is quarantined or failed.
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
        """Exit code: 0 all done, 1 nothing could be mapped, 3 some scenes are left out."""
        if self.mosaic is None:
            return 1
        return 0 if all(scene.product for scene in self.scenes) else 3


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
    name = product_name(acquisition, ref)
    path = store.scenes / f"{name}.zarr"
    status = "present" if is_complete(path) else "written"
    if status == "written":
        with (
            fetching(config, fetcher) as files,
            files.local(acquisition) as here,
            computing(config.compute),
        ):
            layers = predict_cube(mark_valid(open_scene(here)), ref)
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
    from deepsalt.mosaic import all_sets, begin_build, compose_tile, united_sets
    from deepsalt.store import Store
    from flows.publication import publish_mosaic

    shown = progress or Silent()
    store = Store.open(out)
    refuse_other_grid(store, config.grid)
    period = period_of(config.datetime)
    sets = (
        all_sets(store) if config.products is None else united_sets(store, period, config.products)
    )
    with begin_build(store, sets) as build:
        shown.start("tiles", len(build.tasks))
        with computing(config.compute) as executor:
            for done in as_completed([executor.submit(compose_tile, task) for task in build.tasks]):
                done.result()
                shown.advance("tiles")
        version = build.publish()
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
        The search finds nothing that can be used.
    StoreError
        The store cannot be written, or is of another grid or model.
    """
    from deepsalt.model.load import model_ref

    shown = progress or Silent()
    build = build or partial(build_mosaic, progress=shown)
    found = find_scenes(config.selection)
    layout = period_of(config.mosaic.datetime).layout
    ref = model_ref(config.scene.model)
    store = open_store(config.out, ref, config.scene.grid, period_layout=layout)
    shown.start("scenes", len(found.scenes))
    results = [
        SceneResult(scene=name, status="quarantined", reason=reason)
        for name, reason in found.refused.items()
    ]
    with fetching(config.scene) as fetcher:
        fetcher.expect(_to_read(found.scenes, store, config, ref))
        process = process or partial(process_scene, progress=shown, fetcher=fetcher)
        for scene in found.scenes:
            results.append(_attempt(scene, store, config, process))
            shown.advance("scenes")
    done = tuple(each.product for each in results if each.product)
    if not done:
        return RunResult(tuple(results), None)
    mosaic = config.mosaic.model_copy(update={"products": done})
    return RunResult(tuple(results), build(str(config.out), mosaic))


def _to_read(
    scenes: tuple[Scene, ...], store: "Store", config: RunConfig, ref: "ModelRef"
) -> list[Acquisition]:
    """Return the scenes whose pixels a run will read, in its order."""
    from deepsalt.products import is_complete, product_name

    left_out = set() if config.retry_quarantined else set(store.quarantined())
    return [
        scene.acquisition
        for scene in scenes
        if scene.acquisition.key not in left_out
        and not is_complete(store.scenes / f"{product_name(scene.acquisition, ref)}.zarr")
    ]


def _attempt(scene: Scene, store: "Store", config: RunConfig, process: Process) -> SceneResult:
    """Map a scene; when it can never work, quarantine it with the reason."""
    key = scene.acquisition.key
    if not config.retry_quarantined and key in store.quarantined():
        return SceneResult(scene=key, status="quarantined", reason=store.quarantined()[key])
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
