"""PRISMA L2D: bands joined upwards, scale, errors, padding."""

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from deepsalt.errors import ReadError
from deepsalt.scenes.base import SceneReader, open_reader, read_acquisition
from deepsalt.scenes.prisma import PrismaReader
from deepsalt.types import Acquisition, QualityFlag
from tests.made.prisma import NAME, SWATH, UL_CENTRE, centers, write_prisma


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prisma(tmp_path_factory.mktemp("prisma") / NAME)


@pytest.fixture(scope="module")
def acquisition(product: Path) -> Acquisition:
    return read_acquisition(product)


def test_identity_comes_from_the_times_of_the_acquisition(acquisition: Acquisition) -> None:
    assert acquisition.key == "prisma-l2d/20240402102837_20240402102842/0001"
    assert acquisition.start == datetime(2024, 4, 2, 10, 28, 37, 932000, UTC)


def test_bands_run_upwards_without_those_not_acquired(acquisition: Acquisition) -> None:
    assert len(acquisition.bands) == 63 + 171
    assert list(acquisition.bands.centers_nm) == sorted(acquisition.bands.centers_nm)


def test_vnir_in_the_overlap_and_water_vapour_are_not_usable(acquisition: Acquisition) -> None:
    first_swir = min(centers("Swir")[centers("Swir") > 0])
    for name, center, usable in zip(
        acquisition.bands.names, acquisition.bands.centers_nm, acquisition.bands.usable, strict=True
    ):
        noise = 1350 <= center <= 1460 or 1790 <= center <= 1960 or center >= 2450
        second = name.startswith("vnir") and center >= first_swir
        assert usable == (not noise and not second), name


def test_the_corner_attribute_is_the_centre_of_a_pixel(acquisition: Acquisition) -> None:
    east, north = UL_CENTRE
    assert acquisition.grid.transform == (30.0, 0.0, east - 15, 0.0, -30.0, north + 15)
    assert acquisition.grid.crs == "EPSG:32632"


def test_statistics_of_the_scene_are_read(acquisition: Acquisition) -> None:
    assert acquisition.sun_elevation_deg == pytest.approx(39.8, abs=1e-4)
    assert acquisition.cloud_cover_pct == 2.5
    assert acquisition.nodata == 0


def test_reflectance_equals_the_products_formula(product: Path, acquisition: Acquisition) -> None:
    reader = PrismaReader(acquisition)
    numbers = reader.read_window(0, 0, 50, 60)
    reader.close()
    band = acquisition.bands.names.index("swir_100")
    with h5py.File(product) as file:
        stored = file[f"{SWATH}/Data Fields/SWIR_Cube"][:, 99, :].astype(float)
    low, high = np.float32(0.01), np.float32(0.9)
    expected = low + stored * (float(high) - float(low)) / 65535
    found = numbers[band] * acquisition.gain[band] + acquisition.offset[band]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert acquisition.bands.centers_nm[band] == centers("Swir")[99]


def test_a_window_holds_the_bits_of_a_bare_read(product: Path, acquisition: Acquisition) -> None:
    reader = PrismaReader(acquisition)
    numbers = reader.read_window(7, 11, 20, 30)
    reader.close()
    assert numbers.dtype == np.uint16
    with h5py.File(product) as file:
        for name, band in zip(acquisition.bands.names, numbers, strict=True):
            detector, _, channel = name.partition("_")
            cube = file[f"{SWATH}/Data Fields/{detector.upper()}_Cube"]
            np.testing.assert_array_equal(band, cube[7:27, int(channel) - 1, 11:41])


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_any_error_code_is_nodata_in_its_band(tmp_path: Path, code: int) -> None:
    errors = np.zeros((4, 173, 5), np.uint8)
    errors[2, 99, 3] = code
    acquisition = read_acquisition(
        write_prisma(tmp_path / NAME, shape=(4, 5), errors={"SWIR": errors})
    )
    reader = PrismaReader(acquisition)
    numbers = reader.read_window(0, 0, 4, 5)
    reader.close()
    gone = np.argwhere(numbers == 0)
    assert gone.tolist() == [[acquisition.bands.names.index("swir_100"), 2, 3]]


def test_padding_of_prisma_scenes_is_outside(tmp_path: Path) -> None:
    zenith = np.full((4, 5), 50.0, np.float32)
    zenith[:, 0] = 0
    reader = open_reader(
        read_acquisition(write_prisma(tmp_path / NAME, shape=(4, 5), zenith=zenith))
    )
    assert isinstance(reader, SceneReader)
    bits = reader.read_quality(0, 0, 4, 5)
    reader.close()
    np.testing.assert_array_equal(bits, np.where(zenith == 0, int(QualityFlag.OUTSIDE), 0))


WINDOWS = {
    "contiguous": (None, (300, 280), (256, 256)),
    "chunks of rows, within 32 MiB": ((1, 66, 280), (300, 280), (250, 280)),
    "tiles": ((64, 10, 64), (300, 280), (64, 64)),
    "small scene": (None, (50, 60), (50, 60)),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_windows_lie_on_the_files_chunks(tmp_path: Path, case: str) -> None:
    chunks, shape, expected = WINDOWS[case]
    path = write_prisma(tmp_path / NAME, shape=shape, chunks=chunks)
    assert read_acquisition(path).block_shape == expected


def test_a_file_that_vanished_fails_when_opened(tmp_path: Path) -> None:
    path = write_prisma(tmp_path / NAME, shape=(4, 5))
    acquisition = read_acquisition(path)
    path.unlink()
    with pytest.raises(ReadError, match="cannot be opened as HDF5"):
        PrismaReader(acquisition)


def test_damaged_chunks_fail_when_read(tmp_path: Path) -> None:
    path = write_prisma(tmp_path / NAME, shape=(64, 60), chunks=(64, 66, 60))
    acquisition = read_acquisition(path)
    with h5py.File(path) as file:
        place = file[f"{SWATH}/Data Fields/VNIR_Cube"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\0" * 4000)
    reader = PrismaReader(acquisition)
    with pytest.raises(ReadError, match="VNIR_Cube cannot be read at row 0"):
        reader.read_window(0, 0, 64, 60)
    reader.close()
