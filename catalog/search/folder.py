"""Walking a catalogue folder: document after document, or many at a time in several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from catalog.hrefs import absolute_href, without_credentials
from catalog.search.query import Query, sort_key
from deepsalt.concurrency import in_order
from deepsalt.documents import read_json
from deepsalt.errors import FormatError, UsageError
from deepsalt.progress import Progress

Made = TypeVar("Made")
Make = Callable[[dict[str, Any], str], Made]
"""Makes something of an Item's document and of where it lies (path or URL)."""

FEW_ITEMS = 1_000
"""Links of a document that are followed without other processes, which take a second to start."""

ITEMS_AT_A_TIME = 256
"""Documents that a process looks at between two answers: a fifth of a second."""

_AHEAD = 12
"""Answers that may wait to be taken, a megabyte each."""


class Found(NamedTuple, Generic[Made]):
    """What was made of an Item that matches.

    Parameters
    ----------
    identity
        Its collection and id.
    order
        What results are sorted by.
    made
        What was made of it.
    """

    identity: tuple[str, str]
    order: tuple[datetime, str]
    made: Made

    @classmethod
    def of(cls, document: dict[str, Any], where: str, make: Make[Made]) -> "Found[Made]":
        """Make something of an Item's document."""
        identity = str(document.get("collection")), str(document.get("id"))
        return cls(identity, sort_key(document), make(document, where))


class _Catalogue(NamedTuple):
    """A document that leads to others."""

    document: dict[str, Any]


class _Cloudy(NamedTuple):
    """An Item that would match if it stated its cloud cover."""


_Look = Found[Made] | _Catalogue | _Cloudy | FormatError | None
"""What a document turned out to be; None: an Item that does not match."""


def search_folder(
    folder: Path,
    query: Query,
    make: Make[Made],
    *,
    progress: Progress,
    executor: Executor | None = None,
) -> Iterator[Found[Made]]:
    """Yield what `make` makes of the Items that match, in the order of the documents' links.

    Parameters
    ----------
    folder
        Folder of a catalogue, or its ``catalog.json``.
    query
        Filters.
    make
        Called with each document that matches and its path.
    progress
        Told of Items that only lack a cloud cover.
    executor
        Where to look at the documents of long lists of links, many in one call. `make` and what it
        makes are then pickled, `make` for each call anew. Default: here.

    Raises
    ------
    FormatError
        A document that is not STAC, or links to a server.
    UsageError
        No catalogue.
    """
    start = folder / "catalog.json" if folder.is_dir() else folder
    if not start.is_file():
        raise UsageError(
            f"{folder} is not a catalogue: {start} does not exist; ingest products into it first"
        )
    matching = cloud_unknown = 0
    seen = set[str]()
    opened = [_looks([str(start.absolute())], seen, partial(_look, query, make), None)]
    while opened:
        path, look = next(opened[-1], (None, None))
        if path is None:
            opened.pop()
            continue
        if path in seen:
            continue
        seen.add(path)
        if isinstance(look, FormatError):
            raise look
        if isinstance(look, _Catalogue):
            if _worth_opening(look.document, query):
                links = _linked(look.document, path)
                opened.append(_looks(links, seen, partial(_look, query, make), executor))
        elif isinstance(look, _Cloudy):
            cloud_unknown += 1
        elif look is not None:
            matching += 1
            yield look
    if matching and cloud_unknown:  # who finds nothing is told more
        progress.note(
            f"{cloud_unknown} more would match, but state no cloud cover: --max-cloud excludes them"
        )


def _looks(
    paths: list[str],
    seen: set[str],
    look: Callable[[str], _Look[Made]],
    executor: Executor | None,
) -> Iterator[tuple[str, _Look[Made]]]:
    """Yield documents that were not seen yet, the last one first, each with what it is."""
    left = [path for path in dict.fromkeys(reversed(paths)) if path not in seen]
    if executor is None or len(left) < FEW_ITEMS:
        for path in left:
            if path not in seen:
                yield path, look(path)
        return
    parts = (
        left[first : first + ITEMS_AT_A_TIME] for first in range(0, len(left), ITEMS_AT_A_TIME)
    )
    for part in in_order(executor, partial(_all, look), parts, ahead=_AHEAD):
        for path, found in part:
            if path not in seen:
                yield path, look(path) if isinstance(found, _Catalogue) else found


def _all(look: Callable[[str], _Look[Made]], paths: list[str]) -> list[tuple[str, _Look[Made]]]:
    """Look at documents; those of catalogues, which may be large, are not kept for the answer."""
    looks = ((path, look(path)) for path in paths)
    return [(path, _Catalogue({}) if isinstance(it, _Catalogue) else it) for path, it in looks]


def _look(query: Query, make: Make[Made], path: str) -> _Look[Made]:
    try:
        document = read_json(Path(path))
        if document.get("type") == "Feature":
            if query.matches(document):
                return Found.of(document, path, make)
            return _Cloudy() if _lacks_cloud(document, query) else None
    except FormatError as error:
        return error
    if document.get("type") not in {"Catalog", "Collection"}:
        return FormatError(
            f"{path} is not a STAC catalogue, collection or Item; remove it, or ingest its product "
            "again"
        )
    return _Catalogue(document)


def _lacks_cloud(document: dict[str, Any], query: Query) -> bool:
    """Return whether an Item would match if it stated its cloud cover."""
    if query.max_cloud_pct is None:
        return False
    properties = document.get("properties")
    unknown = isinstance(properties, dict) and properties.get("eo:cloud_cover") is None
    return unknown and query.with_any_cloud.matches(document)


def _worth_opening(document: dict[str, Any], query: Query) -> bool:
    """Return whether a collection can hold matches; its Items have its id as `collection`."""
    collection = document["type"] == "Collection"
    return not (collection and query.collections and document.get("id") not in query.collections)


def _linked(document: dict[str, Any], path: str) -> list[str]:
    links = document.get("links")
    paths = []
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") in {"child", "item"}:
            href = absolute_href(link.get("href"), path, f"a link in {path}")
            if urlsplit(href).scheme:
                raise FormatError(
                    f"{path} links to {without_credentials(href)}; search that address itself"
                )
            paths.append(href)
    return paths
