"""Windows on file blocks, and scenes on servers."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.errors import ReadError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.scenes.geotiff import STRIP_ROWS, WINDOW_BYTES, window_shape
from deepsalt.types import Asset
from tests.made.enmap import write_enmap
from tests.made.prisma import write_prisma

NAME = "PRS_L2D_STD_20240402102837_20240402102842_0001.he5"
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


@pytest.mark.parametrize("href", ["https://a.example/x.tif?key=sesame", "s3://bucket/x.tif"])
@pytest.mark.parametrize("sensor", ["enmap", "prisma"])
def test_readers_ask_no_server(tmp_path: Path, href: str, sensor: str) -> None:
    written = write_enmap(tmp_path) if sensor == "enmap" else write_prisma(tmp_path / NAME)
    scene = read_acquisition(written)
    remote = dataclasses.replace(scene, assets=(Asset("image", href),))
    with pytest.raises(ReadError, match="is a remote file") as said:
        open_reader(remote)
    assert "sesame" not in str(said.value)
