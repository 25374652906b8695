"""Flow `process-scene`: one scene to one scene product, a shell around `flows.run.single_scene`."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from catalog.items import parse_item
from catalog.search.item import item_document
from deepsalt.store import Store
from flows.config import SceneConfig, place_of
from flows.prefect.retries import again
from flows.prefect.submitter import name_of
from flows.publication import link_scene
from flows.run.single_scene import map_one

_WAITS_S = (10, 60, 300)
"""Seconds before each further try."""


def _name() -> str:
    return name_of(flow_run.parameters["item_uri"])


@flow(name="process-scene", flow_run_name=_name, persist_result=False)
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
    place = place_of(out)
    document = again(lambda: item_document(item_uri, config.access.reach), _WAITS_S)
    scene = parse_item(document)
    report = again(lambda: map_one(scene, place, config), _WAITS_S)
    if report.product:
        again(lambda: link_scene(Store.open(place), scene, report.product), _WAITS_S)
    return asdict(report)
