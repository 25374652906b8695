"""Flow `process-scene`: one scene to one scene product. A thin shell around `flows.stage1`."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import stage1
from flows.config import SceneConfig, place_of
from flows.publication import link_scene
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


@task(
    name="link",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def link(out: str, keys: tuple[str, ...]) -> None:
    """Let the store's catalogue link the scene; see `flows.publication.link_scene`."""
    link_scene(out, keys)


@flow(name="process-scene", flow_run_name="scene-{item[id]}", persist_result=False)
def process_scene(
    item: dict[str, Any], out: str, config: SceneConfig | None = None, *, linked: bool = True
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
    linked
        Whether the store's catalogue is to link the scene; a run over many does so at its end.

    Returns
    -------
    dict
        The fields of `flows.stage1.SceneResult`.
    """
    result = make_product(item, place_of(out), config or SceneConfig())
    if linked:
        link(place_of(out), result.items)
    return asdict(result)
