"""One `search` for a catalogue folder and for a STAC API."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pystac

from catalog.hrefs import without_credentials
from catalog.local import as_item, located
from catalog.search.folder import Found, Make, search_folder
from catalog.search.query import Query
from catalog.search.remote import search_api
from deepsalt.access import Reach, is_web, reach_of
from deepsalt.concurrency.processes import Processes, cores
from deepsalt.errors import UsageError
from deepsalt.progress import Progress, Silent

logger = logging.getLogger(__name__)

MAX_RESULTS = 50_000
"""More Items than this do not fit a laptop's memory; a wider search is refused."""

MAX_SELECTED = 200_000
"""As `MAX_RESULTS`, if only the needed parts of each Item are kept."""

_MOST_PROCESSES = 4
"""Of 80 MB each; more would take as much memory as the rest of a search."""

Made = TypeVar("Made")


def search(
    source: str | Path,
    query: Query,
    *,
    reach: Reach | None = None,
    progress: Progress | None = None,
) -> list[pystac.Item]:
    """Return the matching Items, sorted by date and id; an empty list if none match.

    A folder and a server with the same Items give the same answer: filters that a server ignores
    are applied here. All reprocessed versions of a scene are returned.

    Parameters
    ----------
    source
        Folder of a catalogue, its ``catalog.json``, or URL of a STAC API.
    query
        Filters. `limit` cuts the sorted result, or the server's own order if it cannot sort.
    reach
        Hosts that the catalogue may refer to. Default: public servers and those near it.
    progress
        Receives the number of pages and Items of a server so far. Default: none.

    Raises
    ------
    FormatError
        A document is not STAC; the message names it.
    RunError
        The server cannot be reached or answers with an error.
    UsageError
        The source does not exist, has no search, or more than `MAX_RESULTS` Items match.
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
    make: Make[Made],
    *,
    most: int = MAX_SELECTED,
    apart: bool = False,
    reach: Reach | None = None,
    progress: Progress | None = None,
) -> list[Made]:
    """Return the results of `make` for the matching Items, in the order of `search`.

    Each document is freed after `make`: documents of 224 bands take a quarter of a megabyte each.

    Parameters
    ----------
    source, query
        As in `search`.
    make
        Called with each document as it arrives and its location (path or URL); also for those that
        `limit` cuts off or a later one of the same id replaces. Its exceptions end the search.
    most
        Maximum number of Items; more are refused.
    apart
        Whether the Items of a folder may be read in other processes, where they are many. `make`
        and what it makes are then pickled, `make` for every few hundred Items anew.
    reach, progress
        As in `search`.

    Raises
    ------
    FormatError, RunError, UsageError
        As `search`.
    """
    text = str(source)
    progress = progress or Silent()
    found: Iterator[Found[Made]]
    made: dict[tuple[str, str], Found[Made]] = {}
    with Processes(min(cores(), _MOST_PROCESSES)) as processes:
        if is_web(text):
            name = without_credentials(text)
            documents = search_api(text, query, reach or reach_of(text), progress)
            found = (Found.of(document, where, make) for document, where in documents)
        else:
            name = text
            executor = processes if apart and cores() > 1 else None
            found = search_folder(Path(source), query, make, progress=progress, executor=executor)
        for each in found:
            made[each.identity] = each
            if len(made) > most:
                raise UsageError(
                    f"more than {most} Items of {name} match; narrow the search by area or time"
                )
    ordered = sorted(made.values(), key=lambda each: each.order)[: query.limit]
    logger.info("%d Items of %s match", len(ordered), name)
    return [each.made for each in ordered]
