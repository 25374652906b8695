"""Flow `watch`: one pass over a catalogue, a shell around `flows.watch.watch.pass_over`."""

from dataclasses import asdict
from typing import Any

from prefect import flow

from deepsalt.model.load import model_ref
from flows.config import WatchConfig
from flows.prefect.submitter import PrefectSubmitter
from flows.run.stores import find_store, open_store
from flows.watch.ledger import Ledger
from flows.watch.watch import Watch, pass_over


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
        The fields of `flows.watch.watch.WatchReport`.
    """
    model = model_ref(config.scene.model)
    store = open_store(config.out, model, config.scene.grid, find_store(config.out))
    parameters = {"out": config.out, "config": config.scene.model_dump(mode="json")}
    ledger = Ledger(config.ledger)
    try:
        with PrefectSubmitter(config.deployment, parameters) as submitter:
            return asdict(pass_over(Watch.of(config), store, model, ledger, submitter))
    finally:
        ledger.close()
