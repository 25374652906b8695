"""Which STAC extensions a document uses, by the prefixes of its fields."""

from collections.abc import Iterator, Mapping
from typing import Any

_BASE = "https://stac-extensions.github.io"
EXTENSIONS: Mapping[str, str] = {
    "classification": f"{_BASE}/classification/v2.0.0/schema.json",
    "eo": f"{_BASE}/eo/v2.0.0/schema.json",
    "file": f"{_BASE}/file/v2.1.0/schema.json",
    "mlm": f"{_BASE}/mlm/v1.4.0/schema.json",
    "processing": f"{_BASE}/processing/v1.2.0/schema.json",
    "proj": f"{_BASE}/projection/v2.0.0/schema.json",
    "raster": f"{_BASE}/raster/v2.0.0/schema.json",
    "view": f"{_BASE}/view/v1.0.0/schema.json",
}
"""Schema of each extension that we write, by the prefix of its fields."""

VERSION_EXTENSION = f"{_BASE}/version/v1.2.0/schema.json"
"""Its field `version` has no prefix."""


def used_extensions(properties: Mapping[str, Any], *assets: Mapping[str, Any]) -> list[str]:
    """Return the schemas of the extensions that define the fields, sorted.

    A schema may demand fields as soon as it is declared (`view` wants an angle), so an Item
    declares what it carries and nothing else.

    Parameters
    ----------
    properties
        Properties of the Item.
    assets
        Fields of its assets. Links are ignored: naming a model on a link does not make an Item a
        model, which declaring `mlm` would say.
    """
    prefixes = {name.partition(":")[0] for name in _names((properties, assets)) if ":" in name}
    found = {schema for prefix, schema in EXTENSIONS.items() if prefix in prefixes}
    return sorted(found | ({VERSION_EXTENSION} if "version" in properties else set()))


def _names(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)
