"""Flow `map-scenes`: the scenes of a query to their mosaic, a shell around `flows.run.run`."""

from typing import Any

from prefect import flow

from deepsalt.errors import RunError
from deepsalt.store import Store
from flows.config import RunConfig
from flows.prefect.artifacts import Shown
from flows.prefect.mosaic import announce_mosaic
from flows.run.run import run


@flow(name="map-scenes", flow_run_name="scenes-{config.out}", persist_result=False)
def map_scenes(config: RunConfig) -> dict[str, Any]:
    """Map the scenes of a catalogue that a store does not yet have, and publish its mosaic.

    Completed work is not repeated, so a schedule adds new scenes.

    Parameters
    ----------
    config
        Search, store, and settings of products and mosaic.

    Returns
    -------
    dict
        The fields of `flows.run.run.RunResult`.

    Raises
    ------
    RunError
        No scene could be mapped, or the mosaic could not be exported.
    """
    result = run(config, Shown())
    if result.mosaic:
        announce_mosaic(Store.open(config.out), result.mosaic)
    if result.failure:
        raise RunError(result.failure)
    return result.to_dict()
