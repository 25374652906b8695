"""Searching a STAC API through pystac-client: sends only the filters that all servers support.

Collections, place and time go to the server. Cloud cover and quality are filtered on our side: not
all servers have the filter extension, and DLR stores the numbers as text. pystac-client builds the
search and walks the pages; each request goes through `server.py`, which decides whether to send it.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pystac
from pystac_client import Client
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import ParametersError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import DoesNotConformTo, PystacClientWarning

from catalog.geometry import box_halves
from catalog.hrefs import without_credentials
from catalog.search.query import Query, interval_text
from catalog.search.server import Server
from deepsalt.access import Reach
from deepsalt.errors import FormatError, RunError, UsageError
from deepsalt.progress import Progress

PAGE_SIZE = 100
"""Items per request; with 224 bands each takes some 60 kB (DLR allows 500)."""

MAX_PAGES = 2_000
"""Maximum pages of one search: 200,000 Items, as many as a search may return, at 100 per page."""


def search_api(
    url: str, query: Query, reach: Reach, progress: Progress
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the documents of the matching Items, each with its location.

    Raises
    ------
    FormatError
        An answer is not STAC, or the catalogue leads to other hosts or in circles.
    RunError
        The server cannot be reached or answers with an error.
    UsageError
        The catalogue has no search, or the search has more than `MAX_PAGES` pages.
    """
    left = query.limit
    with _explained(url), Server(url, reach) as server:
        client = Client.open(url, stac_io=_Asking(server))
        for document in _documents(client, server.name, query, progress):
            if not query.matches(document):
                continue
            yield document, _address(document, url)
            left = None if left is None else left - 1
            if left == 0:
                return


class _Asking(StacApiIO):
    """The reader behind pystac-client: web servers only, and no request twice."""

    def __init__(self, server: Server) -> None:
        super().__init__(max_retries=None)
        self._server = server
        self._asked: set[tuple[str, str, str]] = set()

    def read_text(self, source: pystac.link.HREF, *args: Any, **kwargs: Any) -> str:
        """Return the text at a link; a plain path would be read from this machine's disk."""
        if isinstance(source, pystac.Link):
            return super().read_text(source, *args, **kwargs)
        return self.request(str(source), *args, **kwargs)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Send a request, without headers that a link demands, whose effect is unknown."""
        name = self._server.name
        method = (method or "GET").upper()
        if method not in {"GET", "POST"}:
            raise FormatError(
                f"{name} has a link with the unsupported method {method!r}; tell its operator"
            )
        question = (method, href, json.dumps(parameters or {}, sort_keys=True))
        if question in self._asked:
            raise FormatError(
                f"{name} links in a circle: {without_credentials(href)} was requested before with "
                f"the same page token; search with --limit, or tell its operator"
            )
        self._asked.add(question)
        status, text = self._server.ask(href, method, parameters or {})
        if not 200 <= status < 300:
            raise RunError(
                f"the STAC API {name} answered with HTTP status {status}; check the address and "
                "try again later"
            )
        return text

    def json_loads(self, txt: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the JSON object in an answer."""
        document = self._server.read(txt)
        if not isinstance(document, dict):
            raise FormatError(f"{self._server.name} answered with JSON that is not an object")
        return document


def _documents(
    client: Client, name: str, query: Query, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Yield what the server finds, page by page, until it ends or repeats itself."""
    pages = items = 0
    for parameters in _requests(client, query):
        seen: set[int] = set()
        for page in client.search(method="POST", **parameters).pages_as_dicts():
            found = page["features"]
            pages = pages + 1
            items = items + len(found)
            progress.listing(pages, items)
            if pages > MAX_PAGES:
                raise UsageError(
                    f"the STAC API {name} sent {items} Items in {pages} pages and has more; "
                    f"narrow the search by area, time or collection, or give --limit"
                )
            ids = hash(tuple((str(each.get("collection")), str(each.get("id"))) for each in found))
            if found and ids in seen:
                raise FormatError(
                    f"{name} keeps sending the same page of Items; search with --limit, or tell "
                    f"its operator"
                )
            seen.add(ids)
            yield from found


def _requests(client: Client, query: Query) -> list[dict[str, Any]]:
    """Return the parameters of the searches: two for a box across 180 degrees.

    Not every server understands a box whose west is greater than its east.
    """
    common: dict[str, Any] = {"limit": min(PAGE_SIZE, query.limit or PAGE_SIZE)}
    if query.collections:
        common["collections"] = list(query.collections)
    if query.interval is not None:
        common["datetime"] = interval_text(query.interval)
    if query.area is not None:
        common["intersects"] = dict(query.area)
    if query.updated_since is not None and client.conforms_to(ConformanceClasses.FILTER):
        common["filter"] = _updated_since(query.updated_since)
        common["filter_lang"] = "cql2-json"
    if query.limit is not None and client.conforms_to(ConformanceClasses.SORT):
        common["sortby"] = "+properties.datetime,+id"
    if query.bbox is None:
        return [common]
    return [{**common, "bbox": list(half)} for half in box_halves(query.bbox)]


def _updated_since(moment: datetime) -> dict[str, Any]:
    """Return the filter on `updated`, else on `created`, in CQL2; Items without either pass."""
    since = moment.isoformat().replace("+00:00", "Z")

    def passes(name: str, otherwise: dict[str, Any] | None) -> dict[str, Any]:
        named = {"property": name}
        lacks: dict[str, Any] = {"op": "isNull", "args": [named]}
        if otherwise is not None:
            lacks = {"op": "and", "args": [lacks, otherwise]}
        late = {"op": ">=", "args": [named, {"timestamp": since}]}
        return {"op": "or", "args": [late, lacks]}

    return passes("updated", passes("created", None))


def _address(document: dict[str, Any], url: str) -> str:
    """Return the location of an Item in an answer: its self link, or else the server."""
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            if isinstance(href, str) and href.startswith(("http://", "https://")):
                return href
    return url


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn errors and warnings of pystac-client into our errors, without credentials."""
    name = without_credentials(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            yield
    except (NotImplementedError, ClientTypeError, DoesNotConformTo) as error:
        raise UsageError(
            f"{name} is not a STAC API with search; give the API's root, or download the "
            f"catalogue and give its folder"
        ) from error
    except ParametersError as error:
        raise UsageError(f"the search cannot be sent to {name}: {error}") from error
    except (pystac.STACError, ValueError) as error:
        raise FormatError(
            f"{name} did not answer with STAC ({error}); check the address"
        ) from error
    except (AttributeError, KeyError, TypeError) as error:  # of pystac-client, deep inside
        raise FormatError(
            f"{name} did not answer with valid STAC: a document or link lacks required fields; "
            f"tell its operator"
        ) from error
