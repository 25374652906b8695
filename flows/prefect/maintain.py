"""Flow `maintain`: upkeep of a service, a shell around `flows.service.upkeep`."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.config import UpkeepConfig
from flows.logs import logging_run
from flows.prefect.deadline import end_when_over
from flows.service.upkeep import keep_up


@flow(name="maintain", persist_result=False, timeout_seconds=1800)
def maintain(config: UpkeepConfig | None = None) -> dict[str, Any]:
    """Delete what is old: runs in the server's database, scratch files of dead processes.

    A run is stopped after half an hour; the next one goes on.

    Parameters
    ----------
    config
        How long runs are kept. Default: 30 days.

    Returns
    -------
    dict
        The fields of `flows.service.upkeep.Upkeep`.
    """
    end_when_over()
    with logging_run(flow_run.get_id()), get_client(sync_client=True) as client:
        return asdict(keep_up(client, config or UpkeepConfig()))
