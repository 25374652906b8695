"""What an operator meets on the pages before anything runs: forms that explain themselves."""

from flows.service.config import ServiceConfig
from flows.service.deployments import deployments_of

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
