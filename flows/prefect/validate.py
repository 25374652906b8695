"""Flow `validate`: is the source fresh, and is all well; a shell around `flows.watch.judge`."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run

from deepsalt.errors import DeepsaltError
from deepsalt.store import Store
from flows.config import ValidateConfig, WatchConfig
from flows.logs import logging_run
from flows.prefect.artifacts import show_judgement
from flows.prefect.deadline import end_when_over
from flows.prefect.failures import last_runs
from flows.watch.alerts import Alert, tell
from flows.watch.costs import Costs
from flows.watch.database import Database, database_url
from flows.watch.judge import Judgement, judge, reconcile_if_due
from flows.watch.ledger import Ledger
from flows.watch.watch import Watch


@flow(
    name="validate",
    flow_run_name="validate-{config.name}",
    persist_result=False,
    timeout_seconds=1800,
)
def validate(config: ValidateConfig) -> dict[str, Any]:
    """Judge the last runs, and a watch with its store, and tell people what they should know.

    What cannot be judged fails the run, after all else was told. A run is stopped after half an
    hour, since the next one does not begin before.

    Parameters
    ----------
    config
        What is judged, and when an operator is told.

    Returns
    -------
    dict
        The fields of `flows.watch.judge.Judgement`, if there is a watch, and ``told``: the alerts
        that were sent.

    Raises
    ------
    RunError
        The store cannot be read, or the database cannot be reached.
    """
    end_when_over()
    now, watch = datetime.now(UTC), config.watch
    verdicts: list[Alert] = []
    failures: list[Exception] = []
    found: Judgement | None = None
    url = database_url(watch.ledger if watch else None)
    with logging_run(flow_run.get_id()), Database(url) as database:
        try:
            with get_client(sync_client=True) as client:
                verdicts += last_runs(client, now)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            failures.append(error)
        if watch:
            try:
                found, alerts = _judged(watch, config, database, now)
                verdicts += [
                    *alerts,
                    Alert("unjudged", watch.out, f"{watch.out} is judged", "well"),
                ]
            except DeepsaltError as error:
                failures.append(error)
                sentence = f"{watch.out} cannot be judged: {error}"
                verdicts.append(Alert("unjudged", watch.out, sentence, "failure"))
        told = tell(verdicts, database, now=now, every=timedelta(hours=config.repeat_h))
        if failures:
            raise failures[0]
        if watch and found:
            show_judgement(Store.open(watch.out), found, Costs(database).spent(watch.out))
    return (asdict(found) if found else {}) | {"told": [asdict(each) for each in told]}


def _judged(
    config: WatchConfig, limits: ValidateConfig, database: Database, now: datetime
) -> tuple[Judgement, list[Alert]]:
    """Return what was judged of a watch and its store, and all verdicts."""
    watch, store, ledger = Watch.of(config), Store.open(config.out), Ledger(database)
    every = timedelta(days=limits.reconcile_days)
    compared = reconcile_if_due(watch, store, ledger, now=now, every=every)
    found = judge(watch, store, ledger, now=now, quarantined_per_week=limits.quarantined_per_week)
    return found, [*found.alerts, *([compared] if compared else [])]
