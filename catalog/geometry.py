"""Footprints and search areas in longitude and latitude, degrees WGS84, also across 180 degrees.

GeoJSON (RFC 7946, section 3.1.9) cuts a geometry at the antimeridian in two; many providers write
one ring that jumps from 180 to -180 instead. `planar` understands both. It cuts by itself:
decision 43 has where the library for this cuts wrongly.
"""

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from shapely import GEOSException
from shapely.affinity import translate
from shapely.errors import ShapelyError
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon, box, mapping, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from deepsalt.errors import FormatError, UsageError
from deepsalt.inputs import parse_json, read_regular
from deepsalt.types import Bbox

Ring = tuple[tuple[float, float], ...]

_HALF_TURN = 180.0
_TURN = 360.0
_MAX_VERTICES = 100_000
_MAX_AREA_BYTES = 64 * 2**20


def crosses_antimeridian(ring: Ring) -> bool:
    """Return whether a ring jumps across 180 degrees: no edge is half the globe long.

    But for a box of the whole globe, all of whose points lie on that meridian.
    """
    if all(abs(x) == _HALF_TURN for x, _ in ring):
        return False
    return any(abs(b[0] - a[0]) > _HALF_TURN for a, b in pairwise(ring))


def footprint_geometry(ring: Ring) -> tuple[dict[str, Any], list[float]]:
    """Return GeoJSON geometry and bounding box of a closed ring (longitude, latitude).

    A ring across the antimeridian becomes two polygons and a box whose west exceeds its east.

    Raises
    ------
    FormatError
        A ring across the antimeridian has no area.
    """
    if not crosses_antimeridian(ring):
        polygon = Polygon(ring)
        return {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}, list(
            polygon.bounds
        )
    area = _cut(ring)
    if area.is_empty:
        raise FormatError("a footprint across 180 degrees has no area; give its corners in order")
    parts = getattr(area, "geoms", [area])
    west = [part.bounds for part in parts if part.bounds[0] >= 0] or [p.bounds for p in parts]
    east = [part.bounds for part in parts if part.bounds[0] < 0] or [p.bounds for p in parts]
    bbox = [
        min(bounds[0] for bounds in west),
        min(part.bounds[1] for part in parts),
        max(bounds[2] for bounds in east),
        max(part.bounds[3] for part in parts),
    ]
    return _plain(mapping(area if len(parts) > 1 else parts[0])), bbox


def ring_of(geometry: Mapping[str, Any] | None, where: str) -> Ring:
    """Return the outer ring of an Item's geometry; two halves at the antimeridian are joined.

    Raises
    ------
    FormatError
        The geometry is not a polygon in longitude and latitude.
    """
    if not isinstance(geometry, Mapping):
        raise FormatError(f"{where} has no footprint; expected a GeoJSON polygon as 'geometry'")
    if geometry.get("type") == "Polygon":
        rings = geometry.get("coordinates")
        outer = rings[0] if isinstance(rings, list | tuple) and rings else None
        return checked_ring(outer, where)
    try:
        parsed = to_shape(geometry)
    except UsageError as error:
        raise FormatError(f"{where} has an invalid footprint: {error}") from error
    if not isinstance(parsed, Polygon | MultiPolygon):
        raise FormatError(f"{where} has a {parsed.geom_type} as footprint; expected a polygon")
    west, _, east, _ = parsed.bounds
    if east - west <= _HALF_TURN:
        return checked_ring(list(parsed.convex_hull.exterior.coords), where)
    parts = getattr(parsed, "geoms", [parsed])
    joined = [translate(part, xoff=_TURN) if part.bounds[0] < 0 else part for part in parts]
    hull = MultiPolygon(joined).convex_hull
    wrapped = [((x + _HALF_TURN) % _TURN - _HALF_TURN, y) for x, y in hull.exterior.coords]
    return checked_ring(wrapped, where)


def checked_ring(points: object, where: str) -> Ring:
    """Return a closed ring of (longitude, latitude) from untrusted coordinates.

    Raises
    ------
    FormatError
        Too few or too many points, not closed, or not longitudes and latitudes.
    """
    if not isinstance(points, list | tuple) or not 4 <= len(points) <= _MAX_VERTICES:
        raise FormatError(f"{where} has a footprint that is not a ring of at least 4 points")
    ring = tuple(_lonlat(point, where) for point in points)
    if ring[0] != ring[-1]:
        raise FormatError(f"{where} has a footprint that does not close")
    return ring


def _lonlat(point: object, where: str) -> tuple[float, float]:
    if isinstance(point, list | tuple) and len(point) >= 2:
        x, y = point[:2]
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (x, y))
        if numeric and abs(x) <= _HALF_TURN and abs(y) <= 90:
            return float(x), float(y)
    raise FormatError(
        f"{where} has a footprint point {point!r:.60} that is not longitude, latitude"
    )


