"""Flow `build-mosaic`: scene products to a mosaic; a shell around `flows.run.mosaic`."""

import logging
from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from deepsalt.errors import DeepsaltError, StoreError
from deepsalt.store import Store
from flows.config import MosaicConfig, place_of
from flows.logs import logging_run
from flows.prefect.artifacts import show_mosaic
from flows.prefect.deadline import end_when_over
from flows.prefect.retries import may_pass
from flows.run import mosaic
from flows.run.mosaic import MosaicResult, build_at
from flows.watch.alerts import tell
from flows.watch.bills import build_charged
from flows.watch.database import Database, database_url
from flows.watch.judge import held_back

logger = logging.getLogger(__name__)

_TWICE_MORE: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [10, 60],
    "retry_condition_fn": may_pass,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(name="mosaic", **_TWICE_MORE)
def make_mosaic(out: str, config: MosaicConfig) -> MosaicResult:
    """Composite and publish; see `flows.run.mosaic.build_at`."""
    return build_at(out, config)


@task(name="export", **_TWICE_MORE)
def export_after_build(out: str, result: MosaicResult, config: MosaicConfig) -> MosaicResult:
    """Write what was published as plain Zarr; see `flows.run.mosaic.export_after_build`."""
    exported = mosaic.export_after_build(Store.open(out), result, config.export)
    if exported.export_failed:
        raise StoreError(exported.export_failed)
    return exported


@flow(
    name="build-mosaic",
    flow_run_name="mosaic-{out}",
    persist_result=False,
    timeout_seconds=3 * 24 * 3600,
)
def build_mosaic(
    out: str, config: MosaicConfig | None = None, ledger: str | None = None
) -> dict[str, Any]:
    """Composite the complete scene products of a store, publish the mosaic and export it.

    A build that takes more than three days is stopped, and the next one begins anew.

    Parameters
    ----------
    out
        The store: a folder, or s3://, gs:// or az:// and a prefix.
    config
        Grid, period and export. Default: the store's grid; EPSG:6933 at 30 m for a new store.
    ledger
        Database that learns what the build took. Default: that of the environment, if it has one.

    Returns
    -------
    dict
        The fields of `flows.run.mosaic.MosaicResult`.
    """
    end_when_over()
    settings = config or MosaicConfig()
    place, run_id = place_of(out), str(flow_run.get_id())
    with logging_run(run_id):
        built = build_charged(
            lambda: export_after_build(place, make_mosaic(place, settings), settings),
            place,
            settings,
            name=run_id,
            ledger=ledger,
        )
        announce_mosaic(Store.open(place), built, ledger)
    return asdict(built)


def announce_mosaic(store: Store, result: MosaicResult, ledger: str | None = None) -> None:
    """Show a version on the page of the run, and tell the operator of one that is held.

    The version is built: a failure is a warning.
    """
    show_mosaic(store, result)
    if not result.held:
        return
    try:
        with Database(database_url(ledger)) as database:
            tell([held_back(store)], database)
    except DeepsaltError as error:
        logger.warning("nobody was told of version %s: %s", result.version, error)
