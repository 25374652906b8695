"""Runs that nobody else judges: builds, backfills, trainings, upkeep."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterStartTime,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.watch.alerts import Alert

JUDGED = ("build-mosaic", "map-scenes", "backfill", "train-model", "maintain")
"""Flows whose last run is judged; a watch judges the runs of its scenes by itself."""

_TAG = "deepsalt"
_RECENT = timedelta(days=30)
_BAD = (StateType.FAILED, StateType.CRASHED)


def last_runs(client: SyncPrefectClient, now: datetime | None = None) -> Iterator[Alert]:
    """Yield a verdict on the last run of each flow that has ended.

    Parameters
    ----------
    client
        The server.
    now
        Time, UTC.
    """
    since = (now or datetime.now(UTC)) - _RECENT
    for flow in JUDGED:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[_TAG]),
                start_time=FlowRunFilterStartTime(after_=since),
                end_time=FlowRunFilterEndTime(is_null_=False),
            ),
            sort=FlowRunSort.END_TIME_DESC,
            limit=1,
        )
        for run in found:
            state = run.state
            if state is not None and state.type in _BAD:
                said = (state.message or state.name or "").strip().partition("\n")[0][:300]
                sentence = f"the last run of {flow}, {run.name}, failed: {said}; look at its log"
                yield Alert("run", flow, sentence, "failure")
            else:
                yield Alert("run", flow, f"the last run of {flow} is well", "well")
