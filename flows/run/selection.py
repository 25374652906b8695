"""From a selection to the scenes that take part: search, parse, newest version of each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepsalt.access import reach_of
from deepsalt.errors import DeepsaltError, FormatError, UsageError
from deepsalt.progress import Progress, Silent
from deepsalt.types import Acquisition, version_order
from flows.config import Access, Selection
from flows.run.empty_search import why_nothing
from flows.run.scenes import Book, Packed, Scenes

if TYPE_CHECKING:
    import pystac

    from catalog.search import Query


@dataclass(frozen=True)
class Selected:
    """Scenes that take part, ordered by key, and unusable Items, with the reason by id.

    `access` names the hosts that their Items may refer to, as found in the search.
    """

    scenes: Scenes
    refused: dict[str, str] = field(default_factory=dict)
    access: Access = field(default_factory=Access)


def find_items(selection: Selection, progress: Progress) -> "list[pystac.Item]":
    """Search the catalogue.

    Raises
    ------
    UsageError
        A filter makes no sense, or the area file cannot be read.
    RunError
        The STAC API does not answer.
    """
    from catalog.search import search

    reach = reach_of(selection.catalogue, selection.allow_hosts)
    query = query_of(selection)
    _note_meridian(selection, progress)
    items = search(selection.catalogue, query, reach=reach, progress=progress)
    if not items:
        progress.note(why_nothing(selection, query, progress))
    return items


def _note_meridian(selection: Selection, progress: Progress) -> None:
    """Log how a box is understood whose west is greater than its east."""
    if selection.bbox is not None and selection.bbox[0] > selection.bbox[2]:
        west, _, east, _ = selection.bbox
        progress.note(
            f"west {west:g} is greater than east {east:g}: the area is taken to cross the 180th "
            "meridian"
        )


def query_of(selection: Selection) -> "Query":
    """Return the filters of a selection, as a catalogue is searched with them.

    Raises
    ------
    UsageError
        A filter makes no sense, or the area file cannot be read.
    """
    from catalog.geometry import read_area
    from catalog.search import Query

    return Query(
        collections=selection.collections,
        bbox=selection.bbox,
        area=read_area(selection.area) if selection.area else None,
        datetime=selection.datetime,
        max_cloud_pct=selection.max_cloud_pct,
        max_quality=selection.max_quality,
        limit=selection.limit,
    )


def find_scenes(selection: Selection, progress: Progress | None = None) -> Selected:
    """Search and parse; of several versions of one acquisition, keep the newest.

    Raises
    ------
    UsageError
        Nothing was found, or nothing usable.
    RunError
        The STAC API does not answer.
    """
    from catalog.search import select

    newest: dict[tuple[str, str], _Parsed] = {}
    refused: dict[str, str] = {}
    reach = reach_of(selection.catalogue, selection.allow_hosts)
    progress = progress or Silent()
    query = query_of(selection)
    _note_meridian(selection, progress)
    where = selection.catalogue
    for found in select(where, query, _Parse(), apart=True, reach=reach, progress=progress):
        if isinstance(found, _Refused):
            refused[found.id] = found.reason
            continue
        known = newest.get(found.identity)
        if known is None or version_order(known.version) < version_order(found.version):
            newest[found.identity] = found
    if not newest:
        if refused:
            first = next(iter(refused.values()))
            raise UsageError(
                f"none of the {len(refused)} scenes found can be used; the first: {first}"
            )
        raise UsageError(why_nothing(selection, query, progress))
    ordered = sorted(newest.values(), key=lambda each: each.key)
    return Selected(Scenes.of(each.packed for each in ordered), refused, Access.of(reach))


class _Parsed(NamedTuple):
    """A scene that can be used, and what it is chosen and ordered by."""

    key: str
    identity: tuple[str, str]
    version: str
    packed: Packed


class _Refused(NamedTuple):
    id: str
    reason: str


class _Parse:
    """Makes scenes of Items, packed as they come: ten thousand would fill the memory.

    Pickled, it is a new one: another process has a book of its own.
    """

    def __init__(self) -> None:
        self._book = Book()

    def __reduce__(self) -> tuple[type["_Parse"], tuple[()]]:
        return _Parse, ()

    def __call__(self, document: dict[str, Any], where: str) -> _Parsed | _Refused:
        from catalog.items import parse_item
        from catalog.local import located

        try:
            parsed = parse_item(located(document, where))
        except DeepsaltError as error:
            return _Refused(str(document.get("id")), str(error))
        identity = parsed.collection, parsed.acquisition_id
        return _Parsed(parsed.key, identity, parsed.version, self._book.pack(parsed))


def load_scene(source: str, *, scale: float | None, nodata: float | None) -> Acquisition:
    """Return one scene, given as an Item file or as a product on disk.

    Raises
    ------
    FormatError
        The source is neither of the two.
    """
    from catalog.items import parse_item
    from catalog.local import read_item
    from deepsalt.scenes.base import read_acquisition

    path = Path(source)
    if path.suffix.lower() != ".json":
        return read_acquisition(path, scale=scale, nodata=nodata)
    if not path.is_file():
        raise FormatError(f"{source} does not exist; give a STAC Item file or a product")
    return parse_item(read_item(path))
