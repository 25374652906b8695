"""One Item by its address: a file, or the URL of a STAC API's Item."""

from pathlib import Path
from typing import Any

from catalog.local import located
from catalog.search.server import Server
from deepsalt.access import Reach, is_web, reach_of
from deepsalt.documents import read_json
from deepsalt.errors import FormatError, RunError

_LASTING = frozenset({400, 404, 410})
"""Answers that a later request to the same address would get again."""


def item_document(uri: str, reach: Reach | None = None) -> dict[str, Any]:
    """Return the document of an Item, its asset hrefs absolute.

    Parameters
    ----------
    uri
        Path or URL.
    reach
        Hosts that its server may send us to. Default: public servers, and what lies near it.

    Raises
    ------
    FormatError
        It is not an Item, its server has none there, or it leads to a host that may not be asked.
    RunError
        Its server cannot be reached, or answers with an error that may pass.
    """
    if not is_web(uri):
        path = Path(uri).expanduser().absolute()
        return _checked(located(read_json(path), str(path)), str(path))
    with Server(uri, reach or reach_of(uri)) as server:
        status, text = server.ask(uri, "GET", {})
        if status in _LASTING:
            raise FormatError(
                f"there is no Item at {server.name} (HTTP status {status}); check its address"
            )
        if status != 200:
            raise RunError(
                f"{server.name} answered with HTTP status {status}; check the Item's address and "
                "try again later"
            )
        document = server.read(text)
        if not isinstance(document, dict):
            raise FormatError(f"{server.name} is not a STAC Item; check its address")
        return _checked(located(document, uri), server.name)


def _checked(document: dict[str, Any], name: str) -> dict[str, Any]:
    if document.get("type") != "Feature":
        raise FormatError(f"{name} is not a STAC Item; give the address of one")
    return document
