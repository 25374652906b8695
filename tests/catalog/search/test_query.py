"""Filters: what is refused, what matches."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from catalog.geometry import footprint_geometry, planar, read_area, ring_of
from catalog.items import to_item
from catalog.search.query import Query, parse_interval, sort_key
from deepsalt.errors import FormatError, UsageError
from deepsalt.types import Bbox
from tests.catalog.scenes import acquisition, square

POLYGON = {"type": "Polygon", "coordinates": [[[9, 44], [11, 44], [11, 46], [9, 46], [9, 44]]]}


def item(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(to_item(acquisition(**changes)).to_dict()))
    return document


def with_properties(**values: Any) -> dict[str, Any]:
    document = item()
    document["properties"] |= {key.replace("__", ":"): value for key, value in values.items()}
    return document


@pytest.mark.parametrize(
    ("filters", "word"),
    [
        ({"bbox": (5.0, 50.0, 6.0, 40.0)}, "order is west, south"),
        ({"bbox": (5.0, 40.0, 600.0, 50.0)}, "exceeds longitude"),
        ({"bbox": (5.0, 40.0, math.nan, 50.0)}, "degrees"),
        ({"bbox": (5.0, 40.0)}, "degrees"),
        ({"bbox": (5.0, 40.0, 6.0, 41.0), "area": POLYGON}, "exclude each other"),
        ({"area": {"type": "Polygon"}}, "not GeoJSON"),
        ({"area": {"type": "Polygon", "coordinates": []}}, "empty"),
        ({"datetime": "last summer"}, "neither a time"),
        ({"datetime": "2024-13"}, "neither a time"),
        ({"datetime": ""}, "neither a time"),
        ({"datetime": "9999"}, "neither a time"),
        ({"datetime": "../.."}, "neither a time"),
        ({"datetime": "2024/2023"}, "ends before"),
        ({"datetime": "2024/2025/2026"}, "neither a time"),
        ({"max_cloud_pct": 120.0}, "percent"),
        ({"max_cloud_pct": math.nan}, "percent"),
        ({"max_quality": 3}, "nominal"),
        ({"limit": 0}, "limit"),
    ],
    ids=repr,
)
def test_a_filter_that_makes_no_sense_is_refused(filters: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Query(**filters)


LAST = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2025, 1, 1) - LAST),
        ("2024-02", datetime(2024, 2, 1), datetime(2024, 3, 1) - LAST),
        ("2024-02-29", datetime(2024, 2, 29), datetime(2024, 3, 1) - LAST),
        ("2024-06/2024-08", datetime(2024, 6, 1), datetime(2024, 9, 1) - LAST),
        ("2024-06-01T12:00:00+02:00", datetime(2024, 6, 1, 10), datetime(2024, 6, 1, 10)),
        ("2024-06-01/..", datetime(2024, 6, 1), None),
        ("/2024-06-01", None, datetime(2024, 6, 2) - LAST),
    ],
)
def test_a_datetime_range_includes_both_of_its_ends(
    text: str, first: datetime | None, last: datetime | None
) -> None:
    expected = tuple(None if m is None else m.replace(tzinfo=UTC) for m in (first, last))
    assert parse_interval(text) == expected


MATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "nothing asked": ({}, item(), True),
    "its collection": ({"collections": ("enmap-l2a",)}, item(), True),
    "another collection": ({"collections": ("prisma-l2d",)}, item(), False),
    "box over it": ({"bbox": (10.1, 45.1, 10.2, 45.2)}, item(), True),
    "box beside it": ({"bbox": (10.5, 45.1, 10.6, 45.2)}, item(), False),
    "box that touches": ({"bbox": (10.4, 45.1, 10.6, 45.2)}, item(), True),
    "area over it": ({"area": POLYGON}, item(), True),
    "its day": ({"datetime": "2024-06-30"}, item(), True),
    "the day before": ({"datetime": "2024-06-29"}, item(), False),
    "open range": ({"datetime": "../2024-07"}, item(), True),
    "undated, no range": ({}, item(start=None, end=None), True),
    "undated, any range": ({"datetime": "1970/2100"}, item(start=None, end=None), False),
    "clouds as text, above": ({"max_cloud_pct": 10}, with_properties(eo__cloud_cover="72"), False),
    "clouds as text, below": ({"max_cloud_pct": 80}, with_properties(eo__cloud_cover="72"), True),
    "clouds unknown": ({"max_cloud_pct": 100}, item(cloud_cover_pct=None), False),
    "clouds garbled": ({"max_cloud_pct": 100}, with_properties(eo__cloud_cover="n/a"), False),
    "quality as text": ({"max_quality": 1}, with_properties(enmap__overallQuality="2"), False),
    "quality good": ({"max_quality": 1}, with_properties(enmap__overallQuality="1"), True),
    "quality unknown": ({"max_quality": 0}, item(overall_quality=None), True),
    "box over 180": ({"bbox": (179.0, 9, -179.0, 11)}, item(footprint=square(179.9, 10)), True),
    "east of 180": ({"bbox": (-179.9, 9, -179.0, 11)}, item(footprint=square(179.9, 10)), True),
    "far from 180": ({"bbox": (-10.0, 9, 10.0, 11)}, item(footprint=square(179.9, 10)), False),
    "box over 180, elsewhere": ({"bbox": (179.0, 40, -179.0, 50)}, item(), False),
}


@pytest.mark.parametrize("case", MATCHES)
def test_an_item_matches_a_query_in_place_time_and_clouds(case: str) -> None:
    filters, document, expected = MATCHES[case]
    assert Query(**filters).matches(document) is expected


def test_a_ring_that_jumps_across_180_degrees_matches_like_one_cut_there() -> None:
    document = item(footprint=square(179.9, 10))
    ring = [list(point) for point in square(179.9, 10)]
    document["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    assert Query(bbox=(179.0, 9, -179.0, 11)).matches(document)
    assert not Query(bbox=(-10.0, 9, 10.0, 11)).matches(document)


def test_results_are_sorted_by_date_then_id_with_undated_last() -> None:
    documents = [
        item(scene_id="c", start=None, end=None),
        item(scene_id="b"),
        item(scene_id="a"),
        item(scene_id="z", start=datetime(2020, 1, 1, tzinfo=UTC), end=None),
    ]
    assert [d["id"] for d in sorted(documents, key=sort_key)] == ["z", "a", "b", "c"]


@example(180.0, 0.0, 1.0)
@example(-180.0, 0.0, 1.0)
@example(179.0, 0.0, 1.0)
@example(179.75, 5e-324, 0.5)
@settings(max_examples=100)
@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(0.01, 2))
def test_the_footprint_in_an_item_covers_the_ring(west: float, south: float, side: float) -> None:
    ring = square(west, south, side)
    geometry, bbox = footprint_geometry(ring)
    parsed = shape(geometry)
    assert parsed.area == pytest.approx(side * side, rel=1e-6)
    assert all(-180 <= value <= 180 for value in bbox)
    assert ring_of(geometry, "item") is not None
    assert planar(parsed).area == pytest.approx(parsed.area)


@pytest.mark.parametrize(
    ("document", "area"),
    [
        (POLYGON, 4.0),
        ({"type": "Feature", "properties": {}, "geometry": POLYGON}, 4.0),
        (
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "properties": {}, "geometry": POLYGON}] * 2,
            },
            4.0,
        ),
        (
            {
                "type": "Polygon",
                "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]],
            },
            2.0,
        ),
    ],
    ids=["geometry", "feature", "collection", "antimeridian"],
)
def test_read_area_takes_every_kind_of_geojson(
    document: dict[str, Any], area: float, tmp_path: Path
) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(document))
    assert shape(read_area(path)).area == pytest.approx(area)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "cannot be read"),
        ("[1]", "GeoJSON object"),
        ('{"type": "FeatureCollection", "features": []}', "no geometry"),
        ('{"type": "Point", "coordinates": [10, 45]}', "polygons"),
        (
            '{"type": "Polygon", "coordinates": [[[5e5,4e6],[6e5,4e6],[6e5,5e6],[5e5,4e6]]]}',
            "reach",
        ),
    ],
    ids=["not JSON", "a list", "empty", "a point", "metres"],
)
def test_read_area_refuses_what_is_no_area(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(text)
    with pytest.raises(UsageError, match=word) as error:
        read_area(path)
    assert str(path) in str(error.value)


def test_read_area_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_area(tmp_path / "nowhere.geojson")


BOX: Bbox = (10.0, 45.0, 11.0, 46.0)


def test_an_item_without_usable_geometry_matches_no_place() -> None:
    document = item()
    document["geometry"] = {"type": "Polygon", "coordinates": "everywhere"}
    assert not Query(bbox=BOX).matches(document)


def test_a_multipolygon_of_another_provider_gives_one_ring() -> None:
    parts = [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]], [[[1, 0], [2, 0], [2, 1], [1, 1], [1, 0]]]]
    ring = ring_of({"type": "MultiPolygon", "coordinates": parts}, "item")
    assert ring[0] == ring[-1]
    assert {x for x, _ in ring} == {0.0, 2.0}


def test_a_line_is_no_footprint() -> None:
    with pytest.raises(FormatError, match="LineString"):
        ring_of({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "item")
