"""What can never become an estimate is not decoded, and the bits do not depend on that."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_chunk, mark_valid
from deepsalt.errors import ReadError
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import RESULT, predict_chunk, predict_cube
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.scenes.prisma.file import SWATH
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import Acquisition, QualityFlag
from tests.made.enmap import EMPTY_BANDS, write_enmap
from tests.made.prisma import NAME, write_prisma

SHAPE = (134, 141)
BANDS = sensor_bands("enmap")
LAYOUTS: dict[str, dict[str, Any]] = {
    "pixels": {"interleave": "pixel", "block": 64},
    "pixels, differences": {"interleave": "pixel", "block": 64, "predictor": 2},
    "bands": {"interleave": "band", "block": 128},
    "bands, differences": {"interleave": "band", "block": 128, "predictor": 2},
    "another compression": {"interleave": "pixel", "block": 64, "compress": "zstd"},
    "another compression, bands": {"interleave": "band", "block": 64, "compress": "lzw"},
    "small blocks": {"interleave": "band", "block": 32},
}
BY_BAND = [name for name, layout in LAYOUTS.items() if layout["interleave"] == "band"]


def soil(seed: int = 3) -> NDArray[np.int16]:
    """Return digital numbers of soils, some of them green."""
    chance = np.random.default_rng(seed)
    curve = np.interp(BANDS.centers_nm, (418, 800, 1600, 2450), (1000, 2500, 3500, 3000))
    light = chance.uniform(0.7, 1.3, SHAPE)
    light[chance.random(SHAPE) < 0.1] = 0.05
    found = curve[:, None, None] * light + chance.normal(0, 20, (len(BANDS), *SHAPE))
    numbers = np.rint(found).astype(np.int16)
    numbers[list(EMPTY_BANDS)] = -32768
    numbers[:, chance.random(SHAPE) < 0.02] = -32768
    return numbers


def clouded(seed: int = 3) -> dict[str, NDArray[np.uint8]]:
    """Return quality layers: cloud over the upper left and in spots, nothing measured below."""
    chance = np.random.default_rng(seed)
    cloud = (chance.random(SHAPE) < 0.2).astype(np.uint8)
    cloud[:128, :128] = 1
    classes = np.where(chance.random(SHAPE) < 0.1, 2, 1).astype(np.uint8)
    classes[128:] = 3
    return {"QL_QUALITY_CLOUD": cloud, "QL_QUALITY_CLASSES": classes}


def scene(folder: Path, layout: str, seed: int = 3) -> Acquisition:
    chance = np.random.default_rng(seed)
    defective = (chance.random((len(BANDS), *SHAPE)) < 1e-4).astype(np.uint8)
    parts = {"numbers": soil(seed), "quality": clouded(seed), "defective": defective}
    return read_acquisition(write_enmap(folder / layout, **parts, **LAYOUTS[layout]))


def mapped(acquisition: Acquisition) -> xr.Dataset:
    layers = predict_cube(mark_valid(open_scene(acquisition)), model_ref())
    return layers.compute(scheduler="synchronous")


def poison(path: str, bands: list[int], blocks: list[tuple[int, int]]) -> None:
    """Overwrite blocks (column, row) of bands, so that nobody can decode them."""
    with rasterio.open(path) as raster:
        found = [
            [
                int(raster.get_tag_item(f"{name}_{column}_{row}", "TIFF", bidx=band + 1))
                for name in ("BLOCK_OFFSET", "BLOCK_SIZE")
            ]
            for band in bands
            for column, row in blocks
        ]
    with open(path, "r+b") as file:
        for begin, length in found:
            file.seek(begin)
            file.write(b"\xff" * length)


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    assert np.isfinite(expected.salinity).any()
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_block_that_the_provider_rejects_is_not_decoded(tmp_path: Path, layout: str) -> None:
    acquisition = scene(tmp_path, layout)
    expected = mapped(acquisition)
    reach = range(128 // LAYOUTS[layout]["block"])
    hidden = [(column, row) for column in reach for row in reach]
    for role in ("image", "defective_pixel_mask"):
        poison(acquisition.asset(role).href, list(range(len(BANDS))), hidden)
    assert_same(mapped(acquisition), expected)


@pytest.mark.parametrize("layout", BY_BAND)
def test_a_band_that_nobody_uses_is_not_decoded(tmp_path: Path, layout: str) -> None:
    acquisition = scene(tmp_path, layout)
    expected = mapped(acquisition)
    useless = np.flatnonzero(~np.array(acquisition.bands.usable)).tolist()
    poison(acquisition.asset("image").href, useless, [(0, 0), (1, 0)])
    assert_same(mapped(acquisition), expected)


def test_a_block_with_one_pixel_to_estimate_is_decoded(tmp_path: Path, layout: str) -> None:
    acquisition = scene(tmp_path, layout)
    poison(acquisition.asset("image").href, list(range(len(BANDS))), [(1, 0)])
    if LAYOUTS[layout]["block"] < 128:
        mapped(acquisition)  # it lies under the cloud
        column = 128 // LAYOUTS[layout]["block"]
        poison(acquisition.asset("image").href, list(range(len(BANDS))), [(column, 0)])
    with pytest.raises(ReadError, match="SPECTRAL_IMAGE"):
        mapped(acquisition)


def test_layers_are_those_of_a_full_read(tmp_path: Path, layout: str) -> None:
    acquisition = scene(tmp_path, layout)
    scaling = {name: getattr(acquisition, name) for name in ("bands", "gain", "offset", "nodata")}
    reader = open_reader(acquisition)
    numbers, quality = reader.read_window(0, 0, *SHAPE), reader.read_quality(0, 0, *SHAPE)
    reader.close()
    quality_flags = mark_chunk(numbers, quality, **scaling)
    expected = predict_chunk(numbers, quality_flags, **scaling, ref=model_ref())
    found = mapped(acquisition)
    for name in RESULT.names or ():
        layer = found[name].transpose("y", "x", ...)
        np.testing.assert_array_equal(layer, expected[name], err_msg=name)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 999))
def test_no_layout_changes_a_bit(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("layouts")
    one, *others = (scene(folder, name, seed) for name in LAYOUTS)
    cube, layers = open_scene(one).compute(scheduler="synchronous"), mapped(one)
    for other in others:
        np.testing.assert_array_equal(open_scene(other).dn, cube.dn)
        assert_same(mapped(other), layers)


def test_numbers_that_are_left_out_read_as_nodata(tmp_path: Path, layout: str) -> None:
    cube = open_scene(scene(tmp_path, layout)).compute(scheduler="synchronous")
    rejected = (cube.quality.values & int(QualityFlag.CLOUD | QualityFlag.OUTSIDE)) > 0
    assert (cube.dn.values[:, rejected] == -32768).all()
    assert (cube.dn.values[~cube.usable.values] == -32768).all()
    free = cube.quality.values == 0
    assert (cube.dn.values[10][free] != -32768).mean() > 0.9


def test_a_pixel_that_the_provider_rejects_keeps_its_bits(tmp_path: Path, layout: str) -> None:
    marked = mark_valid(open_scene(scene(tmp_path, layout))).compute(scheduler="synchronous")
    quality = marked.quality.values
    rejected = quality > 0
    np.testing.assert_array_equal(marked.quality_flags.values[rejected], quality[rejected])


def test_padding_of_prisma_is_not_read(tmp_path: Path) -> None:
    zenith = np.full((64, 64), 50.0, np.float32)
    zenith[:32, :32] = 0
    path = write_prisma(tmp_path / NAME, shape=(64, 64), zenith=zenith, chunks=(32, 20, 32))
    with h5py.File(path, "r+") as file:
        cube = file[f"{SWATH}/Data Fields/SWIR_Cube"]
        place = cube.id.get_chunk_info_by_coord((0, 0, 0))
    with path.open("r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)
    cube = open_scene(read_acquisition(path)).compute(scheduler="synchronous")
    assert not cube.dn.values[:, :32, :32].any()
    assert cube.dn.values[5, 32:].any()
