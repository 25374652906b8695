"""Flows `watch` and `announce`: new acquisitions to runs, shells around `flows.watch`.

`watch` is one pass over a catalogue; `announce` is the same for one Item that an event told of.
Both submit through the ledger, so a scene that comes by both ways has one run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from catalog.hrefs import without_credentials
from catalog.items import parse_item
from catalog.search.item import item_document
from deepsalt.access import reach_of
from deepsalt.errors import InputError
from deepsalt.model.load import model_ref
from flows.config import WatchConfig
from flows.prefect.submitter import PrefectSubmitter
from flows.run.stores import find_store, open_store
from flows.watch.alerts import tell
from flows.watch.database import Database, database_url
from flows.watch.debounce import build_is_due
from flows.watch.judge import unusable
from flows.watch.ledger import Ledger
from flows.watch.news import Announced
from flows.watch.watch import Watch, Watcher, WatchReport


@flow(name="watch", flow_run_name="watch-{config.name}", persist_result=False)
def watch(config: WatchConfig) -> dict[str, Any]:
    """Submit each acquisition that a catalogue published since the last pass, once.

    Parameters
    ----------
    config
        What is watched, and where the products go.

    Returns
    -------
    dict
        The fields of `flows.watch.watch.WatchReport`, and ``build``: whether a build was started.
    """
    with _opened(config) as (watcher, database):
        report = watcher.pass_over()
        tell([unusable(watcher.watch, report.refused)], database)
        due = build_is_due(watcher.store, watcher.ledger, now=datetime.now(UTC))
    if due and config.build:
        run_deployment(config.build, parameters={"out": config.out}, timeout=0, as_subflow=False)
    return asdict(report) | {"build": due}


@flow(name="announce", flow_run_name="announce-{item_uri}", persist_result=False)
def announce_scene(item_uri: str, config: WatchConfig) -> dict[str, Any]:
    """Submit one acquisition that an event told of, unless it has a run or a product.

    An event of an Item that cannot be used is an alert and changes nothing.

    Parameters
    ----------
    item_uri
        Path or URL of its STAC Item.
    config
        The watch that it belongs to.

    Returns
    -------
    dict
        The fields of `flows.watch.watch.WatchReport`.
    """
    reach = reach_of(config.selection.catalogue, config.selection.allow_hosts)
    with _opened(config) as (watcher, database):
        try:
            told = Announced(parse_item(item_document(item_uri, reach)), item_uri)
        except InputError as error:
            report = WatchReport(seen=1, refused={without_credentials(item_uri): str(error)})
        else:
            report = watcher.announce(told)
        tell([unusable(watcher.watch, report.refused)], database)
    return asdict(report)


@contextmanager
def _opened(config: WatchConfig) -> Iterator[tuple[Watcher, Database]]:
    model = model_ref(config.scene.model)
    store = open_store(config.out, model, config.scene.grid, find_store(config.out))
    parameters = {"out": config.out, "config": config.scene.model_dump(mode="json")}
    with (
        Database(database_url(config.ledger)) as database,
        PrefectSubmitter(config.deployment, parameters) as submitter,
    ):
        yield Watcher(Watch.of(config), store, model, Ledger(database), submitter), database
