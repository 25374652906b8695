"""Runs that nobody else judges: builds, backfills, trainings, upkeep."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.watch.alerts import Alert

JUDGED = ("build-mosaic", "map-scenes", "backfill", "train-model", "maintain")
"""Flows whose last run is judged; a watch judges the runs of its scenes by itself."""

_TAG = "deepsalt"
_RECENT = timedelta(days=30)
_BAD = [StateType.FAILED, StateType.CRASHED]
_TELLING = FlowRunFilterStateType(any_=[StateType.COMPLETED, *_BAD])
"""A run that was cancelled says nothing; one that crashed may never have started."""


def last_runs(client: SyncPrefectClient, now: datetime | None = None) -> Iterator[Alert]:
    """Yield a verdict on the last run of each flow that ended; a flow without one is well.

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
                state=FlowRunFilterState(type=_TELLING),
                end_time=FlowRunFilterEndTime(after_=since),
            ),
            sort=FlowRunSort.END_TIME_DESC,
            limit=1,
        )
        yield _verdict(flow, found[0] if found else None)


def _verdict(flow: str, run: FlowRun | None) -> Alert:
    if run is None:  # an alert on an older one would stay for ever
        return Alert("run", flow, f"{flow} has no run of the last {_RECENT.days} days", "well")
    state = run.state
    if state is None or state.type not in _BAD:
        return Alert("run", flow, f"the last run of {flow} is well", "well")
    said = (state.message or state.name or "").strip().partition("\n")[0][:300]
    sentence = f"the last run of {flow}, {run.name}, failed: {said}; look at its log"
    return Alert("run", flow, sentence, "failure")
