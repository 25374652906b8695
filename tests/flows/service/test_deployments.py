"""What the pages show before anything runs, and what a failed run sets off."""

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from flows.service.config import ServiceConfig
from flows.service.deployments import deployments_of, on_failure


@pytest.mark.parametrize(("flow", "is_judged"), [("process-scene", True), ("validate", False)])
def test_a_failed_run_is_judged_unless_it_was_the_judge(flow: str, is_judged: bool) -> None:
    trigger = on_failure([UUID(int=1)]).trigger
    told = ReceivedEvent.model_validate(
        {
            "id": UUID(int=2),
            "occurred": datetime(2026, 3, 1, tzinfo=UTC),
            "event": "prefect.flow-run.Failed",
            "resource": {"prefect.resource.id": "prefect.flow-run.3"},
            "related": [
                {
                    "prefect.resource.id": "prefect.flow.4",
                    "prefect.resource.role": "flow",
                    "prefect.resource.name": flow,
                },
                {
                    "prefect.resource.id": "prefect.tag.deepsalt",
                    "prefect.resource.role": "tag",
                },
            ],
        }
    )
    found = EventTrigger.model_validate(trigger.model_dump(mode="json", exclude={"id"}))
    assert found.covers(told) is is_judged


CONFIG = ServiceConfig.model_validate(
    {"watch": [{"name": "all", "selection": {"catalogue": "https://example.org"}}]}
)


def test_each_parameter_of_each_form_is_described() -> None:
    bare = {
        f"{each.full_name}: {name}"
        for each in deployments_of(CONFIG)
        for name, field in each._parameter_openapi_schema.properties.items()
        if not field.get("description")
    }
    assert bare == set()


def test_a_service_without_a_watch_judges_its_runs() -> None:
    (judge,) = [each for each in deployments_of(ServiceConfig()) if each.flow_name == "validate"]
    assert judge.parameters == {"config": {}}
    assert [each.active for each in judge.schedules or ()] == [True]


SCHEDULES = [
    (deployment["description"], schedule)
    for deployment in yaml.safe_load(
        files("flows.service").joinpath("prefect.yaml").read_text(encoding="utf-8")
    )["deployments"]
    for schedule in deployment.get("schedules", ())
]


@pytest.mark.parametrize(("told", "schedule"), SCHEDULES)
def test_every_schedule_names_a_time_zone(told: str, schedule: dict[str, Any]) -> None:
    assert ZoneInfo(schedule["timezone"]).key == schedule["timezone"], told
