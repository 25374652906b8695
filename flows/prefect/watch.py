"""Flow `watch`: one pass over a catalogue, a shell around `flows.watch`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.deployments import run_deployment
from prefect.runtime import flow_run

from deepsalt.access import reach_of
from deepsalt.model.load import model_ref
from flows.config import Access, SceneConfig, WatchConfig
from flows.logs import logging_run
from flows.prefect.deadline import end_when_over
from flows.prefect.submitter import PrefectSubmitter
from flows.run.stores import find_store, open_store
from flows.watch.alerts import tell
from flows.watch.budget import Budget
from flows.watch.database import Database, database_url, url_for_runs
from flows.watch.debounce import build_is_due, say_built
from flows.watch.judge import out_of_budget, unusable
from flows.watch.ledger import Ledger
from flows.watch.watch import Watch, Watcher


@flow(name="watch", flow_run_name="watch-{config.name}", persist_result=False, timeout_seconds=3600)
def watch(config: WatchConfig) -> dict[str, Any]:
    """Submit each acquisition that a catalogue published since the last pass, once.

    Parameters
    ----------
    config
        What is watched, and where the products go.

    Returns
    -------
    dict
        The fields of `flows.watch.watch.WatchReport`, and ``build``: whether a build was due.
    """
    end_when_over()
    with logging_run(flow_run.get_id()), opened(config) as (watcher, database):
        report = watcher.pass_over()
        verdicts = [unusable(watcher.watch, report.refused)]
        tell([*verdicts, out_of_budget(watcher.watch, report.stopped)], database)
        now = datetime.now(UTC)
        due = build_is_due(watcher.store, watcher.ledger, now=now)
        if due and config.build:
            run_deployment(
                config.build,
                parameters={"out": config.out},
                flow_run_name=f"mosaic-{config.out}",
                timeout=0,
                as_subflow=False,
            )
            say_built(watcher.store, watcher.ledger, now=now)
    return asdict(report) | {"build": due}


def scene_of(config: WatchConfig) -> SceneConfig:
    """Return the settings of a watch's scenes, which may refer to what its catalogue may.

    Raises
    ------
    UsageError
        An allowed host is not a name, or the catalogue's URL has no host.
    """
    given = config.scene.access
    found = Access.of(reach_of(config.selection.catalogue, config.selection.allow_hosts))
    access = Access(
        networks=tuple(sorted({*given.networks, *found.networks})),
        allow_hosts=tuple(sorted({*given.allow_hosts, *found.allow_hosts})),
    )
    return config.scene.model_copy(update={"access": access})


@contextmanager
def opened(config: WatchConfig) -> Iterator[tuple[Watcher, Database]]:
    """Yield the watcher of a configuration and its database; a store that is missing is created.

    Raises
    ------
    UsageError
        The model, the store's place or the deployment does not exist.
    RunError
        Server, database or store do not answer.
    """
    model = model_ref(config.scene.model)
    store = open_store(config.out, model, config.scene.grid, find_store(config.out))
    parameters = {
        "out": config.out,
        "config": scene_of(config).model_dump(mode="json", exclude_defaults=True),
        "ledger": url_for_runs(config.ledger),
    }
    with (
        Database(database_url(config.ledger)) as database,
        PrefectSubmitter(config.deployment, parameters) as submitter,
    ):
        ledger, budget = Ledger(database), None
        if config.budget is not None:
            budget = Budget(config.name, str(store), config.budget, config.scene, database)
        yield Watcher(Watch.of(config), store, model, ledger, submitter, budget), database
