"""Windows on file blocks, and rasters behind URLs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.errors import ReadError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.scenes.geotiff import STRIP_ROWS, WINDOW_BYTES, window_shape
from deepsalt.types import Asset
from tests.range_server import serving_files
from tests.synth import write_enmap

SIDES = st.integers(1, 3000)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 1000))
def test_a_window_never_cuts_a_block(
    block_rows: int, block_columns: int, height: int, width: int, pixel_bytes: int
) -> None:
    rows, columns = window_shape((block_rows, block_columns), (height, width), pixel_bytes)
    assert rows == height or rows % block_rows == 0
    assert columns == width or columns % block_columns == 0


@given(st.integers(1, 15), st.integers(1, 4000), st.integers(1, 1000))
def test_strips_are_joined_within_bounds(block_rows: int, width: int, pixel_bytes: int) -> None:
    rows, columns = window_shape((block_rows, width), (5000, width), pixel_bytes)
    assert block_rows <= rows <= STRIP_ROWS
    assert rows == block_rows or rows * columns * pixel_bytes <= WINDOW_BYTES


@pytest.mark.parametrize("block", [(16, 16), (256, 256), (512, 512)])
def test_a_tile_is_a_window(block: tuple[int, int]) -> None:
    assert window_shape(block, (1200, 1300), 448) == block


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving_files(tmp_path) as address:
        yield address


def test_a_scene_known_only_by_its_item_is_read_by_url(tmp_path: Path, url: str) -> None:
    local = read_acquisition(write_enmap(tmp_path, shape=(40, 50)))
    assets = tuple(
        Asset(a.name, f"{url}/{Path(a.href).relative_to(tmp_path).as_posix()}")
        for a in local.assets
    )
    remote = dataclasses.replace(local, assets=assets, block_shape=None)
    here, there = open_reader(local), open_reader(remote)
    assert there.block_shape == (32, 32)
    np.testing.assert_array_equal(there.read_window(8, 8, 20, 20), here.read_window(8, 8, 20, 20))
    np.testing.assert_array_equal(there.read_quality(8, 8, 20, 20), here.read_quality(8, 8, 20, 20))
    here.close()
    there.close()


def test_a_url_that_is_gone_is_a_read_error(tmp_path: Path, url: str) -> None:
    local = read_acquisition(write_enmap(tmp_path, shape=(40, 50)))
    gone = dataclasses.replace(local, assets=(Asset("image", f"{url}/gone.tif"),))
    with pytest.raises(ReadError, match=r"gone\.tif cannot be opened as a raster"):
        open_reader(gone)
