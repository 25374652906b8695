"""The floor: what nobody who reads the same layers and writes the same ones can go below.

Block windows on threads into memory taken once, the same masks and the same student on the same
pixels, a bare zarr write; no Dask, no xarray, no records. Over HTTP: every file whole, in parallel
ranges, and then the same.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray
from rasterio.windows import Window

from deepsalt.access import is_remote
from deepsalt.cube.quality import mark_chunk
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import RESULT, predict_chunk
from deepsalt.scenes.base import open_reader
from deepsalt.scenes.geotiff import GDAL_CACHE_MB
from deepsalt.types import Acquisition
from tests.benchmarks.rows import Run

CHUNK_PX = 256
CONNECTIONS = 8
RANGE_BYTES = 8 * 2**20


@contextmanager
def on_files() -> Iterator[Run]:
    """Map a scene with nothing between."""
    yield floor


def floor(acquisition: Acquisition, out: Path) -> None:
    """Map a scene with nothing between its files, the student and the output."""
    if is_remote(acquisition.asset("image").href):
        with TemporaryDirectory() as folder:
            return floor(fetched(acquisition, Path(folder)), out)
    grid, ref, scaling = acquisition.grid, model_ref(), scaling_of(acquisition)
    result = np.empty((grid.height, grid.width), RESULT)
    local = threading.local()

    def chunk(window: tuple[int, int, int, int]) -> None:
        if not hasattr(local, "files"):
            local.files = _Files(acquisition)
        dn, quality = local.files.read(*window)
        quality_flags = mark_chunk(dn, quality, **scaling)
        row, column, height, width = window
        part = predict_chunk(dn, quality_flags, **scaling, ref=ref)
        result[row : row + height, column : column + width] = part

    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(chunk, windows(acquisition)))
    write_bare(out, result)


def scaling_of(acquisition: Acquisition) -> dict[str, object]:
    """Return what masks and student have to know of a scene."""
    names = ("bands", "gain", "offset", "nodata")
    return {name: getattr(acquisition, name) for name in names}


def windows(acquisition: Acquisition) -> Iterator[tuple[int, int, int, int]]:
    """Return the block windows of a scene: row, column, height, width."""
    grid = acquisition.grid
    rows, columns = acquisition.block_shape or (CHUNK_PX, CHUNK_PX)
    for row, column in product(range(0, grid.height, rows), range(0, grid.width, columns)):
        yield row, column, min(rows, grid.height - row), min(columns, grid.width - column)


class _Files:
    """The files of a scene, open in one thread, with the memory that it reads into."""

    def __init__(self, acquisition: Acquisition) -> None:
        self._image = rasterio.open(acquisition.asset("image").href, sharing=False)
        self._mask = rasterio.open(acquisition.asset("defective_pixel_mask").href, sharing=False)
        self._quality = open_reader(acquisition)
        size = len(acquisition.bands) * int(np.prod(self._image.block_shapes[0]))
        self._numbers = np.empty(size, acquisition.dtype)
        self._marks = np.empty(size, np.uint8)
        self._nodata = np.dtype(acquisition.dtype).type(acquisition.nodata)

    def read(
        self, row: int, column: int, height: int, width: int
    ) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        shape = (self._image.count, height, width)
        numbers = self._numbers[: np.prod(shape)].reshape(shape)
        marks = self._marks[: np.prod(shape)].reshape(shape)
        window = Window(column, row, width, height)
        self._image.read(out=numbers, window=window)
        self._mask.read(out=marks, window=window)
        np.putmask(numbers, marks == 1, self._nodata)
        return numbers, self._quality.read_quality(row, column, height, width)


def write_bare(out: Path, result: NDArray[np.void]) -> None:
    """Write the layers of a structured result as arrays without metadata."""
    group = zarr.open_group(out, mode="w")
    for name in result.dtype.names or ():
        values = result[name]
        layer = np.ascontiguousarray(values.transpose(*range(2, values.ndim), 0, 1))
        group.create_array(name, data=layer, chunks=(*layer.shape[:-2], CHUNK_PX, CHUNK_PX))


def fetched(acquisition: Acquisition, folder: Path) -> Acquisition:
    """Return a scene with all its files fetched into a folder."""
    assets = [asset for asset in acquisition.assets if asset.name != "metadata"]
    moved = [replace(asset, href=str(folder / Path(asset.href).name)) for asset in assets]

    def part(task: tuple[str, str, int]) -> None:
        source, target, start = task
        wanted = {"Range": f"bytes={start}-{start + RANGE_BYTES - 1}"}
        with urlopen(Request(source, headers=wanted)) as answer, open(target, "r+b") as file:
            os.pwrite(file.fileno(), answer.read(), start)

    tasks = []
    for asset, local in zip(assets, moved, strict=True):
        Path(local.href).touch()
        starts = range(0, asset.size_bytes or 0, RANGE_BYTES)
        tasks += [(asset.href, local.href, start) for start in starts]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(part, tasks))
    return replace(acquisition, assets=tuple(moved))
