"""An announcement of one scene, from whoever can reach the server: checked like any input."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.items import parse_item
from catalog.search.item import item_document
from deepsalt.access import Reach, is_web, reach_of, without_secrets
from deepsalt.errors import FormatError
from flows.config import Selection
from flows.run.selection import query_of
from flows.watch.news import Announced

EVENT = "deepsalt.scene.arrived"
"""Name of the event; its payload has the path or URL of the Item as ``item``."""

_LONGEST = 2000


def item_of(payload: Mapping[str, Any]) -> str:
    """Return the address of the Item in an event's payload.

    Raises
    ------
    FormatError
        The payload has none.
    """
    item = payload.get("item")
    if not isinstance(item, str) or not item.strip() or len(item) > _LONGEST:
        raise FormatError(
            f"an event {EVENT} has no address of an Item; give it as 'item' in its payload"
        )
    if not item.isprintable():  # no system has such a path, and log lines would break
        raise FormatError(
            f"an event {EVENT} has an address of an Item with control characters; give a path or "
            "URL as 'item' in its payload"
        )
    if is_web(item) and "@" in item.split("/")[2]:
        raise FormatError(
            f"an event {EVENT} has a user in the address of its Item, which all who see the "
            "run could read; leave it out"
        )
    return item


def arrived(item: str, selection: Selection) -> Announced | None:
    """Return the acquisition of an announced Item; None if the selection does not include it.

    The Item is read from where the catalogue is: a folder's Items from that folder, a server's from
    the hosts that the catalogue may refer to.

    Parameters
    ----------
    item
        Path or URL of the Item.
    selection
        Which scenes of which catalogue are watched.

    Raises
    ------
    FormatError
        The Item lies elsewhere, or is none.
    RunError
        Its server does not answer.
    """
    reach = reach_of(selection.catalogue, selection.allow_hosts)
    if not _is_within(item, selection, reach):
        raise FormatError(
            f"the announced Item {without_secrets(item)[:200]} does not lie in the catalogue "
            f"{without_secrets(selection.catalogue)}; announce Items of the watched catalogue"
        )
    document = item_document(item, reach)
    if not query_of(selection).matches(document):
        return None
    return Announced(parse_item(document), item)


def _is_within(item: str, selection: Selection, reach: Reach) -> bool:
    """Return whether an Item lies in a catalogue; what is no address lies in none."""
    try:
        if is_web(selection.catalogue):
            return reach.follows(selection.catalogue, item)
        return not is_web(item) and _inside(Path(item), Path(selection.catalogue))
    except (ValueError, RuntimeError):  # no port or user of such a name
        return False


def _inside(path: Path, folder: Path) -> bool:
    root = folder.expanduser()
    home = (root if root.is_dir() else root.parent).resolve()
    return path.expanduser().resolve().is_relative_to(home)
