"""Flow `process-scene`: one scene to one scene product, a shell around `flows.run.single_scene`."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from catalog.items import parse_item
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import SceneConfig, place_of
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


@flow(name="process-scene", flow_run_name="scene-{item[id]}", persist_result=False)
def process_scene(
    item: dict[str, Any], out: str, config: SceneConfig | None = None
) -> dict[str, Any]:
    """Map the salinity of one scene on its own grid into a store.

    Parameters
    ----------
    item
        STAC Item of the scene.
    out
        The store: a folder, or s3://, gs:// or az:// and a prefix.
    config
        Settings of the product. Default: the shipped model on local threads.

    Returns
    -------
    dict
        The fields of `deepsalt.SceneReport`.
    """
    scene = parse_item(item)
    place = place_of(out)
    report = make_product(scene, place, config or SceneConfig())
    if report["product"]:
        link(scene, place, report["product"])
    return report
