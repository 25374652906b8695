"""Blocks that are inflated here hold what GDAL reads of them; all else is GDAL's."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from deepsalt.errors import ReadError
from deepsalt.scenes.base import WindowRequest
from deepsalt.scenes.blocks import Cube
from tests.made.enmap import write_tiff

BANDS, ROWS, COLUMNS = 20, 140, 150
PIXEL, BAND = {"interleave": "pixel", "block": 64}, {"interleave": "band", "block": 128}
HERE = {
    "pixels": PIXEL,
    "pixels, differences": PIXEL | {"predictor": 2},
    "bands": BAND,
    "bands, differences": BAND | {"predictor": 2},
    "bytes": PIXEL | {"dtype": "uint8", "predictor": 2},
    "unsigned": BAND | {"dtype": "uint16", "predictor": 2},
    "floats": PIXEL | {"dtype": "float32"},
    "strips": {"interleave": "pixel", "block": 48, "tiled": False, "blockxsize": None},
    "big": PIXEL | {"bigtiff": "YES"},
}
BY_GDAL = {
    "another compression": PIXEL | {"compress": "zstd", "predictor": 2},
    "none": BAND | {"compress": None},
    "another compression, bands": BAND | {"compress": "lzw"},
    "predictor of floats": PIXEL | {"dtype": "float32", "predictor": 3},
    "floats, differences": PIXEL | {"dtype": "float32", "predictor": 2},
    "big-endian": PIXEL | {"endianness": "big", "predictor": 2},
    "few bits": PIXEL | {"dtype": "uint16", "nbits": 12},
    "integers": PIXEL | {"dtype": "int32"},
    "small blocks": {"interleave": "band", "block": 32},
}
LAYOUTS = HERE | BY_GDAL


def numbers(dtype: str) -> NDArray[np.generic]:
    drawn = np.random.default_rng(4).integers(0, 4, (BANDS, ROWS, COLUMNS)) * 63
    return drawn.astype(dtype)


def write(path: Path, layout: str, **more: object) -> Path:
    profile = {key: value for key, value in LAYOUTS[layout].items() if key != "dtype"} | more
    return write_tiff(path, numbers(str(LAYOUTS[layout].get("dtype", "int16"))), **profile)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("layouts")
    return {name: write(folder / f"{i}.tif", name) for i, name in enumerate(LAYOUTS)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_what_is_known_is_inflated_here(files: dict[str, Path], layout: str) -> None:
    with rasterio.open(files[layout]) as raster:
        assert (Cube(raster)._blocks is not None) == (layout in HERE)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_wanted_of_a_window_is_what_gdal_reads(
    files: dict[str, Path], layout: str, data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, ROWS - 1)), data.draw(st.integers(0, COLUMNS - 1))
    height = data.draw(st.integers(1, ROWS - row))
    width = data.draw(st.integers(1, COLUMNS - column))
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    share = data.draw(st.sampled_from([0.0, 0.001, 0.3, 1.0]))
    wanted = WindowRequest.of(chance.random((height, width)) < share, chance.random(BANDS) < 0.8)
    window = Window(column, row, width, height)
    with rasterio.open(files[layout]) as raster:
        expected = raster.read(window=window)
        cube = Cube(raster)
        found = cube.read(window, wanted)
        places = np.zeros(found.shape, np.bool_)
        places[cube.find(63, window, wanted)] = True
        cube.close()
    expected = expected[wanted.bands][:, wanted.pixels]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found[:, wanted.pixels], expected)
    np.testing.assert_array_equal(places[:, wanted.pixels], expected == 63)


def test_blocks_that_were_left_out_hold_nodata(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    sparse = np.full((BANDS, ROWS, COLUMNS), -1, np.int16)
    sparse[:, 70:, :] = 5
    write_tiff(path, sparse, interleave="pixel", block=64, nodata=-1, sparse_ok=True)
    everything = WindowRequest.everything(BANDS, ROWS, COLUMNS)
    with rasterio.open(path) as raster:
        assert raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1) is None
        found = Cube(raster).read(Window(0, 0, COLUMNS, ROWS), everything)
    np.testing.assert_array_equal(found, sparse)


@pytest.mark.parametrize("layout", ["pixels, differences", "bands"])
@pytest.mark.parametrize("damage", ["zeros", "cut"])
def test_a_damaged_block_is_refused_with_one_sentence(
    tmp_path: Path, layout: str, damage: str
) -> None:
    path = write(tmp_path / "a.tif", layout)
    with rasterio.open(path) as raster:
        begin = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    content = path.read_bytes()
    rest = b"" if damage == "cut" else bytes(500) + content[begin + 500 :]
    path.write_bytes(content[:begin] + rest)
    with rasterio.open(path) as raster:
        cube = Cube(raster)
        with pytest.raises(ReadError, match=r"a\.tif cannot be read at row 0, column 0"):
            cube.read(Window(0, 0, 64, 64), WindowRequest.everything(BANDS, 64, 64))
