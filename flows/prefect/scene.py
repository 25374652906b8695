"""Flow `process-scene`: one scene to one scene product, a shell around `flows.run.single_scene`."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from catalog.items import parse_item
from catalog.search.item import item_document
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import SceneConfig, place_of
from flows.prefect.artifacts import show_scene
from flows.prefect.retries import may_pass
from flows.publication import link_scene
from flows.run.single_scene import map_one


@task(
    name="scene-product",
    retries=3,
    retry_delay_seconds=[10, 60, 300],
    retry_jitter_factor=0.3,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def make_product(scene: Acquisition, out: str, config: SceneConfig) -> dict[str, Any]:
    """Map one scene; see `flows.run.single_scene.map_one`."""
    return asdict(map_one(scene, out, config))


@task(
    name="link",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def link(scene: Acquisition, out: str, product: str) -> None:
    """Link the scene in the store's catalogue; see `flows.publication.link_scene`."""
    link_scene(Store.open(out), scene, product)


@flow(name="process-scene", flow_run_name="scene-{item_uri}", persist_result=False)
def process_scene(item_uri: str, out: str, config: SceneConfig | None = None) -> dict[str, Any]:
    """Map the salinity of one scene on its own grid into a store.

    Parameters
    ----------
    item_uri
        Path or URL of the scene's STAC Item.
    out
        The store: a folder, or s3://, gs:// or az:// and a prefix.
    config
        Settings of the product. Default: the shipped model on local threads.

    Returns
    -------
    dict
        The fields of `deepsalt.SceneReport`.
    """
    config = config or SceneConfig()
    scene = parse_item(item_document(item_uri, config.access.reach))
    place = place_of(out)
    report = make_product(scene, place, config)
    if report["product"]:
        link(scene, place, report["product"])
    show_scene(Store.open(place), report)
    return report
