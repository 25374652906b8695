"""Windows on file blocks, and rasters behind URLs."""

import dataclasses
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.errors import ReadError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.scenes.geotiff import STRIP_ROWS, WINDOW_BYTES, window_shape
from deepsalt.types import Asset
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


class Ranges(BaseHTTPRequestHandler):
    """Serves ranges of the files below `root`, as object stores do."""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.root / self.path.lstrip("/")
        body = path.read_bytes() if path.is_file() else b""
        wanted = self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = body[int(first or 0) : int(last) + 1 if last else None]
        self.send_response((206 if wanted else 200) if path.is_file() else 404)
        if wanted:
            end = int(first or 0) + len(part) - 1
            self.send_header("Content-Range", f"bytes {first or 0}-{end}/{len(body)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    handler = type("Handler", (Ranges,), {"root": tmp_path})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


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
