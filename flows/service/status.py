"""How a service stands: runs, alerts, budgets, news, mosaics, and what comes next."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy.engine import make_url

from deepsalt.errors import DeepsaltError
from deepsalt.store import Store, quarantined
from deepsalt.versions import filled_periods, find_repository, states
from flows.run.stores import find_store
from flows.service.config import ServiceConfig
from flows.service.environment import PASSWORD_VARIABLE, TAG, database_of
from flows.watch.alerts import Alert, open_alerts
from flows.watch.budget import Standing, standings
from flows.watch.database import Database
from flows.watch.ledger import Ledger
from flows.watch.reconcile import undecided

_SHOWN = 10
_RECENT = timedelta(days=1)
_PATIENCE_S = 10.0
_LONGEST = 500  # of a message: what to do stands at its end
_PREAMBLE = "Flow run encountered an exception: "
_OWN = re.compile(r"(scene|watch|mosaic)-")  # runs that we name when we submit them


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the server.

    Parameters
    ----------
    name, state
        Its name, or its deployment's while it has none of its own, and the name of its state.
    when
        When it began, ended or is expected, UTC.
    message
        What the server says of it; empty if nothing.
    """

    name: str
    state: str
    when: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A mosaic that readers see.

    Parameters
    ----------
    period
        First and last day, or ``all``.
    version
        Id of the version.
    created
        When it was made, UTC.
    tiles
        Number of tiles with data.
    """

    period: str
    version: str
    created: datetime
    tiles: int


@dataclass
class Status:
    """How a service stands.

    Parameters
    ----------
    server
        Address of the server.
    away
        Why the server could not be asked; empty if it answered.
    queued
        Number of runs that wait for a worker.
    at_work, failed, coming
        Runs at work, those that failed within a day (up to 10 of `failures`), and the next ones.
    failures
        Number of runs that failed within a day.
    alerts
        What a person should know, the oldest first.
    budgets
        How each budget stood when its watch looked last.
    submissions
        Number of scenes by what became of them.
    news
        When the newest acquisition of each collection was announced, UTC.
    proposals
        Number of acquisitions that are proposed for withdrawal.
    quarantined
        Number of scenes that can never work.
    mosaics
        What readers see.
    held
        Ids of versions that wait for a person.
    unknown
        What could not be found out, and why.
    """

    server: str
    away: str = ""
    queued: int = 0
    at_work: list[Run] = field(default_factory=list)
    failed: list[Run] = field(default_factory=list)
    failures: int = 0
    coming: list[Run] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    budgets: list[Standing] = field(default_factory=list)
    submissions: dict[str, int] = field(default_factory=dict)
    news: dict[str, datetime] = field(default_factory=dict)
    proposals: int = 0
    quarantined: int = 0
    mosaics: list[Published] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def status_of(config: ServiceConfig) -> Status:
    """Return how a service stands; what cannot be asked is said, and the rest is there.

    Parameters
    ----------
    config
        The service.
    """
    status = Status(server=config.pages)
    _ask_server(config, status)
    for part in (_ask_ledger, _look_at_store):
        try:
            part(config, status)
        except DeepsaltError as error:
            status.unknown.append(str(error))
    return status


def _ask_server(config: ServiceConfig, status: Status) -> None:
    told = os.environ.get(PASSWORD_VARIABLE, "")  # PREFECT_API_AUTH_STRING may be another server's
    user, _, password = told.partition(":")
    login = httpx.BasicAuth(user, password) if told else None
    with httpx.Client(base_url=config.api, timeout=_PATIENCE_S, auth=login) as client:
        try:
            now = datetime.now(UTC)
            names = _deployments(client)
            due = _filter(["SCHEDULED"])
            due["flow_runs"]["expected_start_time"] = {"before_": now.isoformat()}
            status.queued = _post(client, "count", due)
            at_work = _filter(["RUNNING", "PENDING"])
            status.at_work = _runs(client, at_work, "START_TIME_DESC", names)
            failed = _filter(["FAILED", "CRASHED"])
            failed["flow_runs"]["end_time"] = {"after_": (now - _RECENT).isoformat()}
            status.failures = _post(client, "count", failed)
            status.failed = _runs(client, failed, "END_TIME_DESC", names)
            later = _filter(["SCHEDULED"])
            later["flow_runs"]["expected_start_time"] = {"after_": now.isoformat()}
            status.coming = _next_of_each(client, later, names)
        except (KeyError, TypeError, ValueError):  # some other program's words
            status.away = (
                f"{config.pages} is not the server of a service; stop what listens there, or give "
                "the port of the service"
            )
        except httpx.HTTPStatusError as error:
            status.away = f"{config.pages} {_refusal(error.response)}"
        except httpx.HTTPError as error:
            status.away = (
                f"{config.pages} does not answer ({type(error).__name__}); start it with "
                "`deepsalt serve`"
            )


def _refusal(answer: httpx.Response) -> str:
    code = answer.status_code
    if code in {401, 403}:
        return f"wants its password ({code}); set {PASSWORD_VARIABLE} to it"
    if answer.is_client_error:
        return f"refuses to answer ({code}); run the version of deepsalt that started it"
    return f"does not answer properly ({code}); look at its log"


def _filter(types: list[str]) -> dict[str, Any]:
    return {"flow_runs": {"state": {"type": {"any_": types}}, "tags": {"all_": [TAG]}}}


def _post(client: httpx.Client, verb: str, document: Mapping[str, Any]) -> Any:
    answer = client.post(f"/flow_runs/{verb}", json=dict(document))
    answer.raise_for_status()
    return answer.json()


def _deployments(client: httpx.Client) -> dict[str, str]:
    """Return flow and name of each deployment of ours, by its id."""
    answer = client.post("/deployments/filter", json={"deployments": {"tags": {"all_": [TAG]}}})
    answer.raise_for_status()
    flows = client.post("/flows/filter", json={"deployments": {"tags": {"all_": [TAG]}}})
    flows.raise_for_status()
    flow_names = {each["id"]: each["name"] for each in flows.json()}
    return {each["id"]: f"{flow_names[each['flow_id']]}/{each['name']}" for each in answer.json()}


def _runs(
    client: httpx.Client, asked: dict[str, Any], sort: str, names: Mapping[str, str]
) -> list[Run]:
    found = _post(client, "filter", asked | {"limit": _SHOWN, "sort": sort})
    return [_run(each, names) for each in found]


def _next_of_each(
    client: httpx.Client, asked: dict[str, Any], names: Mapping[str, str]
) -> list[Run]:
    """Return the next run of each deployment."""
    found: list[Run] = []
    for id in names:
        mine = asked | {"deployments": {"id": {"any_": [id]}}, "limit": 1}
        runs = _post(client, "filter", mine | {"sort": "NEXT_SCHEDULED_START_TIME_ASC"})
        found += [_run(run, names) for run in runs]
    return sorted(found, key=lambda run: run.when)


def _run(document: Mapping[str, Any], names: Mapping[str, str]) -> Run:
    when = (
        document["end_time"]
        or document["start_time"]
        or document["expected_start_time"]
        or document["created"]
    )
    said = ((document["state"] or {}).get("message") or "").strip()
    # The server invents names of the runs of schedules and automations, until they begin.
    is_invented = document["start_time"] is None and not _OWN.match(document["name"])
    deployment = names.get(document["deployment_id"] or "")
    return Run(
        name=deployment if is_invented and deployment else document["name"],
        state=document["state_name"] or "",
        when=datetime.fromisoformat(when),
        message=said.removeprefix(_PREAMBLE).partition("\n")[0][:_LONGEST],
    )


def _ask_ledger(config: ServiceConfig, status: Status) -> None:
    url = make_url(database_of(config))
    if url.get_backend_name() == "sqlite" and not config.folder.exists():
        return  # a service that never ran
    with Database(database_of(config)) as database:
        ledger = Ledger(database)
        status.alerts = open_alerts(database)
        status.budgets = standings(database, config.store)
        counts = ledger.count(config.store)
        status.submissions = {str(state): number for state, number in counts.items()}
        status.news = ledger.newest(config.store)
        store = find_store(config.store)
        status.proposals = len(undecided(store, ledger)) if store else 0


def _look_at_store(config: ServiceConfig, status: Status) -> None:
    store: Store | None = find_store(config.store)
    if store is None:
        return
    status.quarantined = len(quarantined(store))
    mosaic = find_repository(store.objects)
    if mosaic is None:
        return
    status.held = [each.short for each, state in states(mosaic) if state == "held"]
    head = mosaic.head()
    if head is None:
        return
    for each in filled_periods(mosaic, head):
        first, last = each.days
        period = f"{first:%Y-%m-%d}/{last:%Y-%m-%d}"
        status.mosaics.append(Published(period, head.short, head.created, len(each.tiles)))
