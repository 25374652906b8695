"""The lazy cube: same numbers as the file, in place, read once, and only when asked."""

import dataclasses
import pickle
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
from distributed import Client
from numpy.typing import NDArray

from deepsalt.cube import load
from deepsalt.cube.contract import check_cube, cube_bands
from deepsalt.cube.load import open_scene
from deepsalt.errors import ReadError
from deepsalt.scenes.base import read_acquisition
from deepsalt.scenes.blocks import Blocks
from deepsalt.scenes.enmap import reader as enmap
from deepsalt.scenes.prisma import reader as prisma
from tests.counting import CountingScheduler
from tests.made.enmap import write_enmap
from tests.made.generic import cube as generic_cube
from tests.made.generic import pixels
from tests.made.prisma import NAME, write_prisma


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_enmap(tmp_path_factory.mktemp("enmap"))


def bare_numbers(product: Path) -> NDArray[np.int16]:
    """Return what rasterio reads, without the bands that are not usable."""
    with rasterio.open(next(product.glob("*SPECTRAL_IMAGE*"))) as raster:
        numbers = raster.read()
    numbers[~np.array(read_acquisition(product).bands.usable)] = -32768
    return numbers


def test_a_cube_holds_the_bits_of_a_bare_read(product: Path) -> None:
    cube = open_scene(read_acquisition(product))
    np.testing.assert_array_equal(cube.dn.values, bare_numbers(product))


def test_a_cube_keeps_the_stored_type(product: Path) -> None:
    cube = open_scene(read_acquisition(product))
    assert cube.dn.dtype == cube.dn.values.dtype == np.int16


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_cubes_of_each_stored_type_are_not_converted(tmp_path: Path, dtype: str) -> None:
    path = generic_cube(tmp_path / "a.tif", dtype=dtype, nodata=0)
    cube = open_scene(read_acquisition(path, scale=1e-4))
    used = cube.usable.values
    np.testing.assert_array_equal(cube.dn.values[used], pixels(dtype)[used])
    assert not cube.dn.values[~used].any()
    assert cube.dn.values.dtype == cube.dn.attrs["nodata"].dtype == np.dtype(dtype)


def test_a_prisma_cube_reads_each_window_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_prisma(tmp_path / NAME, shape=(50, 60), chunks=(32, 20, 32))
    cube = open_scene(read_acquisition(path))
    boxes: list[tuple[str, tuple[slice, ...]]] = []
    read = prisma.PrismaReader._read

    def spy(self, where, box):  # type: ignore[no-untyped-def]
        boxes.append((where, box))
        return read(self, where, box)

    monkeypatch.setattr(prisma.PrismaReader, "_read", spy)
    numbers = cube.dn.compute(scheduler="threads", num_workers=2)
    assert numbers.dtype == np.uint16
    assert len([where for where, _ in boxes if where.endswith("SWIR_Cube")]) == 4


def test_a_scene_cut_short_after_ingest_fails_with_one_sentence(tmp_path: Path) -> None:
    acquisition = read_acquisition(write_enmap(tmp_path))
    image = Path(acquisition.asset("image").href)
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    with pytest.raises(ReadError, match=r"SPECTRAL_IMAGE\.TIF cannot be read at row"):
        open_scene(acquisition).dn.compute(scheduler="synchronous")


def test_chunks_are_all_bands_by_one_file_block(product: Path) -> None:
    cube = open_scene(read_acquisition(product))
    assert cube.dn.chunks == ((224,), (32, 32, 6), (32, 32, 26))
    assert cube.quality.chunks == ((32, 32, 6), (32, 32, 26))


def test_a_cube_passes_its_contract_and_returns_its_bands(product: Path) -> None:
    acquisition = read_acquisition(product)
    cube = open_scene(acquisition)
    check_cube(cube)
    assert cube_bands(cube) == acquisition.bands


def test_opening_a_scene_computes_and_reads_nothing(
    product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = read_acquisition(product)
    opened: list[object] = []
    monkeypatch.setattr(load, "open_reader", opened.append)
    counter = CountingScheduler()
    with dask.config.set(scheduler=counter):
        open_scene(acquisition)
    assert counter.calls == 0
    assert opened == []


def test_without_a_known_block_only_the_header_is_asked(product: Path) -> None:
    acquisition = dataclasses.replace(read_acquisition(product), block_shape=None)
    assert open_scene(acquisition).dn.data.chunksize == (224, 32, 32)


@pytest.mark.parametrize(("interleave", "block"), [("band", 32), ("band", 128), ("pixel", 32)])
def test_each_file_block_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interleave: str, block: int
) -> None:
    product = write_enmap(tmp_path, shape=(140, 150), interleave=interleave, block=block)
    cube = open_scene(read_acquisition(product))
    windows: list[tuple[int, int, int, int]] = []
    inflated: list[tuple[int, ...]] = []
    read_window, inflate = enmap.EnmapReader.read_window, Blocks._inflate

    def spy_window(self, *window, wanted):  # type: ignore[no-untyped-def]
        windows.append(window)
        return read_window(self, *window, wanted)

    def spy_block(self, row, column, band):  # type: ignore[no-untyped-def]
        inflated.append((id(self), row, column, band))
        return inflate(self, row, column, band)

    monkeypatch.setattr(enmap.EnmapReader, "read_window", spy_window)
    monkeypatch.setattr(Blocks, "_inflate", spy_block)
    cube.dn.compute(scheduler="synchronous")
    expected = [
        (row, column, min(block, 140 - row), min(block, 150 - column))
        for row in range(0, 140, block)
        for column in range(0, 150, block)
    ]
    times = 206 if block == 128 else 1  # bands by themselves
    assert sorted(windows) == sorted(expected * times)
    assert len(set(inflated)) == len(inflated)
    bands = {("band", 32): 0, ("band", 128): 206, ("pixel", 32): 1}[interleave, block]
    assert len([of for of, *_ in inflated if of == inflated[0][0]]) == bands * len(expected)


def test_a_whole_scene_keeps_few_readers_open(product: Path) -> None:
    acquisition = read_acquisition(product)
    open_scene(acquisition).compute(scheduler="synchronous")
    assert len(load.open_scenes.readers) <= load.MAX_OPEN_SCENES
    assert load.open_scenes.window is not None
    assert load.open_scenes.window.numbers is None


def test_a_reader_pushed_out_is_closed(tmp_path: Path) -> None:
    scenes = load.OpenScenes()
    acquisitions = [read_acquisition(write_enmap(tmp_path / str(i))) for i in range(3)]
    first = scenes.reader(acquisitions[0])
    for acquisition in acquisitions[1:]:
        scenes.reader(acquisition)
    assert first._open == {}  # type: ignore[attr-defined]


def test_an_empty_block_is_writable_memory(tmp_path: Path) -> None:
    numbers = np.full((224, 32, 32), -32768, np.int16)
    cube = open_scene(read_acquisition(write_enmap(tmp_path, numbers=numbers)))
    block = cube.dn.data.compute()
    assert block.flags.writeable
    assert block.flags.c_contiguous


def test_a_pickled_cube_computes_the_same(product: Path) -> None:
    cube = open_scene(read_acquisition(product))
    copy = pickle.loads(pickle.dumps(cube))
    np.testing.assert_array_equal(copy.dn.values, cube.dn.values)


def test_a_cube_computes_on_a_distributed_cluster(product: Path) -> None:
    cube = open_scene(read_acquisition(product))
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ):
        computed = cube.compute()
    np.testing.assert_array_equal(computed.dn.values, bare_numbers(product))
