"""The deployments of a service: those of `prefect.yaml`, with its store, schedules and watches.

They are applied to the server that the environment names. What the configuration does not name any
more is removed, and its alerts are taken back.
"""

import inspect
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, cast
from uuid import UUID

import yaml
from griffe import Docstring, DocstringSectionParameters, parse_numpy
from prefect.client.orchestration import (
    SyncPrefectClient,
    get_client,
)
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.runner.storage import LocalStorage
from prefect.schedules import Cron, Schedule
from prefect.utilities.callables import ParameterSchema

from flows.cluster_profile import read_profile
from flows.config import MosaicConfig, SceneConfig, UpkeepConfig
from flows.service.config import ServiceConfig
from flows.service.environment import PODS, POOL, TAG, database_of
from flows.service.pods import START, base_job_template
from flows.watch.alerts import open_alerts, tell
from flows.watch.database import Database
from flows.watch.judge import no_longer_watched

_JOB = {
    # With a command the worker starts the run itself, without a process between them.
    "job_configuration": {"command": f"{shlex.quote(sys.executable)} -m prefect.engine"},
    "variables": {"type": "object", "properties": {}},
}
"""What a run's process may be told: nothing, since the worker's environment has it all.

The server checks each submission against the usual twelve variables, at 50 ms of CPU.
"""

_PAGE = 200

SCENES = "scenes"
"""Name of the queue whose limit is the number of scenes at once."""

FAILURES = "deepsalt: runs that fail"
"""Name of the automation that has failures judged at once."""


def deployments_of(config: ServiceConfig) -> list[RunnerDeployment]:
    """Return the deployments of a service.

    Parameters
    ----------
    config
        What the service keeps.
    """
    return [_deployment(row, config) for row in _rows(config)]


def apply(config: ServiceConfig) -> None:
    """Make a server's deployments and automations those of a configuration."""
    pool = PODS if config.kubernetes else POOL
    with get_client(sync_client=True) as client:
        _make_pool(client, pool, config)
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(SCENES, work_pool_name=pool)
        queue = client.read_work_queue_by_name(SCENES, work_pool_name=pool)
        client.update_work_queue(queue.id, concurrency_limit=config.scenes_at_once)
        wanted = deployments_of(config)
        ids = {each.full_name: _applied(client, each, pool) for each in wanted}
        for found in client.read_deployments():
            if TAG in found.tags and found.id not in ids.values():
                client.delete_deployment(found.id)
        _drop_missed(client)
        for watch in config.watch:  # what came while nobody looked
            name = f"watch-{watch.name}"
            client.create_flow_run_from_deployment(ids[f"watch/{watch.name}"], name=name)
        for old in client.read_automations_by_name(FAILURES):
            client.delete_automation(old.id)
        judges = [each for name, each in ids.items() if name.startswith("validate/")]
        if judges:
            client.create_automation(on_failure(judges))
    with Database(database_of(config)) as database:
        kept = [each.name for each in config.watch]
        tell(no_longer_watched(open_alerts(database), kept), database)


def _make_pool(client: SyncPrefectClient, pool: str, config: ServiceConfig) -> None:
    """Create the work pool, or let the one that is there have the configuration's jobs."""
    kind, job = "process", _JOB
    if config.kubernetes:
        kind, job = "kubernetes", base_job_template(config.kubernetes)
    try:
        client.create_work_pool(WorkPoolCreate(name=pool, type=kind, base_job_template=job))
    except ObjectAlreadyExists:
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=job))


def _drop_missed(client: SyncPrefectClient) -> None:
    """Delete scheduled runs whose time passed while the service was down: one look sees it all."""
    missed = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=missed, limit=_PAGE, offset=offset):
        for run in page:
            if run.auto_scheduled:
                client.delete_flow_run(run.id)
            else:
                offset += 1


def _applied(client: SyncPrefectClient, deployment: RunnerDeployment, pool: str) -> UUID:
    with suppress(ObjectNotFound):  # schedules of an older configuration would go on
        known = client.read_deployment_by_name(deployment.full_name)
        for schedule in known.schedules:
            client.delete_deployment_schedule(known.id, schedule.id)
    return cast(UUID, deployment.apply(work_pool_name=pool))  # a coroutine only in an event loop


def _rows(config: ServiceConfig) -> Iterator[dict[str, Any]]:
    text = files("flows.service").joinpath("prefect.yaml").read_text(encoding="utf-8")
    for row in yaml.safe_load(text)["deployments"]:
        flow = row["entrypoint"].rpartition(".")[2]
        if flow == "validate" and not config.watch:  # failed builds are told all the same
            yield row | {"parameters": {"config": {}}, "schedules": _active(row)}
            continue
        if flow in ("watch", "validate"):
            for plan, watch in zip(config.watch, config.watches, strict=True):
                told = watch.model_dump(mode="json")
                often = [_cron(plan.every, config)] if flow == "watch" else _active(row)
                yield row | {
                    "name": plan.name,
                    "parameters": {"config": told if flow == "watch" else {"watch": told}},
                    "schedules": often,
                }
            continue
        yield row | _changes(flow, row, config)


