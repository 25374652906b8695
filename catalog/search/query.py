"""What to search for, and whether an Item matches: the same rules for folders and servers."""

import calendar
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from shapely import prepare
from shapely.geometry.base import BaseGeometry

from catalog.fields import Fields, shown, utc
from catalog.geometry import box_shape, to_shape
from catalog.statistics import cloud_cover, overall_quality
from deepsalt.errors import FormatError, UsageError
from deepsalt.types import Bbox

Moment = datetime  # a query has a field of this name
Interval = tuple[datetime | None, datetime | None]

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")
_LAST = timedelta(microseconds=1)


@dataclass(frozen=True)
class Query:
    """Filters of a search; an Item has to pass all of them.

    Parameters
    ----------
    collections
        Collection ids; empty for all.
    bbox
        West, south, east, north in degrees WGS84; a west greater than the east crosses 180 degrees.
        Items match if their footprint touches it.
    area
        GeoJSON geometry in degrees WGS84, see `read_area`; not together with `bbox`.
    datetime
        ``2024``, ``2024-06``, ``2024-06-30``, a full RFC 3339 time, or two of them as ``from/to``,
        where ``..`` or nothing leaves an end open; both ends are included. UTC unless it has a time
        zone. Scenes without a date match only searches without `datetime`.
    max_cloud_pct
        Maximum cloud cover, percent. Scenes that state none do not match: without a cloud mask
        (PRISMA, generic cubes) only this filter keeps clouds out of a mosaic.
    max_quality
        Worst overall quality: 0 nominal, 1 reduced, 2 low. Scenes that state none match: only EnMAP
        rates it.
    limit
        Maximum number of Items to return.
    updated_since
        Earliest `updated` of an Item, else its `created`, UTC. Items that state neither match.

    Raises
    ------
    UsageError
        A filter makes no sense.
    """

    collections: tuple[str, ...] = ()
    bbox: Bbox | None = None
    area: Mapping[str, Any] | None = field(default=None, hash=False)
    datetime: str | None = None
    max_cloud_pct: float | None = None
    max_quality: int | None = None
    limit: int | None = None
    updated_since: "Moment | None" = None

    def __post_init__(self) -> None:
        """Refuse filters that make no sense."""
        if self.bbox is not None and self.area is not None:
            raise UsageError("bounding box and area exclude each other; give one of them")
        _check_bbox(self.bbox)
        if self.max_cloud_pct is not None and not 0 <= self.max_cloud_pct <= 100:
            raise UsageError(
                f"the maximum cloud cover is {self.max_cloud_pct}; expected 0 to 100 percent"
            )
        if self.max_quality is not None and self.max_quality not in {0, 1, 2}:
            raise UsageError(
                f"the worst quality is {self.max_quality}; expected 0 nominal, 1 reduced or 2 low"
            )
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"the limit is {self.limit}; expected at least 1")
        if self.area is not None:
            to_shape(self.area)
        if self.datetime is not None:
            parse_interval(self.datetime)

    @cached_property
    def region(self) -> BaseGeometry | None:
        """Area to search as shapely geometry; None for everywhere."""
        if self.bbox is not None:
            region = box_shape(self.bbox)
        elif self.area is not None:
            region = to_shape(self.area)
        else:
            return None
        prepare(region)
        return region

    @cached_property
    def interval(self) -> Interval | None:
        """First and last moment to search, UTC; None for an open end, or for any time."""
        return None if self.datetime is None else parse_interval(self.datetime)

    @cached_property
    def with_any_cloud(self) -> "Query":
        """The query without its largest cloud cover."""
        return replace(self, max_cloud_pct=None)

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Return whether an Item's document passes all filters.

        An Item whose fields cannot be read does not pass the filter that needs them.

        Raises
        ------
        FormatError
            It has no properties.
        """
        where = f"'properties' of item {shown(document.get('id'))}"
        properties = Fields.of(document.get("properties"), where)
        if self.collections and document.get("collection") not in self.collections:
            return False
        try:
            return (
                self._passes_statistics(properties)
                and self._passes_time(properties)
                and self._passes_update(properties)
                and self._passes_place(document)
            )
        except (FormatError, UsageError):
            return False

    def _passes_statistics(self, properties: Fields) -> bool:
        if self.max_cloud_pct is not None:
            cloud = cloud_cover(properties)
            if cloud is None or cloud > self.max_cloud_pct:
                return False
        if self.max_quality is not None:
            quality = overall_quality(properties)
            return quality is None or quality <= self.max_quality
        return True

    def _passes_time(self, properties: Fields) -> bool:
        if self.interval is None:
            return True
        if properties.flag("deepsalt:date_unknown"):
            return False
        start = properties.moment("start_datetime") or properties.moment("datetime")
        end = properties.moment("end_datetime") or start
        if start is None or end is None:
            return False
        first, last = self.interval
        return (first is None or end >= first) and (last is None or start <= last)

    def _passes_update(self, properties: Fields) -> bool:
        if self.updated_since is None:
            return True
        updated = properties.moment("updated") or properties.moment("created")
        return updated is None or updated >= self.updated_since

    def _passes_place(self, document: Mapping[str, Any]) -> bool:
        if self.region is None:
            return True
        geometry = document.get("geometry")
        return isinstance(geometry, Mapping) and bool(self.region.intersects(to_shape(geometry)))


def sort_key(document: Mapping[str, Any]) -> tuple[datetime, str]:
    """Return the sort key of results: start of the acquisition, then id; undated last."""
    properties = document.get("properties")
    values: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    undated = values.get("deepsalt:date_unknown")
    text = None if undated else values.get("start_datetime") or values.get("datetime")
    moment = utc(text) if isinstance(text, str) else None
    return moment or datetime.max.replace(tzinfo=UTC), str(document.get("id"))


def parse_interval(text: str) -> Interval:
    """Return first and last moment of a STAC datetime range, UTC.

    Raises
    ------
    UsageError
        It is not a time or range, or ends before it begins.
    """
    parts = text.strip().split("/")
    if len(parts) > 2 or not any(part.strip(" .") for part in parts):
        raise _no_time(text)
    bounds = [None if part.strip() in {"", ".."} else _bounds(part, text) for part in parts]
    first = bounds[0]
    last = bounds[-1]
    interval = (first and first[0], last and last[1])
    if interval[0] and interval[1] and interval[0] > interval[1]:
        raise UsageError(f"the datetime {shown(text)} ends before it begins; swap its two ends")
    return interval


def interval_text(interval: Interval) -> str:
    """Return an interval as STAC APIs expect it."""
    return "/".join(
        ".." if moment is None else moment.isoformat().replace("+00:00", "Z") for moment in interval
    )


def _bounds(part: str, text: str) -> tuple[datetime, datetime]:
    """Return first and last moment of a year, month, day or full time."""
    part = part.strip()
    partial = _PARTIAL.fullmatch(part)
    try:
        if partial is None:
            full = datetime.fromisoformat(part)
            moment = (full if full.tzinfo else full.replace(tzinfo=UTC)).astimezone(UTC)
            return moment, moment
        month, day = (None if group is None else int(group) for group in partial.groups()[1:])
        first = datetime(int(partial[1]), month or 1, day or 1, tzinfo=UTC)
        days = 1 if day else calendar.monthrange(first.year, first.month)[1]
        if month is None:
            days = 366 if calendar.isleap(first.year) else 365
        return first, first + timedelta(days=days) - _LAST
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error


def _no_time(text: str) -> UsageError:
    return UsageError(
        f"the datetime {shown(text)} is neither a time nor a range; expected for example "
        f"2024-06-30 or 2024-06-01/2024-08-31"
    )


def _check_bbox(bbox: Bbox | None) -> None:
    if bbox is None:
        return
    numbers = len(bbox) == 4 and all(math.isfinite(value) for value in bbox)
    if not numbers:
        raise UsageError(f"the bounding box {bbox} is not west, south, east, north in degrees")
    west, south, east, north = bbox
    if not (-180 <= west <= 180 and -180 <= east <= 180 and south >= -90 and north <= 90):
        raise UsageError(
            f"the bounding box {bbox} exceeds longitude -180 to 180 or latitude -90 to 90; give "
            f"west, south, east, north in degrees WGS84"
        )
    if south > north:
        raise UsageError(
            f"the bounding box {bbox} has its south {south} above its north {north}; the order is "
            f"west, south, east, north"
        )
