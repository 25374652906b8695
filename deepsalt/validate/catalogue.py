"""The STAC Items of a store: there, readable, linked, and leading to what is there."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deepsalt.inputs import parse_json, read_regular
from deepsalt.store import Store, Version
from deepsalt.validate.findings import Finding

_UPWARDS = {"link root", "link parent", "link collection", "link self"}
"""Links that the publisher makes valid, after the mosaic was published."""

_PUBLISH = "publish the mosaic again (deepsalt mosaic build)"
_RUN_SCENE = "run the scene again"


def check_catalogue(store: Store, version: Version | None) -> Iterator[Finding]:
    """Follow the relative links of the catalogue and look for the Items of a version."""
    root = store.path
    if not (root / "catalog.json").exists():
        found = "the store has no STAC catalogue"
        yield Finding("warning", "stac", "catalog.json", found, _PUBLISH)
        return
    seen, waiting = set[Path](), [(root / "catalog.json").resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        findings, members = _examine(root, path)
        yield from findings
        waiting += members
    if version is not None:
        for name, advice in _expected_items(version):
            yield from _check_member(store, name, seen, advice)


def check_items(store: Store, products: Collection[str]) -> Iterator[Finding]:
    """Check the Items of products before a catalogue links them; none when the store has none."""
    if not any(store.items.glob("*.json")):
        return
    for name in sorted(products):
        path = (store.items / f"{name}.json").resolve()
        if path.exists():
            yield from _examine(store.path, path, leave_out=_UPWARDS)[0]
        else:
            found = "the product has no STAC Item"
            yield Finding("error", "stac", f"items/{path.name}", found, _RUN_SCENE)


def _expected_items(version: Version) -> Iterator[tuple[str, str]]:
    for name in version.products:
        yield name, _RUN_SCENE
    for period, _ in version.periods:
        yield f"mosaic-{version.id}-{period.slug}", _PUBLISH


def _check_member(
    store: Store, name: str, seen: Collection[Path], advice: str
) -> Iterator[Finding]:
    path = store.items / f"{name}.json"
    where = f"items/{path.name}"
    if not path.exists():
        yield Finding("error", "stac", where, "the STAC Item is missing", advice)
    elif path.resolve() not in seen:
        yield Finding("error", "stac", where, "the catalogue does not lead to the Item", _PUBLISH)


def _examine(
    root: Path, path: Path, *, leave_out: Collection[str] = ()
) -> tuple[list[Finding], list[Path]]:
    """Return what is wrong with a document, and the documents below it that exist."""
    where = path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path
    try:
        targets = _targets(parse_json(read_regular(path)))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        found = f"not a readable STAC document ({error})"
        return [Finding("error", "stac", str(where), found, f"remove it and {_PUBLISH}")], []
    findings, members = [], []
    for kind, href in targets:
        target = (path.parent / href).resolve()
        if kind not in leave_out and not target.exists():
            found = f"{kind} leads to {href}, which does not exist"
            advice = f"restore it or {_PUBLISH}"
            findings.append(Finding("error", "stac", str(where), found, advice))
        elif kind in {"link child", "link item"}:
            members.append(target)
    return findings, members


def _targets(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the relative hrefs of a STAC document, each with what it is."""
    links = [(f"link {link['rel']}", str(link["href"])) for link in document.get("links", [])]
    assets = [
        (f"asset {name}", str(asset["href"])) for name, asset in document.get("assets", {}).items()
    ]
    return [
        (kind, href)
        for kind, href in links + assets
        if not urlsplit(href).scheme and not href.startswith(("/", "#"))
    ]
