"""Which extension each prefixed field comes from, and who declares it; written from the specs."""

from collections.abc import Iterator
from typing import Any

BASE = "https://stac-extensions.github.io"
WITHOUT_EXTENSION = {"deepsalt", "enmap", "icechunk"}
DECLARED_AS = {
    "classification": f"{BASE}/classification/v2.0.0/schema.json",
    "eo": f"{BASE}/eo/v2.0.0/schema.json",
    "file": f"{BASE}/file/v2.1.0/schema.json",
    "mlm": f"{BASE}/mlm/v1.4.0/schema.json",
    "processing": f"{BASE}/processing/v1.2.0/schema.json",
    "proj": f"{BASE}/projection/v2.0.0/schema.json",
    "raster": f"{BASE}/raster/v2.0.0/schema.json",
    "version": f"{BASE}/version/v1.2.0/schema.json",
    "view": f"{BASE}/view/v1.0.0/schema.json",
}


def assert_extensions(document: dict[str, Any]) -> None:
    """Fail unless a document declares exactly the extensions whose fields it carries.

    Links do not count: an Item that names its model on a link (`mlm:name`) is no model, and the
    schema of `mlm` wants the fields of a model from every Item that declares it.
    """
    body = {key: value for key, value in document.items() if key != "links"}
    prefixes = {name.partition(":")[0] for name in _names(body) if ":" in name} - WITHOUT_EXTENSION
    if "version" in document.get("properties", {}):
        prefixes.add("version")
    declared = document.get("stac_extensions", [])
    assert len(declared) == len(set(declared))
    assert set(declared) == {DECLARED_AS[prefix] for prefix in prefixes}, document["id"]


def _names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)
