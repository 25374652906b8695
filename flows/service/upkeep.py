"""Upkeep that nobody should have to think of: old runs of the server, scratch of dead processes."""

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterEndTime, FlowRunFilterTags
from prefect.exceptions import ObjectNotFound

from deepsalt.fetch.scratch import remove_leftovers
from flows.config import UpkeepConfig
from flows.service.environment import TAG

_AT_ONCE = 50
"""Runs that one request deletes at most."""

_PAGE = 200

_MOST = 5000
"""Runs that one upkeep deletes; the rest comes with the next."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What an upkeep did.

    Parameters
    ----------
    runs
        Number of old runs that it deleted from the server's database.
    """

    runs: int


def keep_up(client: SyncPrefectClient, config: UpkeepConfig, now: datetime | None = None) -> Upkeep:
    """Delete old runs and the scratch files of processes that have ended.

    The server deletes old runs by itself; its own upkeep was seen to stop silently, so whatever it
    leaves for two days longer is deleted here.

    Parameters
    ----------
    client
        The server.
    config
        How long runs are kept, and where scratch files lie.
    now
        Time, UTC.
    """
    remove_leftovers(config.scratch or Path(tempfile.gettempdir()))
    last = (now or datetime.now(UTC)) - timedelta(days=config.keep_days + config.grace_days)
    old = FlowRunFilter(
        end_time=FlowRunFilterEndTime(before_=last), tags=FlowRunFilterTags(all_=[TAG])
    )
    # The server deletes the logs of a deleted run, but leaves its artifacts to its own upkeep.
    while artifacts := client.read_artifacts(flow_run_filter=old, limit=_PAGE):
        for each in artifacts:
            with suppress(ObjectNotFound):
                client.delete_artifact(each.id)
    told = {"flow_runs": old.model_dump(mode="json", exclude_unset=True), "limit": _AT_ONCE}
    deleted = 0
    while deleted < _MOST:
        answer = client.request("POST", "/flow_runs/bulk_delete", json=told).json()  # type: ignore[arg-type]
        if not answer["deleted"]:
            break
        deleted += len(answer["deleted"])
    return Upkeep(deleted)
