"""What a catalogue published since a moment: acquisitions, and Items that cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from catalog.items import parse_item
from catalog.local import located
from catalog.search import select
from deepsalt.access import is_web, reach_of
from deepsalt.errors import DeepsaltError
from deepsalt.progress import Progress, Silent
from deepsalt.types import Acquisition
from flows.config import Selection
from flows.run.selection import query_of


@dataclass(frozen=True, slots=True)
class Announced:
    """An acquisition that a catalogue or an event told of.

    Parameters
    ----------
    acquisition
        The acquisition.
    item
        Path or URL of its Item.
    updated
        When its catalogue published it in this form, UTC; None when it does not say.
    """

    acquisition: Acquisition
    item: str
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An Item that cannot be used, and why; its address is as of `Announced`."""

    id: str
    item: str
    reason: str
    updated: datetime | None = None


def published_since(
    selection: Selection, since: datetime | None, progress: Progress | None = None
) -> list[Announced | Unusable]:
    """Return what a catalogue published from a moment on; all of it without one.

    An Item that does not say when it was published is returned each time.

    Raises
    ------
    UsageError, FormatError
        The catalogue cannot be searched so.
    RunError
        The STAC API does not answer.
    """
    query = replace(query_of(selection), updated_since=since)
    reach = reach_of(selection.catalogue, selection.allow_hosts)
    read = partial(_read, selection.catalogue)
    return select(selection.catalogue, query, read, reach=reach, progress=progress or Silent())


def _read(catalogue: str, document: dict[str, Any], where: str) -> Announced | Unusable:
    updated = _updated(document)
    try:
        found = parse_item(located(document, where))
    except DeepsaltError as error:
        id = str(document.get("id"))
        return Unusable(id, _address(catalogue, document, where), str(error), updated)
    return Announced(found, _address(catalogue, document, where), updated)


def _address(catalogue: str, document: Mapping[str, Any], where: str) -> str:
    """Return the address of an Item; one without a link to itself lies where STAC APIs have it."""
    if where != catalogue or not is_web(catalogue):
        return where
    collection, id = document.get("collection"), document.get("id")
    return f"{catalogue.rstrip('/')}/collections/{collection}/items/{id}"


def _updated(document: Mapping[str, Any]) -> datetime | None:
    properties = document.get("properties")
    values = properties if isinstance(properties, Mapping) else {}
    text = values.get("updated") or values.get("created")
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo else None
