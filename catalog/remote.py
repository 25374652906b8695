"""Searching a STAC API through pystac-client: asks for what servers filter alike, no more.

Collections, place and time go to the server. Cloud cover and quality are filtered on our side: the
filter extension is not everywhere, and DLR stores the numbers as text.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pystac
from pystac_client import Client
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import DoesNotConformTo, PystacClientWarning
from urllib3 import Retry

from catalog.geometry import box_halves
from catalog.hrefs import without_credentials
from catalog.local import located
from catalog.query import Query, interval_text
from deepsalt.errors import FormatError, RunError, UsageError

PAGE_SIZE = 100
"""Items per request; with 224 bands each they weigh some 60 kB (DLR allows 500)."""

TIMEOUT_S = (10.0, 60.0)
"""Seconds to wait for a connection and between two bytes of an answer."""

_MAX_SENT = 1_000_000  # a server whose pages link in a circle would never end

RETRIES = Retry(
    total=5,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # a search by POST changes nothing and may be repeated
    respect_retry_after_header=False,  # a server could make us wait for hours
    raise_on_status=False,
)
"""Server errors and timeouts are tried again, 8 seconds in all; 4xx answers are final."""


def search_api(url: str, query: Query) -> Iterator[dict[str, Any]]:
    """Yield the documents of the Items that match, each with absolute asset hrefs.

    Raises
    ------
    FormatError
        An answer that is no STAC.
    RunError
        The server cannot be reached or answers with an error.
    UsageError
        A STAC catalogue without search.
    """
    left = query.limit
    with _explained(url):
        client = Client.open(url, stac_io=StacApiIO(timeout=TIMEOUT_S, max_retries=RETRIES))
        for parameters in _requests(client, query):
            found = client.search(method="POST", **parameters).items_as_dicts()
            for number, document in enumerate(found):
                if number >= _MAX_SENT:
                    raise RunError(
                        f"the STAC API {without_credentials(url)} sent {number} Items and goes on; "
                        "narrow the search by area or time"
                    )
                if not query.matches(document):
                    continue
                yield located(document, _address(document, url))
                left = None if left is None else left - 1
                if left == 0:
                    return


def _requests(client: Client, query: Query) -> list[dict[str, Any]]:
    """Return the parameters of the searches to make: two for a box across 180 degrees.

    Not every server understands a box whose west is east of its east.
    """
    common: dict[str, Any] = {"limit": min(PAGE_SIZE, query.limit or PAGE_SIZE)}
    if query.collections:
        common["collections"] = list(query.collections)
    if query.interval is not None:
        common["datetime"] = interval_text(query.interval)
    if query.area is not None:
        common["intersects"] = dict(query.area)
    if query.limit is not None and client.conforms_to(ConformanceClasses.SORT):
        common["sortby"] = "+properties.datetime,+id"
    if query.bbox is None:
        return [common]
    return [{**common, "bbox": list(half)} for half in box_halves(query.bbox)]


def _address(document: dict[str, Any], url: str) -> str:
    """Return where an Item of an answer lies: its self link, or else the server."""
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            if isinstance(href, str) and href.startswith(("http://", "https://")):
                return href
    return url


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what pystac-client raises and warns of into our errors, without credentials."""
    name = without_credentials(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            yield
    except APIError as error:
        status = getattr(error, "status_code", None)
        found = "did not answer" if status is None else f"answered with HTTP status {status}"
        raise RunError(
            f"the STAC API {name} {found}; check the address and try again later"
        ) from error
    except (NotImplementedError, ClientTypeError, DoesNotConformTo) as error:
        raise UsageError(
            f"{name} is no STAC API with search; give the API's root, or download the catalogue "
            "and give its folder"
        ) from error
    except ParametersError as error:
        raise UsageError(f"the search cannot be sent to {name}: {error}") from error
    except (pystac.STACError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{name} answered with something that is no STAC ({error})") from error
