"""Why a search found nothing: where the scenes are, and how many each filter leaves out."""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deepsalt.access import is_web, reach_of
from deepsalt.errors import DeepsaltError, UsageError
from deepsalt.progress import Progress
from flows.config import Selection

if TYPE_CHECKING:
    from catalog.search import Query

_MOST = 500
"""Maximum Items requested from a server: five pages. In a folder all are read."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNREADABLE = "fields that cannot be read"


@dataclass(frozen=True, slots=True)
class _Scene:
    """Facts of an Item: the filters that leave it out, bounds (degrees), day, cloud cover."""

    left_out_by: tuple[str, ...]
    fits: tuple[str, ...]
    bounds: tuple[float, float, float, float] | None
    day: str | None
    cloud_known: bool


def why_nothing(selection: Selection, query: "Query", progress: Progress) -> str:
    """Return a sentence or two on a search without a result.

    Parameters
    ----------
    selection
        What was searched.
    query
        Its filters.
    progress
        Receives progress on the pages of a server.
    """
    from catalog.hrefs import without_credentials
    from catalog.search import Query, select

    filters = _filters(query)
    others = _other_boxes(query)

    def read(document: dict[str, Any], _where: str) -> _Scene:
        return _read(document, filters, others)

    name = without_credentials(selection.catalogue)
    short = f"no scene in {name} matches the filters"
    reach = reach_of(selection.catalogue, selection.allow_hosts)
    # A server has collections of other missions, which are of no interest here.
    every = Query(collections=query.collections, limit=_MOST) if is_web(name) else Query()
    try:
        scenes = select(selection.catalogue, every, read, reach=reach, progress=progress)
    except DeepsaltError:
        # The original search worked where this longer one fails; its result stays empty.
        return f"{short}; widen --bbox, --area, --datetime or --max-cloud"
    if not scenes:
        if query.collections and is_web(name):
            return f"{name} has no scenes in the collections {', '.join(query.collections)}"
        return f"{name} has no scenes; `deepsalt ingest` describes products in it"
    return "".join((short, _where(scenes, every.limit), _who(scenes), _instead(scenes)))


def _filters(query: "Query") -> Mapping[str, "Query"]:
    """Return a query for each option that was given."""
    from catalog.search import Query

    nothing = Query()
    each = {
        "--collection": replace(nothing, collections=query.collections),
        "--bbox": replace(nothing, bbox=query.bbox),
        "--area": replace(nothing, area=query.area),
        "--datetime": replace(nothing, datetime=query.datetime),
        "--max-cloud": replace(nothing, max_cloud_pct=query.max_cloud_pct),
        "--max-quality": replace(nothing, max_quality=query.max_quality),
    }
    return {option: one for option, one in each.items() if one != nothing}


def _other_boxes(query: "Query") -> Mapping[str, "Query"]:
    """Return queries with boxes that may have been meant, by a phrase for each."""
    from catalog.search import Query

    if query.bbox is None:
        return {}
    west, south, east, north = query.bbox
    meant = {
        "with longitude and latitude swapped": (south, west, north, east),
        "with west and east swapped, not across the 180th meridian": (east, south, west, north),
    }
    found = {}
    for phrase, (w, s, e, n) in meant.items():
        text = f"{phrase}, --bbox {w:g},{s:g},{e:g},{n:g}"
        if w < e:
            try:
                found[text] = Query(bbox=(w, s, e, n))
            except UsageError:
                continue
    return found


def _read(
    document: dict[str, Any], filters: Mapping[str, "Query"], others: Mapping[str, "Query"]
) -> _Scene:
    from catalog.geometry import to_shape

    properties = document.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    bounds = None
    left_out: tuple[str, ...] = (_UNREADABLE,)
    fits: tuple[str, ...] = ()
    with suppress(DeepsaltError):
        left_out = tuple(option for option, one in filters.items() if not one.matches(document))
        fits = tuple(text for text, one in others.items() if one.matches(document))
    with suppress(DeepsaltError):
        if isinstance(geometry := document.get("geometry"), Mapping):
            bounds = to_shape(geometry).bounds
    text = known.get("start_datetime") or known.get("datetime")
    dated = isinstance(text, str) and not known.get("deepsalt:date_unknown")
    day = _DAY.match(str(text)) if dated else None
    return _Scene(
        left_out,
        fits,
        bounds,
        day.group() if day else None,
        known.get("eo:cloud_cover") is not None,
    )


def _where(scenes: list[_Scene], complete_of: int | None) -> str:
    """Return how many scenes there are, where and when."""
    text = f"; it holds {_count(len(scenes))}"
    if complete_of is not None and len(scenes) == complete_of:
        text = f"; its first {complete_of} scenes lie"
    bounds = [each.bounds for each in scenes if each.bounds is not None]
    if bounds:
        west, south = (min(each[side] for each in bounds) for side in (0, 1))
        east, north = (max(each[side] for each in bounds) for side in (2, 3))
        text += f", within --bbox {west:.2f},{south:.2f},{east:.2f},{north:.2f}"
    days = sorted(each.day for each in scenes if each.day is not None)
    return text + (f", of {days[0]} to {days[-1]}" if days else "")


def _who(scenes: list[_Scene]) -> str:
    """Return how many scenes each option leaves out."""
    left_out = Counter(option for each in scenes for option in each.left_out_by)
    parts = []
    for option, count in left_out.most_common():
        unknown = sum(not each.cloud_known for each in scenes if option in each.left_out_by)
        stated = option != "--max-cloud" or not unknown
        if option == _UNREADABLE:
            parts.append(f"{count} have {_UNREADABLE}")
            continue
        note = "" if stated else f" ({unknown} state no cloud cover)"
        parts.append(f"{option} leaves out {count}{note}")
    return f". {', '.join(parts)}" if parts else ""


def _instead(scenes: list[_Scene]) -> str:
    """Return another box that would have found scenes."""
    fitting = Counter(text for each in scenes for text in each.fits)
    return "".join(f"; {text} finds {_count(count)}" for text, count in fitting.items())


def _count(number: int) -> str:
    return f"{number} scene{'' if number == 1 else 's'}"
