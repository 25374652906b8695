"""Runs whose process died without a word: a worker and its run killed together, a lost machine.

A run sends a sign of life each `PREFECT_FLOWS_HEARTBEAT_FREQUENCY` seconds. One that sent none for
`BEATS` of them is looked at for as long again before it is ended: a server that was away itself
heard nothing of healthy runs.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventResourceFilter,
)
from prefect.settings import get_current_settings
from prefect.states import Crashed

BEATS = 3
"""Signs of life that may be missing."""

_BEAT = "prefect.flow-run.heartbeat"
_LONGEST_PENDING = timedelta(minutes=10)
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Zombies:
    """What a look at the runs found.

    Parameters
    ----------
    running
        Number of runs that were at work.
    ended
        Ids of the runs that were ended as crashed.
    """

    running: int
    ended: tuple[str, ...]


def end_zombies(wait: Callable[[float], None] = time.sleep) -> Zombies:
    """End runs without a sign of life; their scenes are submitted again by their watch.

    Parameters
    ----------
    wait
        Waits for a number of seconds.
    """
    beat_s = get_current_settings().flows.heartbeat_frequency
    with get_client(sync_client=True) as client:
        running = _runs(client, StateType.RUNNING, StateType.PENDING)
        if beat_s is None or not running:
            return Zombies(len(running), ())
        silence_s = float(BEATS * beat_s)
        silent = _silent(client, running, silence_s)
        if silent:
            wait(silence_s)
            again = {run.id for run in _runs(client, StateType.RUNNING, StateType.PENDING)}
            silent = _silent(client, [run for run in silent if run.id in again], silence_s)
        for run in silent:
            message = f"no sign of life for {2 * silence_s:.0f} s: its process is gone"
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        return Zombies(len(running), tuple(str(run.id) for run in silent))


def _runs(client: SyncPrefectClient, *types: StateType) -> list[FlowRun]:
    ours = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*types])),
        tags=FlowRunFilterTags(all_=["deepsalt"]),
    )
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=ours, limit=_PAGE, offset=len(found)):
        found += page
    return found


def _silent(
    client: SyncPrefectClient, runs: Collection[FlowRun], silence_s: float
) -> list[FlowRun]:
    """Return the runs that are old enough to have sent signs of life, and sent none."""
    now = datetime.now(UTC)
    silence = timedelta(seconds=silence_s)
    old = [run for run in runs if _since(run, now) < now - _allowed(run, silence)]
    heard = _heard(client, [run.id for run in old], now - silence)
    return [run for run in old if run.id not in heard]


def _since(run: FlowRun, now: datetime) -> datetime:
    return now if run.state is None else run.state.timestamp


def _allowed(run: FlowRun, silence: timedelta) -> timedelta:
    pending = run.state is not None and run.state.type is StateType.PENDING
    return max(silence, _LONGEST_PENDING) if pending else silence


def _heard(client: SyncPrefectClient, runs: Collection[UUID], since: datetime) -> set[UUID]:
    """Return which of the runs sent a sign of life."""
    return {run for run in runs if _beats(client, run, since)}


def _beats(client: SyncPrefectClient, run: UUID, since: datetime) -> bool:
    told = EventFilter(
        event=EventNameFilter(name=[_BEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
        occurred=EventOccurredFilter(since=since, until=datetime.now(UTC)),
    )
    return bool(client.read_events(told, limit=1).events)
