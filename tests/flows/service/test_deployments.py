"""What the pages show before anything runs, and what a failed run sets off."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
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
