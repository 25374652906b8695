"""Areas and boxes across 180 degrees and around a pole."""

import math
from itertools import pairwise
from typing import Any

import antimeridian
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import Point, Polygon, box, shape
from shapely.ops import unary_union

from catalog.geometry import Ring, box_shape, footprint_geometry, planar
from catalog.search.query import Query
from deepsalt.types import Bbox
from tests.catalog.search.test_query import item


def wrapped(points: list[tuple[float, float]]) -> Ring:
    """Return a closed ring over continuous longitudes as one that jumps at 180 degrees."""
    return tuple((x if abs(x) <= 180 else x - 360, y) for x, y in (*points, points[0]))


def turned_square(west: float, south: float, turn: float) -> list[tuple[float, float]]:
    """Return the corners of a scene as satellites see it, turned by degrees."""
    angles = [math.radians(turn + quarter) for quarter in (45, 135, 225, 315)]
    return [(west + 0.4 * math.cos(a), south + 0.3 * math.sin(a)) for a in angles]


@settings(max_examples=100)
@given(st.floats(179.8, 180.2), st.floats(-80, 80), st.floats(0, 90))
def test_a_scene_is_cut_as_the_library_antimeridian_cuts_it(
    lon: float, lat: float, turn: float
) -> None:
    ring = wrapped(turned_square(lon, lat, turn))
    geometry, bbox = footprint_geometry(ring)
    theirs = antimeridian.fix_polygon(Polygon(ring), fix_winding=True, great_circle=False)
    assert shape(geometry).symmetric_difference(theirs).area < 1e-5
    assert bbox == pytest.approx(antimeridian.bbox(theirs), abs=1e-6)


@st.composite
def stars(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Return corners of a star on a coarse grid about 180 degrees, some on that meridian."""
    count = draw(st.integers(4, 9))
    radii = draw(st.lists(st.integers(1, 8), min_size=count, max_size=count))
    turns = [2 * math.pi * k / count for k in range(count)]
    points = [
        (180 + round(r * math.cos(t)), round(r * math.sin(t)))
        for r, t in zip(radii, turns, strict=True)
    ]
    return points if draw(st.booleans()) else points[::-1]


@settings(max_examples=200)
@given(stars())
def test_no_part_of_a_ring_is_lost_or_added_where_it_is_cut(points: list[Any]) -> None:
    flat = Polygon(points)
    if not (flat.is_valid and flat.area):
        return
    found = planar(Polygon(wrapped(points)))
    joined = [translate(p, xoff=360) if p.bounds[0] < 0 else p for p in parts_of(found)]
    assert unary_union(joined).symmetric_difference(flat).area < 1e-6


def parts_of(geometry: Any) -> list[Any]:
    return list(getattr(geometry, "geoms", [geometry]))


@pytest.mark.parametrize("clockwise", [False, True])
def test_a_corner_on_180_degrees_leaves_a_footprint_as_small_as_it_is(clockwise: bool) -> None:
    ring = [(179.0, 0.0), (-180.0, 3.0), (179.0, 2.0), (179.0, 0.0)]
    assert planar(Polygon(ring[::-1] if clockwise else ring)).area == pytest.approx(1.0)


def test_a_box_holds_all_parts_of_a_footprint_of_three() -> None:
    prongs = [(179, 0), (182, 0), (182, 1), (179.5, 1), (179.5, 2), (181, 2), (181, 3), (179, 3)]
    geometry, bbox = footprint_geometry(wrapped([(float(x), float(y)) for x, y in prongs]))
    assert len(geometry["coordinates"]) == 3
    west, south, east, north = bbox
    held = box_shape((west, south, east, north))
    assert bbox == [179.0, 0.0, -178.0, 3.0]
    assert shape(geometry).difference(held).area == 0


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("south", [-85.0, 80.0])
def test_a_ring_around_the_globe_holds_the_pole_of_its_hemisphere(
    south: float, clockwise: bool
) -> None:
    ring = [(lon, south) for lon in (-150.0, -30.0, 90.0)]
    ring = ring[::-1] if clockwise else ring
    geometry, bbox = footprint_geometry((*ring, ring[0]))
    cap = box(-180, 80, 180, 90) if south > 0 else box(-180, -90, 180, -85)
    assert shape(geometry).symmetric_difference(cap).area < 1e-6
    assert bbox == list(cap.bounds)


def test_a_hole_across_180_degrees_stays_a_hole() -> None:
    outer = wrapped([(178, 0), (182, 0), (182, 4), (178, 4)])
    hole = wrapped([(179, 1), (181, 1), (181, 3), (179, 3)])
    found = planar(Polygon(outer, [hole]))
    assert found.area == pytest.approx(12.0)
    assert not found.contains(Point(179.5, 2))


WORLD = [(-180, -90), (180, -90), (180, 90), (-180, 90), (-180, -90)]
IN_STEPS = [(-150, 0), (-50, 0), (50, 0), (150, 0), (150, 50), (50, 50), (-50, 50), (-150, 50)]


@pytest.mark.parametrize(
    ("ring", "area"),
    [(WORLD, 360 * 180), ([*IN_STEPS, IN_STEPS[0]], 300 * 50)],
    ids=["all", "most"],
)
def test_an_area_of_more_than_half_the_globe_is_read_as_drawn(
    ring: list[tuple[int, int]], area: float
) -> None:
    assert all(abs(b[0] - a[0]) in {0, 100, 360} for a, b in pairwise(ring))
    polygon = Polygon(ring)
    assert planar(polygon).area == pytest.approx(area)
    assert Query(area={"type": "Polygon", "coordinates": [ring]}).matches(item())


def test_a_box_whose_west_is_east_of_its_east_has_two_halves() -> None:
    bbox: Bbox = (179.0, 0.0, -178.0, 2.0)
    assert box_shape(bbox).area == pytest.approx(6.0)
