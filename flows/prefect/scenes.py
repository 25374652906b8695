"""Flow `map-scenes`: the scenes of a query to their mosaic, a shell around `flows.run.run`."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from deepsalt.errors import RunError
from deepsalt.store import Store
from flows.config import RunConfig
from flows.logs import logging_run
from flows.prefect.artifacts import Shown
from flows.prefect.mosaic import announce_mosaic
from flows.watch.bills import run_charged


@flow(name="map-scenes", flow_run_name="scenes-{config.out}", persist_result=False)
def map_scenes(config: RunConfig, ledger: str | None = None) -> dict[str, Any]:
    """Map the scenes of a catalogue that a store does not yet have, and publish its mosaic.

    Completed work is not repeated, so a schedule adds new scenes.

    Parameters
    ----------
    config
        Search, store, and settings of products and mosaic.
    ledger
        Database that learns what the run took. Default: that of the environment, if it has one.

    Returns
    -------
    dict
        The fields of `flows.run.result.RunResult`.

    Raises
    ------
    RunError
        No scene could be mapped, or the mosaic could not be exported.
    """
    run_id = str(flow_run.get_id())
    with logging_run(run_id):
        result = run_charged(config, name=run_id, ledger=ledger, progress=Shown())
        if result.mosaic:
            announce_mosaic(Store.open(config.out), result.mosaic, ledger)
    if result.failure:
        raise RunError(result.failure)
    return result.to_dict()
