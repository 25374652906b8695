"""Stage 1: a scene to a product on the scene's own grid, mapped here and then written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from deepsalt.types import Acquisition, ModelRef
from flows.compute import computing
from flows.config import SceneConfig
from flows.fetching import fetching
from flows.progress import Progress, Silent, chunk_bar
from flows.stores import open_store

if TYPE_CHECKING:
    import xarray as xr

    from deepsalt.products import ProductMarker
    from deepsalt.store import Store


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
    by_flag
        Pixels per `QualityFlag` bit, lower case.
    items
        Keys of the STAC Items of the product and of what it was made of.
    reason
        Why a scene is withdrawn, quarantined or failed.
    """

    scene: str
    status: str
    product: str = ""
    pixels: int = 0
    estimated: int = 0
    by_flag: dict[str, int] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    reason: str | None = None


Finish = Callable[[], SceneResult]
"""Writes what was mapped and returns what became of the scene; touches nothing but the store."""


def process_scene(
    item: dict[str, Any],
    out: str,
    config: SceneConfig,
    progress: Progress | None = None,
) -> SceneResult:
    """Map one scene on its own grid into the store; at once when that was done before.

    Its Items are written and not linked yet. Parameters and errors are those of `map_scene`.
    """
    return map_scene(item, out, config, progress)()


def map_scene(
    item: dict[str, Any],
    out: str,
    config: SceneConfig,
    progress: Progress | None = None,
) -> Finish:
    """Map one scene on its own grid into memory; what is returned writes it.

    Parameters
    ----------
    item
        STAC Item of the scene.
    out
        The store; made when it does not exist.
    config
        Model, and what computes.
    progress
        Told about chunks when they are computed in this process.

    Raises
    ------
    InputError
        A scene that cannot be used.
    ReadError
        Pixels that cannot be read.
    StoreError
        A store that cannot be written, or is of another model or grid; also by what is returned.
    """
    from catalog.items import parse_item
    from deepsalt.checksums import verified
    from deepsalt.cube.load import open_scene
    from deepsalt.cube.quality import mark_valid
    from deepsalt.model.load import model_ref
    from deepsalt.predict import predict_cube
    from deepsalt.products import check_layers, find_marker, product_name

    acquisition = parse_item(item)
    ref = model_ref(config.model)
    store = open_store(out, ref, config.grid)
    if gone := withdrawn(store, acquisition):
        return lambda: gone
    if marker := find_marker(store, product_name(acquisition, ref)):
        done = _result(acquisition, "present", marker, ())
        return lambda: done
    with (
        fetching(config) as files,
        files.local(acquisition) as here,
        verified(acquisition),
        computing(config.compute),
    ):
        layers = predict_cube(mark_valid(open_scene(here)), ref, device=config.compute.device)
        check_layers(layers, acquisition)
        with chunk_bar(
            progress or Silent(), acquisition.acquisition_id, layers["quality_flags"].data
        ):
            computed = layers.compute()
    return partial(_finish, store, acquisition, ref, computed)


def _finish(
    store: "Store", acquisition: Acquisition, ref: ModelRef, layers: "xr.Dataset"
) -> SceneResult:
    """Write a product and its Items, and let it count."""
    from deepsalt.products import mark_done, write_product
    from flows.publication import write_items

    marker = write_product(
        layers, store, acquisition, ref, attrs={"simulated": acquisition.simulated}
    )
    items = write_items(store, marker, acquisition, ref)
    return _result(acquisition, "written", mark_done(store, marker), items)


def withdrawn(store: "Store", acquisition: Acquisition) -> SceneResult | None:
    """Return the result of a scene that an operator took out; None of any other."""
    from deepsalt.store import tombstone

    record = tombstone(store, (acquisition.collection, acquisition.acquisition_id))
    if record is None or not record.covers(acquisition.version):
        return None
    return SceneResult(scene=acquisition.key, status="withdrawn", reason=str(record))


def _result(
    acquisition: Acquisition, status: str, marker: "ProductMarker", items: tuple[str, ...]
) -> SceneResult:
    from flows.publication import items_of

    return SceneResult(
        scene=acquisition.key,
        status=status,
        product=marker.name,
        pixels=marker.report.pixels,
        estimated=marker.report.estimated,
        by_flag=dict(marker.report.by_flag),
        items=items or items_of(marker),
    )
