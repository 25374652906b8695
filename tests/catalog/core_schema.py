"""Validation against the STAC and GeoJSON core schemas that pystac ships; no network."""

import json
from typing import Any

from jsonschema import Draft7Validator
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

_KINDS = {"Feature": "item", "Catalog": "catalog", "Collection": "collection"}


def assert_valid(document: dict[str, Any]) -> None:
    """Fail with all complaints unless the document follows the core schema of its kind.

    Extension schemas are not shipped with pystac and are not checked.
    """
    schemas = get_local_schema_cache()
    registry: Registry[Any] = Registry().with_resources(
        (uri, Resource.from_contents(schema)) for uri, schema in schemas.items()
    )
    kind = _KINDS[document["type"]]
    schema = next(s for uri, s in schemas.items() if uri.endswith(f"/{kind}.json"))
    validator = Draft7Validator(schema, registry=registry)
    plain = json.loads(json.dumps(document))
    complaints = [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(plain)]
    assert not complaints, complaints
