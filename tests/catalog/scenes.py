"""Acquisitions for tests of the catalogue: one plain builder and a Hypothesis strategy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from deepsalt.types import Acquisition, Asset, BandTable, PixelGrid

SQUARE = ((10.0, 45.0), (10.4, 45.0), (10.4, 45.3), (10.0, 45.3), (10.0, 45.0))
WKT = 'PROJCS["somewhere",UNIT["metre",1]]'


def square(west: float, south: float, side: float = 0.3) -> tuple[tuple[float, float], ...]:
    """Return a square ring; a west near 180 makes it jump across the antimeridian."""
    east = west + side if west + side <= 180 else west + side - 360
    north = south + side
    return ((west, south), (east, south), (east, north), (west, north), (west, south))


def acquisition(**changes: Any) -> Acquisition:
    """Return a small EnMAP-like acquisition with some fields changed."""
    plain = Acquisition(
        collection="enmap-l2a",
        scene_id="ENMAP01-____L2A-DT0000000001_20240630T082045Z_001_V010402_20240701T122237Z",
        acquisition_id="DT0000000001_001",
        version="01.04.02",
        sensor="enmap",
        start=datetime(2024, 6, 30, 8, 20, 45, 211167, UTC),
        end=datetime(2024, 6, 30, 8, 20, 49, tzinfo=UTC),
        grid=PixelGrid("EPSG:32632", (30.0, 0.0, 454245.0, 0.0, -30.0, 5000025.0), 1220, 1217),
        bands=BandTable(("b1", "b2"), (418.416, 2445.3), (6.99561, 7.1581), (True, False)),
        gain=(1e-4, 1e-4),
        offset=(0.0, 0.0),
        dtype="int16",
        nodata=-32768.0,
        block_shape=(256, 256),
        assets=(
            Asset("image", "/data/scene/image.TIF", 12345),
            Asset("metadata", "/data/scene/METADATA.XML", None),
        ),
        footprint=SQUARE,
        sun_elevation_deg=36.90644,
        cloud_cover_pct=12.0,
        overall_quality=0,
    )
    return replace(plain, **changes)


_finite = st.floats(allow_nan=False, allow_infinity=False)
_NODATA = {
    "int16": st.integers(-32768, 32767).map(float),
    "uint16": st.integers(0, 65535).map(float),
    "float32": st.floats(width=32, allow_nan=False),
}
_text = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
_moments = st.datetimes(
    min_value=datetime(1971, 1, 1), max_value=datetime(2098, 1, 1), timezones=st.just(UTC)
)


@st.composite
def _band_tables(draw: st.DrawFn) -> BandTable:
    names = draw(st.lists(_text, min_size=1, max_size=6, unique=True))
    n = len(names)
    centers = st.floats(100, 30000, exclude_min=True, exclude_max=True)
    widths = st.floats(0, 1000, exclude_min=True, exclude_max=True)
    return BandTable(
        tuple(names),
        tuple(draw(st.lists(centers, min_size=n, max_size=n))),
        tuple(draw(st.lists(widths, min_size=n, max_size=n))),
        tuple(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
    )


@st.composite
def _grids(draw: st.DrawFn) -> PixelGrid:
    step = st.floats(1e-6, 1e5)
    transform = (draw(step), 0.0, draw(_finite), 0.0, -draw(step), draw(_finite))
    crs = draw(st.sampled_from(["EPSG:32632", "EPSG:6933", "ESRI:54034", WKT]))
    side = st.integers(1, 100_000)
    return PixelGrid(crs, transform, draw(side), draw(side))


@st.composite
def _rings(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    return square(draw(st.floats(-180, 180)), draw(st.floats(-89, 88)), draw(st.floats(0.01, 1)))


@st.composite
def acquisitions(draw: st.DrawFn) -> Acquisition:
    """Draw any acquisition that a reader could make."""
    bands = draw(_band_tables())
    dtype = draw(st.sampled_from(sorted(_NODATA)))

    def per_band(low: float, high: float) -> st.SearchStrategy[tuple[float, ...]]:
        values = st.floats(low, high)
        return st.lists(values, min_size=len(bands), max_size=len(bands)).map(tuple)

    start = draw(st.none() | _moments)
    length = st.timedeltas(timedelta(0), timedelta(days=1))
    end = None if start is None else draw(st.none() | length.map(lambda d: start + d))
    names = draw(st.lists(_text, min_size=1, max_size=3, unique=True))
    paths = st.sampled_from(["/data/a b.tif", "https://host/x.tif?y=1", "s3://bucket/key.he5"])
    percent = st.none() | st.floats(0, 100)
    return Acquisition(
        collection=draw(_text),
        scene_id=draw(_text),
        acquisition_id=draw(_text),
        version=draw(st.just("") | _text),
        sensor=draw(st.sampled_from(["enmap", "prisma", "generic"])),
        start=start,
        end=end,
        grid=draw(_grids()),
        bands=bands,
        gain=draw(per_band(1e-4, 10)),
        offset=draw(per_band(-1, 0.9)),
        dtype=dtype,
        nodata=draw(st.none() | _NODATA[dtype]),
        block_shape=draw(st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 4096))),
        assets=tuple(Asset(n, draw(paths), draw(st.none() | st.integers(0, 2**40))) for n in names),
        footprint=draw(_rings()),
        sun_elevation_deg=draw(st.none() | st.floats(0, 90, exclude_min=True)),
        cloud_cover_pct=draw(percent),
        overall_quality=draw(st.none() | st.integers(0, 2)),
        simulated=draw(st.booleans()),
    )