def _changes(flow: str, row: Mapping[str, Any], config: ServiceConfig) -> dict[str, Any]:
    """Return what a service changes of a deployment."""
    changes: dict[str, Any] = {}
    if flow == "process_scene":
        scene = config.single_scene.model_dump(mode="json")
        changes["parameters"] = {"out": config.store, "config": scene}
    elif flow == "build_mosaic":
        # A build after new scenes is as the first one that is planned.
        usual = config.mosaic[0].config if config.mosaic else MosaicConfig()
        changes["parameters"] = {"out": config.store, "config": _build(usual, config)}
        changes["schedules"] = [
            _cron(plan.every, config, {"config": _build(plan.config, config)})
            for plan in config.mosaic
        ]
    elif flow in ("map_scenes", "backfill_archive"):
        scene = _run(config).model_dump(mode="json")
        told = dict(row["parameters"]["config"])
        if config.watch:
            told["selection"] = config.watch[0].selection.model_dump(mode="json")
        run = {"config": told | {"out": config.store, "scene": scene}}
        changes["parameters"] = row["parameters"] | run
    elif flow == "maintain":
        upkeep = UpkeepConfig(keep_days=config.keep_days, scratch=config.scene.scratch.folder)
        changes["parameters"] = {"config": upkeep.model_dump(mode="json")}
        changes["schedules"] = _active(row)
    return changes


def _build(mosaic: MosaicConfig, config: ServiceConfig) -> dict[str, Any]:
    """Return the settings of a build as a run takes them."""
    compute = config.computing("build-mosaic", mosaic.compute)
    return mosaic.model_copy(update={"compute": compute}).model_dump(mode="json")


def _run(config: ServiceConfig) -> SceneConfig:
    """Return the settings of many scenes in one run, which may make a Dask cluster for itself."""
    pods, compute = config.kubernetes, config.scene.compute
    if pods and pods.cluster:
        compute = compute.model_copy(update={"cluster": read_profile(pods.cluster)})
    else:
        compute = config.computing("map-scenes", compute)
    return config.scene.model_copy(update={"compute": compute})


def _active(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the schedules of a deployment that a service always has on."""
    return [each | {"active": True} for each in row["schedules"]]


def _cron(
    every: str, config: ServiceConfig, parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "cron": every,
        "timezone": config.time_zone,
        "active": True,
        "parameters": parameters or {},
    }


def _deployment(row: Mapping[str, Any], config: ServiceConfig) -> RunnerDeployment:
    limit = row.get("concurrency_limit")
    flow: Flow[..., Any] = load_flow_from_entrypoint(row["entrypoint"])
    pods = config.kubernetes
    deployment = RunnerDeployment.from_entrypoint(
        row["entrypoint"],
        name=row["name"],
        description=row["description"],
        parameters=row.get("parameters"),
        schedules=[_schedule(each) for each in row.get("schedules", ())],
        concurrency_limit=None if limit is None else ConcurrencyLimitConfig(**limit),
        work_queue_name=row["work_pool"].get("work_queue_name"),
        job_variables=pods.variables_of(flow.name) if pods else None,
        tags=row["tags"],
    )
    if pods:
        # Code is installed in the image. Otherwise each run would first copy what lies in a folder
        # named as the one where this process was started: in a pod perhaps the whole file system.
        deployment.storage = LocalStorage(START)
    _describe(deployment._parameter_openapi_schema, flow.fn)
    return deployment


def _describe(form: ParameterSchema, function: Callable[..., Any]) -> None:
    """Put what a docstring says of each parameter into a form; Prefect reads none of numpy's."""
    for section in parse_numpy(Docstring(inspect.getdoc(function) or "")):
        if isinstance(section, DocstringSectionParameters):
            for each in section.value:
                form.properties[each.name]["description"] = " ".join(each.description.split())


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return Cron(
        row["cron"],
        timezone=row["timezone"],
        active=row["active"],
        parameters=row.get("parameters") or {},
        slug=row.get("slug"),
    )


def on_failure(judges: Iterable[UUID]) -> AutomationCore:
    """Start `validate` when a run of ours fails or crashes; reactive, so it never misfires.

    Not for a run of `validate` itself: one that cannot judge would be started for ever.

    Parameters
    ----------
    judges
        Ids of the deployments of `validate`.
    """
    return AutomationCore(
        name=FAILURES,
        description="A run of deepsalt failed or crashed: `validate` looks and tells.",
        trigger=EventTrigger(
            expect={
                "prefect.flow-run.Failed",
                "prefect.flow-run.Crashed",
                "prefect.flow-run.TimedOut",
            },
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=[
                ResourceSpecification(
                    {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
                ),
                ResourceSpecification(
                    {"prefect.resource.role": "flow", "prefect.resource.name": "!validate"}
                ),
            ],
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            RunDeployment(source="selected", deployment_id=judge, parameters={}) for judge in judges
        ],
    )
