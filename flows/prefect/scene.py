"""Flow `process-scene`: one scene to one scene product, a shell around `flows.run.single_scene`."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from catalog.items import parse_item
from catalog.search.item import item_document
from deepsalt.store import Store
from flows.config import SceneConfig, place_of
from flows.logs import logging_run
from flows.prefect.artifacts import show_scene
from flows.prefect.deadline import end_when_over
from flows.prefect.retries import again
from flows.prefect.submitter import name_of
from flows.publication import link_scene
from flows.watch.bills import map_scene_charged

_WAITS_S = (10, 60, 300)
"""Seconds before each further try."""


def _name() -> str:
    return name_of(flow_run.parameters["item_uri"])


@flow(name="process-scene", flow_run_name=_name, persist_result=False, timeout_seconds=6 * 3600)
def process_scene(
    item_uri: str, out: str, config: SceneConfig | None = None, ledger: str | None = None
) -> dict[str, Any]:
    """Map the salinity of one scene on its own grid into a store, within six hours.

    Parameters
    ----------
    item_uri
        Path or URL of the scene's STAC Item.
    out
        The store: a folder, or s3://, gs:// or az:// and a prefix.
    config
        Settings of the product. Default: the shipped model on local threads.
    ledger
        Database that learns what the scene took. Default: that of the environment, if it has one.

    Returns
    -------
    dict
        The fields of `deepsalt.mapping.SceneReport`.
    """
    end_when_over()
    settings, place = config or SceneConfig(), place_of(out)
    with logging_run(flow_run.get_id()):
        document = again(lambda: item_document(item_uri, settings.access.reach), _WAITS_S)
        scene = parse_item(document)
        report = again(lambda: map_scene_charged(scene, place, settings, ledger=ledger), _WAITS_S)
        if report.product:
            again(lambda: link_scene(Store.open(place), scene, report.product), _WAITS_S)
        found = asdict(report)
        show_scene(Store.open(place), found)
        return found
