"""Flow `validate`: is the source fresh, and is all well; a shell around `flows.watch.judge`."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from deepsalt.store import Store
from flows.config import ValidateConfig
from flows.logs import logging_run
from flows.prefect.artifacts import show_judgement
from flows.prefect.failures import last_runs
from flows.watch.alerts import tell
from flows.watch.costs import Costs
from flows.watch.database import Database, database_url
from flows.watch.judge import judge, reconcile_if_due
from flows.watch.ledger import Ledger
from flows.watch.watch import Watch


@flow(name="validate", flow_run_name="validate-{config.watch.name}", persist_result=False)
def validate(config: ValidateConfig) -> dict[str, Any]:
    """Judge a watch and its store, and tell people what they should know.

    Parameters
    ----------
    config
        What is judged, and when an operator is told.

    Returns
    -------
    dict
        The fields of `flows.watch.judge.Judgement`, and ``told``: the alerts that were sent.
    """
    now = datetime.now(UTC)
    watch = Watch.of(config.watch)
    with logging_run(flow_run.get_id()), Database(database_url(config.watch.ledger)) as database:
        store = Store.open(config.watch.out)
        ledger = Ledger(database)
        every = timedelta(days=config.reconcile_days)
        compared = reconcile_if_due(watch, store, ledger, now=now, every=every)
        found = judge(
            watch, store, ledger, now=now, quarantined_per_week=config.quarantined_per_week
        )
        with get_client(sync_client=True) as client:
            runs = list(last_runs(client))
        verdicts = [*found.alerts, *runs, *([compared] if compared else [])]
        spent = Costs(database).spent(config.watch.out)
        told = tell(verdicts, database, now=now, every=timedelta(hours=config.repeat_h))
        show_judgement(store, found, spent)
    return asdict(found) | {"told": [asdict(each) for each in told]}
