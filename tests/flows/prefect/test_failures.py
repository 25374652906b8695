"""The last run of each flow that nobody else judges has a verdict."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.prefect.failures import JUDGED, last_runs
from flows.watch.alerts import Alert, open_alerts, tell
from flows.watch.channels import Channels
from flows.watch.database import Database

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FLOW = "build-mosaic"


class Server:
    """A server with runs of `build-mosaic`, which filters and sorts them as asked."""

    def __init__(self, *runs: FlowRun) -> None:
        self.runs = runs

    def read_flow_runs(
        self,
        *,
        flow_filter: FlowFilter,
        flow_run_filter: FlowRunFilter,
        sort: FlowRunSort,
        limit: int,
    ) -> list[FlowRun]:
        told, ended = flow_run_filter.state, flow_run_filter.end_time
        assert flow_filter.name is not None
        assert told is not None
        assert told.type is not None
        assert told.type.any_ is not None
        assert ended is not None
        assert ended.after_ is not None
        assert sort is FlowRunSort.END_TIME_DESC
        found = [
            each
            for each in self.runs
            if each.state and each.state.type in told.type.any_
            if each.end_time and each.end_time >= ended.after_
        ]
        found.sort(key=lambda each: str(each.end_time), reverse=True)
        return found[:limit] if flow_filter.name.any_ == [FLOW] else []


def run(state: StateType, days_ago: float, message: str = "") -> FlowRun:
    return FlowRun(
        flow_id=UUID(int=1),
        name=f"run-{days_ago:g}",
        state=State(type=state, message=message),
        end_time=None if state is StateType.RUNNING else NOW - timedelta(days=days_ago),
    )


def verdicts(*runs: FlowRun) -> dict[str, Alert]:
    server = cast(SyncPrefectClient, Server(*runs))
    return {each.subject: each for each in last_runs(server, NOW)}


@pytest.mark.parametrize("state", [StateType.FAILED, StateType.CRASHED])
def test_a_last_run_that_failed_is_told_with_its_first_line(state: StateType) -> None:
    found = verdicts(run(StateType.COMPLETED, 2), run(state, 1, "the disk is full\nTraceback"))
    assert found[FLOW].severity == "failure"
    assert found[FLOW].sentence == (
        "the last run of build-mosaic, run-1, failed: the disk is full; look at its log"
    )


def test_a_later_run_that_completed_is_well() -> None:
    found = verdicts(run(StateType.FAILED, 2), run(StateType.COMPLETED, 1))
    assert found[FLOW].severity == "well"


@pytest.mark.parametrize("state", [StateType.RUNNING, StateType.CANCELLED])
def test_a_later_run_that_goes_on_or_was_cancelled_takes_nothing_back(state: StateType) -> None:
    found = verdicts(run(StateType.FAILED, 2), run(state, 1))
    assert found[FLOW].severity == "failure"


def test_every_flow_has_a_verdict_even_without_a_run() -> None:
    found = verdicts()
    assert [*found] == [*JUDGED]
    assert {each.severity for each in found.values()} == {"well"}


def test_the_alert_on_a_failure_is_taken_back_once_it_is_a_month_old(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/ledger.sqlite") as database:
        for days_ago, is_open in ((1, True), (31, False)):
            tell(verdicts(run(StateType.FAILED, days_ago)).values(), database, sender=Channels(()))
            assert [each.kind for each in open_alerts(database)] == ["run"] * is_open
