"""The STAC catalogue of a store: links lead to existing objects, and to all that count.

Documents are untrusted: links are followed only to keys of the store, and each key once.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from deepsalt.check.mosaic import Published
from deepsalt.check.products import Products
from deepsalt.concurrency import in_order
from deepsalt.errors import MissingObjectError, StoreAwayError, StoreError, UsageError
from deepsalt.inputs import parse_json
from deepsalt.objects.location import check_key
from deepsalt.store import Store
from deepsalt.validate import Finding, Severity

_ROOT = "catalog.json"
_REQUESTS = 16
"""Number of documents read at a time."""
_DOWN = frozenset({"child", "item"})
_MAY_BE_GONE = frozenset({"predecessor-version"})  # removed with the version that was pruned
_PUBLISH = "run `deepsalt mosaic build`, which publishes the catalogue again"
_RUN_SCENE = "run its scene again"


@dataclass(frozen=True)
class _Document:
    """Result of checking a document.

    Parameters
    ----------
    findings
        What is wrong with it.
    below
        Documents below it.
    item
        For an Item the name of its object without ending; else empty.
    version
        Version of a mosaic that the Item describes; else empty.
    """

    findings: tuple[Finding, ...]
    below: tuple[str, ...] = ()
    item: str = ""
    version: str = ""


@dataclass
class Catalogue:
    """How the catalogue of a store is checked.

    Parameters
    ----------
    store
        The store.
    """

    store: Store
    _there: set[str] = field(default_factory=set)
    _known: dict[str, bool] = field(default_factory=dict)

    def __call__(self, products: Products, published: Published) -> Iterator[Finding]:
        """Yield what is wrong with the catalogue of a store.

        Parameters
        ----------
        products, published
            Objects to which its Items must lead.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        objects = self.store.objects
        self._there |= {entry.key for entry in objects.list("collections")}
        self._there |= {f"scenes/{folder}" for folder in objects.folders("scenes")}
        if published.version is not None:
            self._there.add("mosaic")  # Icechunk has its own way to memory
        if not self._exists(_ROOT):
            found = "the store has no STAC catalogue"
            yield Finding("warning", "stac", _ROOT, found, _PUBLISH)
            return
        seen = {_ROOT}
        items = set[str]()
        versions = set[str]()
        level = [_ROOT]
        with ThreadPoolExecutor(_REQUESTS) as pool:
            while level:
                below: list[str] = []
                for document in in_order(pool, self._examine, level):
                    yield from document.findings
                    items.add(document.item)
                    versions.add(document.version)
                    below += document.below
                level = sorted(set(below) - seen)
                seen.update(level)
        yield from _unreachable(products, published, items, versions)

    def _examine(self, key: str) -> _Document:
        """Return what is wrong with a document, and the documents below it."""
        try:
            document = parse_json(self.store.objects.read(key))
            targets = list(_targets(document))
            properties = document.get("properties") or {}
            version = str(properties.get("deepsalt:version") or "")
        except StoreAwayError:
            raise
        except (StoreError, ValueError, TypeError, AttributeError, KeyError) as error:
            found = f"not a readable STAC document ({error})"
            return _Document((Finding("error", "stac", key, found, _PUBLISH),))
        findings = []
        below = []
        for kind, rel, href in targets:
            target = _resolve(key, href)
            if target is None:
                found = f"{kind} leads to {href!r:.200}, which is not inside the store"
                advice = f"remove the document and {_PUBLISH}"
                findings.append(Finding("error", "stac", key, found, advice))
            elif not self._exists(target):
                if rel not in _MAY_BE_GONE:
                    found = f"{kind} leads to {href:.200}, which does not exist"
                    advice = f"restore it, or {_PUBLISH}"
                    findings.append(Finding("error", "stac", key, found, advice))
            elif rel in _DOWN:
                below.append(target)
        name = key.rpartition("/")[2].removesuffix(".json")
        is_item = document.get("type") == "Feature"
        return _Document(
            tuple(findings), tuple(below), name if is_item else "", version if is_item else ""
        )

    def _exists(self, key: str) -> bool:
        """Return whether there is an object, or objects below it."""
        scene = "/".join(key.split("/")[:2])
        if key in self._there or not key:
            return True
        if scene in self._there and scene.startswith("scenes/"):
            return True  # missing objects of a product are reported with the products
        if key.startswith("collections/"):
            return False
        if key not in self._known:
            objects = self.store.objects
            self._known[key] = next(objects.list(key), None) is not None
            if not self._known[key]:
                try:
                    objects.read(key)
                    self._known[key] = True
                except MissingObjectError:
                    pass
        return self._known[key]


def _unreachable(
    products: Products, published: Published, items: set[str], versions: set[str]
) -> Iterator[Finding]:
    """Yield complete products and versions without a link."""
    for name in sorted(products.counting - items):
        severity: Severity = "error" if name in published.products else "warning"
        found = "the catalogue does not link an Item of the product"
        advice = f"{_PUBLISH}; if that does not help, {_RUN_SCENE}"
        yield Finding(severity, "stac", f"scenes/{name}.zarr", found, advice)
    version = published.version
    if version is None or not version.totals.pixels:
        return
    if not any(each and version.id.startswith(each) for each in versions):
        found = f"the catalogue does not link an Item of the published version {version.short}"
        yield Finding("error", "stac", "mosaic", found, _PUBLISH)


def _targets(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the relative links of a STAC document: kind, rel and href."""
    links: Iterable[Any] = document.get("links") or []
    found = [(f"link {link['rel']}", str(link["rel"]), str(link["href"])) for link in links]
    assets: dict[str, Any] = document.get("assets") or {}
    found += [(f"asset {name}", "", str(asset["href"])) for name, asset in assets.items()]
    for kind, rel, href in found:
        parts = urlsplit(href)
        if not parts.scheme and not parts.netloc and not href.startswith(("/", "#")):
            yield kind, rel, href


def _resolve(key: str, href: str) -> str | None:
    """Return the key for a relative href in the document of a key; None if there is none."""
    parts = key.split("/")[:-1]
    for part in unquote(urlsplit(href).path).split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    found = "/".join(parts)
    try:
        if found:
            check_key(found)
    except UsageError:
        return None
    return found
