"""A run is ended when it is silent while the server could be heard, and not before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.service.environment import HEARTBEAT_S
from flows.service.zombies import BEATS, PENDING_S, Pulse, end_zombies
from flows.watch.costs import Costs
from flows.watch.database import Database

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
RUN = UUID(int=1)
LONG_S = BEATS * HEARTBEAT_S + 1


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def silent(pulse: Pulse, seconds: float, kind: StateType = StateType.RUNNING) -> bool:
    return bool(pulse.silent([(RUN, kind, BEGAN)], after(seconds)))


def test_a_run_that_is_never_heard_is_silent_after_three_missed_beats() -> None:
    assert [silent(Pulse(BEGAN), LONG_S - 2), silent(Pulse(BEGAN), LONG_S)] == [False, True]


def test_a_run_that_is_heard_is_not_silent_however_long_it_runs() -> None:
    pulse = Pulse(BEGAN)
    for beat in range(1, 100):
        pulse.hear(RUN, after(beat * HEARTBEAT_S))
        assert not silent(pulse, beat * HEARTBEAT_S + 1)


def test_a_run_that_was_heard_and_dies_is_silent() -> None:
    pulse = Pulse(BEGAN)
    pulse.hear(RUN, after(1000))
    assert [silent(pulse, 1000 + LONG_S - 2), silent(pulse, 1000 + LONG_S)] == [False, True]


def test_a_listener_that_has_just_begun_ends_nothing() -> None:
    assert not silent(Pulse(after(9000)), 9001)


def test_a_server_that_was_away_makes_nothing_silent() -> None:
    pulse = Pulse(BEGAN)
    pulse.hear(RUN, after(10))
    pulse.forget(after(LONG_S))
    assert not silent(pulse, LONG_S + 1)


class Server:
    """A server with one run at work, which ended without a word."""

    def __init__(self, run: FlowRun) -> None:
        self.run = run
        self.ended: list[UUID] = []

    def read_flow_runs(self, *, offset: int, **_: object) -> list[FlowRun]:
        return [] if offset else [self.run]

    def set_flow_run_state(self, run: UUID, state: State, force: bool) -> None:
        self.ended.append(run)


def test_what_a_dead_run_took_is_recorded_for_the_budget(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
    began = datetime.now(UTC) - timedelta(hours=1)
    run = FlowRun(
        id=RUN,
        flow_id=UUID(int=2),
        name="scene-one",
        start_time=began,
        state=State(type=StateType.RUNNING, timestamp=began),
        parameters={"item_uri": "one.json", "out": "/store", "ledger": ledger},
    )
    server = Server(run)
    assert end_zombies(cast(SyncPrefectClient, server), Pulse(began)) == server.ended == [RUN]
    with Database(ledger) as database:
        spent = Costs(database).spent("/store")
    assert (spent.runs, spent.scenes) == (1, 1)
    assert spent.worker_s == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(("seconds", "expected"), [(PENDING_S - 1, False), (PENDING_S + 1, True)])
def test_a_run_may_take_ten_minutes_to_start(seconds: float, expected: bool) -> None:
    assert silent(Pulse(BEGAN), seconds, StateType.PENDING) is expected
