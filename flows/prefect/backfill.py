"""Flow `backfill`: an archive as far as a budget goes, a shell around `flows.watch.backfill`."""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.config import BudgetConfig, RunConfig
from flows.logs import logging_run
from flows.prefect.artifacts import Shown
from flows.watch.backfill import backfill


@flow(name="backfill", flow_run_name="backfill-{config.out}", persist_result=False)
def backfill_archive(config: RunConfig, budget: BudgetConfig, batch: int = 200) -> dict[str, Any]:
    """Map the scenes of a query that a store does not have, until they or the budget are at an end.

    Parameters
    ----------
    config
        Search, store, and settings of products and mosaic.
    budget
        What all runs into the store may take: scenes, GB, hours or money.
    batch
        Number of scenes per batch; the mosaic is published after each.

    Returns
    -------
    dict
        The fields of `flows.watch.backfill.Backfilled`.
    """
    run_id = str(flow_run.get_id())
    with logging_run(run_id):
        return asdict(backfill(config, budget, name=run_id, batch=batch, progress=Shown()))
