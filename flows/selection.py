"""From a selection to the scenes that take part: search, parse, newest version of each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import DeepsaltError, FormatError, UsageError
from deepsalt.types import Acquisition
from flows.config import Selection

if TYPE_CHECKING:
    import pystac


@dataclass(frozen=True)
class Scene:
    """A scene that was found: its Item as plain JSON and what we made of it."""

    item: dict[str, Any]
    acquisition: Acquisition


@dataclass(frozen=True)
class Found:
    """Scenes that take part, ordered by key, and Items that cannot, with the reason by id."""

    scenes: tuple[Scene, ...]
    refused: dict[str, str] = field(default_factory=dict)


def find_items(selection: Selection) -> "list[pystac.Item]":
    """Search the catalogue.

    Raises
    ------
    UsageError
        A filter that makes no sense, an area file that cannot be read.
    RunError
        A STAC API that does not answer.
    """
    from catalog.search import Query, read_area, search

    query = Query(
        collections=selection.collections,
        bbox=selection.bbox,
        area=read_area(selection.area) if selection.area else None,
        datetime=selection.datetime,
        max_cloud_pct=selection.max_cloud_pct,
        max_quality=selection.max_quality,
        limit=selection.limit,
    )
    return search(selection.catalogue, query)


def find_scenes(selection: Selection) -> Found:
    """Search and parse; of several versions of one acquisition, keep the newest.

    Raises
    ------
    UsageError
        Nothing was found, or nothing that can be used.
    RunError
        A STAC API that does not answer.
    """
    from catalog.items import parse_item

    newest: dict[tuple[str, str], Scene] = {}
    refused: dict[str, str] = {}
    for item in find_items(selection):
        try:
            acquisition = parse_item(item)
        except DeepsaltError as error:
            refused[item.id] = str(error)
            continue
        identity = (acquisition.collection, acquisition.acquisition_id)
        known = newest.get(identity)
        if known is None or known.acquisition.version < acquisition.version:
            newest[identity] = Scene(item.to_dict(), acquisition)
    if not newest:
        raise UsageError(_nothing(selection, refused))
    scenes = sorted(newest.values(), key=lambda scene: scene.acquisition.key)
    return Found(tuple(scenes), refused)


def _nothing(selection: Selection, refused: dict[str, str]) -> str:
    if refused:
        first = next(iter(refused.values()))
        return f"none of the {len(refused)} scenes found can be used; the first: {first}"
    return (
        f"no scene in {selection.catalogue} matches the filters; widen --bbox, --area, --datetime "
        "or --max-cloud, or see `deepsalt search` without filters"
    )


def load_item(source: str, *, scale: float | None, nodata: float | None) -> dict[str, Any]:
    """Return the STAC Item of one scene, given as an Item file or as a product on disk.

    Raises
    ------
    FormatError
        Neither of the two.
    """
    from catalog.items import to_item
    from catalog.local import read_item
    from deepsalt.scenes.base import read_acquisition

    path = Path(source)
    if path.suffix.lower() == ".json":
        if not path.is_file():
            raise FormatError(f"{source} does not exist; give a STAC Item file or a product")
        return read_item(path).to_dict()
    return to_item(read_acquisition(path, scale=scale, nodata=nodata)).to_dict()
