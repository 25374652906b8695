"""A catalogue as a reader sees it who follows links: nothing is known of where documents lie."""

import json
import posixpath
from collections.abc import Iterator
from typing import Any

from deepsalt.objects import Objects


def document(objects: Objects, key: str) -> dict[str, Any]:
    """Return one document."""
    found: dict[str, Any] = json.loads(objects.read(key))
    return found


def followed(key: str, href: str) -> str:
    """Return the key that a relative link of a document leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), href))


def links(objects: Objects, key: str, *rels: str) -> list[str]:
    """Return the keys that a document's links of some kinds lead to, in the document's order."""
    found = document(objects, key)["links"]
    return [followed(key, link["href"]) for link in found if link["rel"] in rels]


def walk(objects: Objects, key: str = "catalog.json") -> Iterator[str]:
    """Yield the keys of a document and of all that its children and Items lead to."""
    yield key
    for below in links(objects, key, "child", "item"):
        yield from walk(objects, below)


def listed(objects: Objects) -> set[str]:
    """Return the ids of the Items that walking leads to."""
    found = [document(objects, key) for key in walk(objects)]
    return {each["id"] for each in found if each["type"] == "Feature"}