def to_shape(geometry: Mapping[str, Any]) -> BaseGeometry:
    """Return a valid shapely geometry from untrusted GeoJSON, cut at jumps across 180 degrees.

    Raises
    ------
    UsageError
        It is not a geometry, is empty, or has coordinates outside longitude and latitude.
    """
    try:
        parsed = shape(geometry)
    except (
        AttributeError,
        GEOSException,
        IndexError,
        KeyError,
        ShapelyError,
        TypeError,
        ValueError,
    ) as error:
        raise UsageError(f"the geometry is not GeoJSON ({error})") from error
    if parsed.is_empty:
        raise UsageError("the geometry is empty")
    bounds = parsed.bounds
    lonlat = all(abs(x) <= _HALF_TURN for x in bounds[::2]) and all(
        abs(y) <= 90 for y in bounds[1::2]
    )
    if not lonlat or not all(math.isfinite(value) for value in bounds):
        raise UsageError(
            f"the coordinates reach {', '.join(f'{v:g}' for v in bounds)}; "
            "expected longitude -180 to 180 and latitude -90 to 90, degrees WGS84"
        )
    return planar(parsed)


def planar(geometry: BaseGeometry) -> BaseGeometry:
    """Return the geometry with polygons that jump across 180 degrees cut there, made valid."""
    if isinstance(geometry, Polygon):
        rings = [
            tuple((point[0], point[1]) for point in ring.coords)
            for ring in (geometry.exterior, *geometry.interiors)
        ]
        if any(crosses_antimeridian(ring) for ring in rings):
            outer, *holes = (_cut(ring) for ring in rings)
            return outer.difference(unary_union(holes))
        return geometry if geometry.is_valid else geometry.buffer(0)
    if isinstance(geometry, MultiPolygon | GeometryCollection):
        return unary_union([planar(part) for part in geometry.geoms])
    return geometry


def box_shape(bbox: Bbox) -> BaseGeometry:
    """Return the area of a box; one whose west exceeds its east crosses the antimeridian."""
    return unary_union([box(*half) for half in box_halves(bbox)])


def box_halves(bbox: Bbox) -> list[Bbox]:
    """Return the box, or its two halves if it crosses the antimeridian."""
    west, south, east, north = bbox
    if west <= east:
        return [bbox]
    return [(west, south, _HALF_TURN, north), (-_HALF_TURN, south, east, north)]


def read_area(path: str | Path) -> dict[str, Any]:
    """Read the area of a GeoJSON file: a geometry, a Feature or a FeatureCollection (united).

    Returns
    -------
    GeoJSON geometry in longitude and latitude, degrees WGS84.

    Raises
    ------
    UsageError
        The file cannot be read, is not GeoJSON, holds no polygon, or its coordinates are not
        longitude and latitude.
    """
    try:
        document = parse_json(read_regular(path, _MAX_AREA_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"the area file {path} cannot be read as GeoJSON ({error})") from error
    try:
        parts = [to_shape(geometry) for geometry in _geometries(document)]
    except UsageError as error:
        raise UsageError(f"the area file {path} is invalid: {error}") from error
    if not parts:
        raise UsageError(f"the area file {path} has no geometry")
    area = unary_union(parts)
    if not area.area:
        raise UsageError(f"the area file {path} has a {area.geom_type}; expected polygons")
    return _plain(mapping(area))


def _geometries(document: object) -> list[Mapping[str, Any]]:
    if not isinstance(document, Mapping):
        raise UsageError("it is not a GeoJSON object")
    kind = document.get("type")
    if kind == "FeatureCollection":
        features = document.get("features")
        return [g for feature in features or [] for g in _geometries(feature)]
    if kind == "Feature":
        geometry = document.get("geometry")
        return [] if geometry is None else _geometries(geometry)
    return [document]


def _cut(ring: Ring) -> BaseGeometry:
    """Return the area within a ring that may jump across 180 degrees, cut there and valid.

    A ring that goes around the globe holds the pole of its hemisphere.
    """
    points = np.array(ring)
    points[:, 0] = np.unwrap(points[:, 0], period=_TURN)
    first, last = points[0, 0], points[-1, 0]
    polar = abs(last - first) > _HALF_TURN
    if polar:
        pole = math.copysign(90, points[:, 1].mean())
        points = np.vstack([points, [(last, pole), (first, pole)]])
    # To a tenth of a millimetre: numbers next to zero make GEOS cut in the wrong place.
    area = Polygon(points.round(9))
    if not area.is_valid:
        area = area.buffer(0)
    parts: list[Polygon] = []
    # Continuous longitudes lie within one turn of their first, whichever way round.
    for shift in (-_TURN, 0.0, _TURN):
        world = box(shift - _HALF_TURN, -90, shift + _HALF_TURN, 90)
        part = translate(area.intersection(world), xoff=-shift)
        parts += [
            piece
            for piece in getattr(part, "geoms", [part])
            if isinstance(piece, Polygon) and piece.area > 0
        ]
    return unary_union(parts) if polar else MultiPolygon(parts)


def _plain(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry with lists instead of tuples, as JSON returns it."""
    plain: dict[str, Any] = json.loads(json.dumps(geometry))
    return plain
