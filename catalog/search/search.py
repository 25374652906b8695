"""One `search` for a catalogue folder and for a STAC API."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pystac

from catalog.documents import read_json
from catalog.hrefs import absolute_href, without_credentials
from catalog.local import as_item, located
from catalog.search.query import Query, sort_key
from catalog.search.remote import search_api
from deepsalt.access import Reach, is_web, reach_of
from deepsalt.errors import FormatError, UsageError
from deepsalt.progress import Progress, Silent

logger = logging.getLogger(__name__)

MAX_RESULTS = 50_000
"""More Items than this do not fit a laptop's memory; a wider search says so instead."""

MAX_SELECTED = 200_000
"""As `MAX_RESULTS`, where of each Item only what is needed is kept."""

Made = TypeVar("Made")


def search(
    source: str | Path,
    query: Query,
    *,
    reach: Reach | None = None,
    progress: Progress | None = None,
) -> list[pystac.Item]:
    """Return the Items that match, sorted by date and id; an empty list when none does.

    A folder and a server that hold the same Items give the same answer: whatever a server leaves
    unfiltered is filtered here. Reprocessed versions of a scene are all returned.

    Parameters
    ----------
    source
        Folder of a catalogue, its ``catalog.json``, or URL of a STAC API.
    query
        Filters. `limit` cuts the sorted result; on a server that cannot sort it cuts the server's
        own order.
    reach
        Whom we talk to on the catalogue's word; public servers and what lies near it when None.
    progress
        Told how many pages and Items of a server came so far. Default: nobody.

    Raises
    ------
    FormatError
        A document that is no STAC; the message names it.
    RunError
        A server that cannot be reached or answers with an error.
    UsageError
        Nothing there, a URL without search, or more than `MAX_RESULTS` Items.
    """
    name = without_credentials(str(source))
    return select(
        source,
        query,
        lambda document, where: as_item(located(document, where), name),
        most=MAX_RESULTS,
        reach=reach,
        progress=progress,
    )


def select(
    source: str | Path,
    query: Query,
    make: Callable[[dict[str, Any], str], Made],
    *,
    most: int = MAX_SELECTED,
    reach: Reach | None = None,
    progress: Progress | None = None,
) -> list[Made]:
    """Return what `make` makes of the Items that match, in the order of `search`.

    Each document is let go once it was made into something: documents of 224 bands take a quarter
    of a megabyte each.

    Parameters
    ----------
    source, query
        As in `search`.
    make
        Called with each document as it comes and where it lies (path or URL); also for those that
        `limit` cuts off and for those that a later one of the same id replaces. What it raises ends
        the search.
    most
        More Items than this are refused.
    reach, progress
        As in `search`.

    Raises
    ------
    FormatError, RunError, UsageError
        As `search`.
    """
    text = str(source)
    if is_web(text):
        name = without_credentials(text)
        found = search_api(text, query, reach or reach_of(text), progress or Silent())
    else:
        found = _search_folder(Path(source), query, progress or Silent())
        name = text
    made: dict[tuple[str, str], tuple[Any, Made]] = {}
    for document, where in found:
        identity = str(document.get("collection")), str(document.get("id"))
        made[identity] = sort_key(document), make(document, where)
        if len(made) > most:
            raise UsageError(
                f"more than {most} Items of {name} match; narrow the search by area or time"
            )
    ordered = sorted(made.values(), key=lambda entry: entry[0])[: query.limit]
    logger.info("%d Items of %s match", len(ordered), name)
    return [each for _, each in ordered]


def _search_folder(
    folder: Path, query: Query, progress: Progress
) -> Iterator[tuple[dict[str, Any], str]]:
    start = folder / "catalog.json" if folder.is_dir() else folder
    if not start.is_file():
        raise UsageError(
            f"{folder} is not a catalogue: {start} does not exist; ingest products into it first"
        )
    # As text: a hundred thousand paths take a hundred megabytes.
    pending = [str(start.absolute())]
    any_cloud = replace(query, max_cloud_pct=None)
    by_cloud = query.max_cloud_pct is not None
    matching = cloud_unknown = 0
    seen = set[str]()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        document = read_json(Path(path))
        if document.get("type") == "Feature":
            if query.matches(document):
                matching += 1
                yield document, path
            elif by_cloud and _states_no_cloud(document) and any_cloud.matches(document):
                cloud_unknown += 1
            continue
        if document.get("type") not in {"Catalog", "Collection"}:
            raise FormatError(f"{path} is no STAC catalogue, collection or Item")
        if _worth_opening(document, query):
            pending += _linked(document, path)
    if matching and cloud_unknown:  # who finds nothing is told more
        progress.note(
            f"{cloud_unknown} more would match, but state no cloud cover: --max-cloud excludes them"
        )


def _states_no_cloud(document: dict[str, Any]) -> bool:
    properties = document.get("properties")
    return isinstance(properties, dict) and properties.get("eo:cloud_cover") is None


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
