"""The `quality_flags` of a cube: rules, laziness, one path for eager and lazy."""

from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray

from deepsalt.cube.contract import check_cube
from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import MAX_MISSING_BANDS, mark_valid
from deepsalt.errors import FormatError
from deepsalt.scenes.base import read_acquisition
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import QualityFlag
from tests.counting import CountingScheduler
from tests.made.enmap import EMPTY_BANDS, write_enmap
from tests.shared import shared_data

BANDS = sensor_bands("enmap")
USABLE = np.flatnonzero(BANDS.usable)


def soil() -> NDArray[np.int16]:
    """Return digital numbers of a dry soil on the bands of EnMAP."""
    reflectance = np.interp(BANDS.centers_nm, (418, 800, 1600, 2450), (0.1, 0.25, 0.35, 0.3))
    numbers = np.rint(reflectance * 1e4).astype(np.int16)
    numbers[list(EMPTY_BANDS)] = -32768
    return numbers


@pytest.fixture
def cube(tmp_path: Path) -> xr.Dataset:
    numbers = np.repeat(soil(), 48 * 48).reshape(224, 48, 48)
    limit = int(MAX_MISSING_BANDS * USABLE.size)
    numbers[:, 0, 0] = -32768
    numbers[USABLE[:limit], 0, 1] = -32768
    numbers[USABLE[: limit + 1], 0, 2] = -32768
    water = np.array(BANDS.centers_nm) > 500
    numbers[USABLE, 0, 3] = np.where(water, 20, 400)[USABLE]
    cloud = np.zeros((48, 48), np.uint8)
    cloud[0, 4] = cloud[0, 7] = 1
    numbers[:, 0, 7] = -32768
    background = np.ones((48, 48), np.uint8)
    background[0, 5] = 3
    quality = {"QL_QUALITY_CLOUD": cloud, "QL_QUALITY_CLASSES": background}
    return open_scene(read_acquisition(write_enmap(tmp_path, numbers=numbers, quality=quality)))


PIXELS = {
    0: QualityFlag.OUTSIDE,  # all bands missing
    1: QualityFlag(0),  # as many bands missing as are allowed
    2: QualityFlag.DEFECTIVE,  # one more
    3: QualityFlag.WATER,
    4: QualityFlag.CLOUD,
    5: QualityFlag.OUTSIDE,
    6: QualityFlag(0),
    7: QualityFlag.CLOUD,  # all bands missing under cloud, where nobody looks
}


def test_pixels_get_the_bits_of_the_rules(cube: xr.Dataset) -> None:
    quality_flags = mark_valid(cube).quality_flags.values
    assert quality_flags.dtype == np.uint16
    assert {i: QualityFlag(int(quality_flags[0, i])) for i in PIXELS} == PIXELS
    assert not quality_flags[1:].any()


def test_marking_computes_nothing(cube: xr.Dataset) -> None:
    counter = CountingScheduler()
    with dask.config.set(scheduler=counter):
        marked = mark_valid(cube)
    assert counter.calls == 0
    assert marked.quality_flags.chunks == cube.quality.chunks


def test_eager_and_lazy_cubes_get_the_same_quality_flags(cube: xr.Dataset) -> None:
    np.testing.assert_array_equal(
        mark_valid(cube.compute()).quality_flags, mark_valid(cube).quality_flags
    )


def test_what_the_spectrum_shows_does_not_depend_on_chunks(cube: xr.Dataset) -> None:
    recut = cube.chunk({"y": 7, "x": 13})
    np.testing.assert_array_equal(mark_valid(recut).quality_flags, mark_valid(cube).quality_flags)


def test_quality_flags_explains_its_flags(cube: xr.Dataset) -> None:
    attrs = mark_valid(cube).quality_flags.attrs
    assert attrs["flag_masks"] == [int(bit) for bit in QualityFlag]
    assert attrs["grid_mapping"] == "spatial_ref"


def test_nan_is_missing_in_float_cubes(cube: xr.Dataset) -> None:
    floats = cube.assign(dn=cube.dn.astype(np.float32).where(cube.dn != -32768))
    del floats.dn.attrs["nodata"]
    np.testing.assert_array_equal(mark_valid(floats).quality_flags, mark_valid(cube).quality_flags)


NOT_CUBES = {
    "no quality": (lambda c: c.drop_vars("quality"), "lacks quality"),
    "no wavelength": (lambda c: c.drop_vars("wavelength"), "lacks wavelength"),
    "other type": (lambda c: c.assign(dn=c.dn.astype("int32")), "`dn` is int32"),
    "other order": (lambda c: c.assign(dn=c.dn.transpose("y", "x", "band")), "`dn` is int16"),
    "quality of another type": (
        lambda c: c.assign(quality=c.quality.astype("uint8")),
        "`quality` is uint8",
    ),
    "cut along band": (lambda c: c.chunk({"band": 100}), "cut into 3 chunks along band"),
    "no usable band": (
        lambda c: c.assign_coords(usable=("band", np.zeros(224, bool))),
        "no usable band",
    ),
}


@pytest.mark.parametrize("case", NOT_CUBES)
def test_what_is_no_cube_is_refused(cube: xr.Dataset, case: str) -> None:
    change, sentence = NOT_CUBES[case]
    with pytest.raises(FormatError, match=sentence):
        mark_valid(change(cube))


def test_real_enmap_pixels_are_marked_by_what_they_are() -> None:
    name = "enmap_potsdam_tile_128_0.tif"
    acquisition = read_acquisition(shared_data("enmap-potsdam", "tiles", name), scale=1e-4)
    cube = open_scene(acquisition)
    check_cube(cube)
    quality_flags = mark_valid(cube).quality_flags.values
    with rasterio.open(acquisition.asset("image").href) as raster:
        pixels = raster.read().astype(float)
    centers = np.array(acquisition.bands.centers_nm)

    def mean(nm: float) -> NDArray[np.float64]:
        return pixels[np.abs(centers - nm) <= 10].mean(axis=0)

    ndvi = (mean(800) - mean(660)) / (mean(800) + mean(660))
    clear = np.abs(ndvi - 0.30) > 1e-3
    expected = (ndvi > 0.30) & (mean(800) >= 500)
    found = (quality_flags & int(QualityFlag.GREEN_VEGETATION)) != 0
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert not (quality_flags & int(QualityFlag.OUTSIDE)).any()
