"""An archive, batch by batch, as far as a budget goes."""

from dataclasses import dataclass
from datetime import UTC, datetime

from deepsalt.progress import Progress
from flows.config import BudgetConfig, RunConfig
from flows.run.result import RunResult
from flows.watch.bills import run_charged
from flows.watch.budget import Budget
from flows.watch.database import Database, database_url


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What a backfill did.

    Parameters
    ----------
    mapped
        Number of scenes that it mapped.
    failed
        Number of scenes that it could not map.
    left
        Number of scenes that it did not come to.
    stopped
        Why it ended before all were done; empty if it did not.
    version
        Id of the mosaic that has them; empty if there is none.
    """

    mapped: int
    failed: int
    left: int
    stopped: str
    version: str


def backfill(
    config: RunConfig,
    budget: BudgetConfig,
    *,
    name: str,
    batch: int = 200,
    progress: Progress | None = None,
) -> Backfilled:
    """Map the scenes of a query that a store does not have, until they or the budget are at an end.

    What a batch took is known before the next one begins, so a wrong estimate costs one batch.

    Parameters
    ----------
    config
        The query, the store, and the settings of products and mosaic.
    budget
        What all runs into the store may take.
    name
        Name of the backfill in costs and messages.
    batch
        Scenes per batch.
    progress
        Receives progress on scenes, chunks and tiles.

    Raises
    ------
    UsageError
        The query finds nothing usable.
    RunError
        Workers are lost, or the database does not answer.
    StoreError
        The store cannot be written.
    """
    url = database_url()
    mapped = failed = 0
    left, stopped, version = 0, "", ""
    with Database(url) as database:
        purse_of = Budget(name, config.out, budget, config.scene, database)
        while True:
            most, stopped = purse_of.open(datetime.now(UTC)).room(batch)
            if not most:
                break
            some = config.model_copy(update={"most": most})
            result = run_charged(some, name=name, progress=progress)
            mapped += _count(result, "written")
            failed += _count(result, "failed")
            left = result.left
            version = result.mosaic.version if result.mosaic else version
            if not left or not _count(result, "written"):
                stopped = "" if not left else "no scene of a batch could be mapped"
                break
    return Backfilled(mapped, failed, left, stopped, version)


def _count(result: RunResult, status: str) -> int:
    return sum(each.status == status for each in result.scenes)
