"""Flow `process-scene`: one scene to one scene product. A thin shell around `flows.stage1`."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import stage1
from flows.config import SceneConfig, place_of
from flows.retries import may_pass


@task(
    name="scene-product",
    retries=3,
    retry_delay_seconds=[10, 60, 300],
    retry_jitter_factor=0.3,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def make_product(item: dict[str, Any], out: str, config: SceneConfig) -> stage1.SceneResult:
    """Map one scene; see `flows.stage1.process_scene`."""
    return stage1.process_scene(item, out, config)


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
        What shapes the product; the shipped model on local threads without it.

    Returns
    -------
    dict
        The fields of `flows.stage1.SceneResult`.
    """
    return asdict(make_product(item, place_of(out), config or SceneConfig()))
