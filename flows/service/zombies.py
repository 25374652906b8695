"""Runs whose process died without a word: a worker and its run killed together, a lost machine.

A run sends a sign of life each `HEARTBEAT_S` seconds, which the listener hears. One that is silent
for `BEATS` of them while the server could be heard is ended as crashed, and its scene is submitted
again by its watch. The signs are not written into the server's database, where each takes 8 kB.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from flows.config import place_of
from flows.service.environment import HEARTBEAT_S, TAG
from flows.watch.costs import Amounts, Cost, record

logger = logging.getLogger(__name__)

BEAT = "prefect.flow-run.heartbeat"
"""Event that is a run's sign of life; its resource names the run."""

BEATS = 3
"""Signs of life that may be missing."""

PENDING_S = 600.0
"""Seconds that a run may take to start after a worker took it."""

_PAGE = 200


class Pulse:
    """Signs of life of runs, and since when we could hear any.

    Parameters
    ----------
    now
        Time at which we begin to listen, UTC.
    """

    def __init__(self, now: datetime) -> None:
        self._since = now
        self._heard: dict[UUID, datetime] = {}

    def hear(self, run: UUID, now: datetime) -> None:
        """Remember a sign of life."""
        self._heard[run] = now

    def forget(self, now: datetime) -> None:
        """Begin again: the server was away, and so was what healthy runs sent."""
        self._since = now
        self._heard.clear()

    def silent(self, runs: Iterable[tuple[UUID, StateType, datetime]], now: datetime) -> list[UUID]:
        """Return the runs that should have been heard, and were not.

        Parameters
        ----------
        runs
            Runs at work: id, type of state, and since when.
        now
            Time, UTC.
        """
        found = []
        kept: dict[UUID, datetime] = {}
        for run, kind, began in runs:
            allowed_s = PENDING_S if kind is StateType.PENDING else float(BEATS * HEARTBEAT_S)
            last = max(began, self._since, self._heard.get(run, began))
            if run in self._heard:
                kept[run] = self._heard[run]
            if (now - last).total_seconds() > allowed_s:
                found.append(run)
        self._heard = kept
        return found


def end_zombies(client: SyncPrefectClient, pulse: Pulse) -> list[UUID]:
    """End the runs that are silent; return their ids.

    A server that does not answer ends nothing: the listener begins to wait anew.
    """
    now = datetime.now(UTC)
    try:
        runs = _at_work(client)
        ended = pulse.silent(
            [(run.id, run.state.type, run.state.timestamp) for run in runs if run.state], now
        )
        for run in runs:
            if run.id in ended:
                message = f"no sign of life for {BEATS * HEARTBEAT_S} s: its process is gone"
                with suppress(ObjectNotFound):  # somebody deleted it meanwhile
                    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                logger.warning("run %s: %s", run.id, message)
                _charge(run, now)
    except (httpx.HTTPError, PrefectHTTPStatusError):
        pulse.forget(now)
        return []
    return ended


def _at_work(client: SyncPrefectClient) -> list[FlowRun]:
    kinds = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    ours = FlowRunFilter(state=FlowRunFilterState(type=kinds), tags=FlowRunFilterTags(all_=[TAG]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=ours, limit=_PAGE, offset=len(found)):
        found += page
    return found


def _charge(run: FlowRun, now: datetime) -> None:
    """Record what a scene took whose process could not: a budget counts its worker's time."""
    out = run.parameters.get("out")
    if not out or run.start_time is None or "item_uri" not in run.parameters:
        return
    amounts = Amounts(runs=1, scenes=1, worker_s=(now - run.start_time).total_seconds())
    cost = Cost(place_of(out), "process-scene", run.name, "failed", now, amounts)
    record([cost], run.parameters.get("ledger"))
