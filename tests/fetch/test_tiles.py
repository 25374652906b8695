"""Parts of tiled TIFFs: what holds some pixels is enough to read them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.windows import Window

from deepsalt.fetch.tiles import FIRST_BYTES, layout_of

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.array([5, 130, 299]), np.array([250, 7, 63])
KINDS = {
    "pixel by pixel": {"interleave": "pixel"},
    "band by band": {"interleave": "band"},
    "large": {"BIGTIFF": "YES"},
    "uncompressed": {"compress": "none"},
    "for a cloud": {"driver": "COG", "blocksize": 128, "overviews": "IGNORE_EXISTING"},
    "big-endian": {"ENDIANNESS": "BIG"},
}


def written(folder: Path, **options: object) -> Path:
    """A file of 300 x 260 pixels in 5 bands."""
    path = folder / "image.tif"
    values = RNG.integers(0, 10_000, (5, 300, 260)).astype(np.int16)
    settings: dict[str, object] = {
        "driver": "GTiff",
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
        **options,
    }
    if settings["driver"] == "COG" or not settings["tiled"]:
        del settings["blockxsize"], settings["blockysize"], settings["tiled"]
    shape = {"width": 260, "height": 300, "count": 5, "dtype": "int16"}
    place = {
        "crs": "EPSG:32644",
        "transform": Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 4_500_000.0),
    }
    with rasterio.open(path, "w", **shape, **place, **settings) as raster:
        raster.write(values)
    return path


def part_of(path: Path, folder: Path) -> tuple[Path, int]:
    """A file of the same size with only what holds the pixels, and how many bytes that is."""
    data = path.read_bytes()
    layout = layout_of(data[:FIRST_BYTES], len(data))
    assert layout is not None
    ranges = layout.ranges(ROWS, COLUMNS)
    part = folder / "part.tif"
    with part.open("wb") as file:
        file.truncate(len(data))
        for start, end in ranges:
            file.seek(start)
            file.write(data[start:end])
    return part, sum(end - start for start, end in ranges)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_file_has_the_pixels_it_was_fetched_for(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, **KINDS[kind])
    part, size = part_of(path, tmp_path)
    assert size < path.stat().st_size
    with rasterio.open(path) as whole, rasterio.open(part) as some:
        for row, column in zip(ROWS.tolist(), COLUMNS.tolist(), strict=True):
            window = Window(column, row, 1, 1)
            assert np.array_equal(some.read(window=window), whole.read(window=window))


def test_no_range_reaches_beyond_the_file(tmp_path: Path) -> None:
    data = written(tmp_path).read_bytes()
    layout = layout_of(data, len(data))
    assert layout is not None
    everything = layout.ranges(*(each.ravel() for each in np.mgrid[0:300, 0:260]))
    assert everything[0][0] == 0
    assert everything[-1][1] <= len(data)
    assert all(a[1] < b[0] for a, b in pairwise(everything))


def test_a_file_whose_directory_stands_behind_the_pixels_is_fetched_whole(tmp_path: Path) -> None:
    path = written(tmp_path)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(note="x" * 5000)  # moves the directory to the end
    data = path.read_bytes()
    assert layout_of(data[:1000], len(data)) is None


def test_a_file_in_strips_is_fetched_whole(tmp_path: Path) -> None:
    data = written(tmp_path, tiled=False).read_bytes()
    assert layout_of(data, len(data)) is None


@given(st.binary(max_size=300))
def test_any_bytes_have_a_layout_or_none(data: bytes) -> None:
    layout_of(data, 10**6)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("sound")).read_bytes()


@given(st.data())
def test_a_damaged_header_sends_nobody_beyond_the_file(sound: bytes, data: st.DataObject) -> None:
    header = bytearray(sound[:2000])
    for at in data.draw(st.lists(st.integers(0, len(header) - 1), min_size=1, max_size=8)):
        header[at] = data.draw(st.integers(0, 255))
    layout = layout_of(bytes(header), len(sound))
    if layout is not None:
        rows, columns = np.array([0]), np.array([0])
        assert all(0 <= start <= end <= len(sound) for start, end in layout.ranges(rows, columns))
