"""GeoTIFF and ENVI cubes with wavelengths: units, scale, nodata, time, identity."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from deepsalt.errors import DeepsaltError, FormatError, GridError, UnsupportedError, UsageError
from deepsalt.scenes.base import read_acquisition
from deepsalt.scenes.generic import GenericReader
from deepsalt.types import Acquisition
from tests.made.enmap import write_tiff
from tests.made.generic import CENTERS, WIDTHS, band_tags, cube, envi, pixels
from tests.shared import shared_data


@pytest.mark.parametrize(
    "tags",
    [
        band_tags("Nanometers"),
        band_tags(None),
        band_tags("Micrometers", 1e-3),
        band_tags(None, 1e-3),
        [{k.upper(): v for k, v in band.items()} for band in band_tags()],
    ],
    ids=["nm", "no unit, nm", "um", "no unit, um", "upper case"],
)
def test_bands_come_in_nanometres_from_band_tags(
    tmp_path: Path, tags: list[dict[str, str]]
) -> None:
    bands = read_acquisition(cube(tmp_path / "a.tif", band_tags=tags), scale=1).bands
    assert bands.centers_nm == pytest.approx(CENTERS)
    assert bands.fwhm_nm == pytest.approx(WIDTHS)
    assert bands.usable == (True, True, False, True, True)


def test_bands_come_from_the_imagery_domain(tmp_path: Path) -> None:
    path = cube(tmp_path / "a.tif", band_tags=None)
    with rasterio.open(path, "r+") as raster:
        for i, (center, width) in enumerate(zip(CENTERS, WIDTHS, strict=True), start=1):
            raster.update_tags(
                i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=center / 1e3, FWHM_UM=width / 1e3
            )
    bands = read_acquisition(path, scale=1).bands
    assert bands.centers_nm == pytest.approx(CENTERS)
    assert bands.fwhm_nm == pytest.approx(WIDTHS)


@pytest.mark.parametrize(("units", "factor"), [("Nanometers", 1.0), ("Micrometers", 1e-3)])
def test_bands_come_from_an_envi_header(tmp_path: Path, units: str, factor: float) -> None:
    path = envi(tmp_path / "a.img", units=units, factor=factor)
    bands = read_acquisition(path, scale=1e-4).bands
    assert bands.centers_nm == pytest.approx(CENTERS)
    assert bands.fwhm_nm == pytest.approx(WIDTHS)
    assert bands.usable == (True, True, False, True, True)


def test_an_envi_cube_is_the_same_by_header_and_by_data_file(tmp_path: Path) -> None:
    data = envi(tmp_path / "a.img")
    assert read_acquisition(data.with_suffix(".hdr"), scale=1e-4) == read_acquisition(
        data, scale=1e-4
    )


def test_the_envi_scale_factor_and_time_are_used(tmp_path: Path) -> None:
    extra = "reflectance scale factor = 10000\nacquisition time = 2024-05-01T10:00:00Z\n"
    acquisition = read_acquisition(envi(tmp_path / "a.img", extra=extra))
    assert acquisition.gain == (1e-4,) * 5
    assert acquisition.start == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_the_scale_of_the_file_is_used(tmp_path: Path) -> None:
    path = cube(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (2e-4,) * 5, (0.01,) * 5
    acquisition = read_acquisition(path)
    assert acquisition.gain == (2e-4,) * 5
    assert acquisition.offset == (0.01,) * 5


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_a_window_holds_the_bits_of_a_bare_read_in_the_stored_type(
    tmp_path: Path, dtype: str
) -> None:
    path = cube(tmp_path / "a.tif", dtype=dtype, nodata=0)
    reader = GenericReader(read_acquisition(path, scale=1e-4))
    window = reader.read_window(3, 5, 10, 12)
    assert window.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(window, pixels(dtype)[:, 3:13, 5:17])
    assert not reader.read_quality(3, 5, 10, 12).any()
    reader.close()


TIMES = {
    "none": ({}, None),
    "start_time": ({"start_time": "2022-07-24T10:45:26"}, datetime(2022, 7, 24, 10, 45, 26)),
    "zone": ({"ACQUISITION_DATE": "2022-07-24T12:00:00+02:00"}, datetime(2022, 7, 24, 10)),
    "day": ({"acquisition_date": "2022-07-24"}, datetime(2022, 7, 24)),
    "tiff": ({"TIFFTAG_DATETIME": "2022:07:24 10:45:26"}, datetime(2022, 7, 24, 10, 45, 26)),
    "nonsense": ({"start_time": "yesterday"}, None),
}


@pytest.mark.parametrize("case", TIMES)
def test_the_time_is_read_where_the_file_says_it(tmp_path: Path, case: str) -> None:
    tags, expected = TIMES[case]
    start = read_acquisition(cube(tmp_path / "a.tif", tags=tags), scale=1).start
    assert start == (expected and expected.replace(tzinfo=UTC))


def test_a_copy_elsewhere_is_the_same_acquisition(tmp_path: Path) -> None:
    path = cube(tmp_path / "a.tif")
    (tmp_path / "other").mkdir()
    copy = shutil.copy(path, tmp_path / "other" / "a.tif")
    assert read_acquisition(copy, scale=1).key == read_acquisition(path, scale=1).key


def test_other_content_under_the_same_name_is_another_acquisition(tmp_path: Path) -> None:
    first = read_acquisition(cube(tmp_path / "a.tif"), scale=1)
    write_tiff(tmp_path / "a.tif", pixels(seed=4), nodata=-9999, band_tags=band_tags(), block=16)
    assert read_acquisition(tmp_path / "a.tif", scale=1).key != first.key


REFUSED: dict[str, tuple[dict[str, object], dict[str, float], type[DeepsaltError], str]] = {
    "no scale": ({}, {}, FormatError, "give --scale"),
    "no wavelength": ({"band_tags": None}, {"scale": 1}, FormatError, "no wavelength per band"),
    "no FWHM": (
        {"band_tags": [{"wavelength": str(c)} for c in CENTERS]},
        {"scale": 1},
        FormatError,
        "no FWHM per band",
    ),
    "wavelength is text": (
        {"band_tags": [{"wavelength": "blue", "fwhm": "3"}] * 5},
        {"scale": 1},
        FormatError,
        "'blue' as wavelength, expected a number",
    ),
    "unit nobody uses": (
        {"band_tags": band_tags("furlong")},
        {"scale": 1},
        FormatError,
        "wavelengths in 'furlong'",
    ),
    "no SWIR": (
        {"band_tags": band_tags(scale=0.45)},
        {"scale": 1},
        UnsupportedError,
        "usable bands up to 990 nm only",
    ),
    "no CRS": ({"crs": None}, {"scale": 1}, GridError, "no known coordinate reference system"),
    "other type": ({"dtype": "float64"}, {"scale": 1}, FormatError, "is stored as float64"),
    "integer without nodata": (
        {"dtype": "int16", "nodata": None},
        {"scale": 1e-4},
        FormatError,
        "give --nodata",
    ),
    "other nodata": ({}, {"scale": 1, "nodata": 0}, UsageError, "leave out --nodata"),
    "nodata out of range": (
        {"dtype": "uint16", "nodata": None},
        {"scale": 1e-4, "nodata": 0.5},
        UsageError,
        "cannot hold nodata 0.5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_cube_that_leaves_something_open_is_refused(tmp_path: Path, case: str) -> None:
    options, given, kind, sentence = REFUSED[case]
    path = cube(tmp_path / "a.tif", **options)
    with pytest.raises(kind, match=sentence):
        read_acquisition(path, **given)  # type: ignore[arg-type]


def test_a_scale_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = envi(tmp_path / "a.img", extra="reflectance scale factor = 10000\n")
    read_acquisition(path, scale=1e-4)
    with rasterio.open(path, "r+") as raster:
        raster.scales = (2e-4,) * 5
    with pytest.raises(UsageError, match=r"has scale 0\.0002, not the given 0\.0001"):
        read_acquisition(path, scale=1e-4)


def test_a_rotated_grid_is_refused(tmp_path: Path) -> None:
    path = cube(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.transform = Affine(30, 2, 366015, 2, -30, 5809965)
    with pytest.raises(GridError, match="is not north-up"):
        read_acquisition(path, scale=1)


def test_a_truncated_envi_cube_is_refused(tmp_path: Path) -> None:
    path = envi(tmp_path / "a.img")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"truncated|cannot be opened"):
        read_acquisition(path, scale=1e-4)


def test_an_envi_header_without_data_is_refused(tmp_path: Path) -> None:
    path = envi(tmp_path / "a.img")
    path.unlink()
    with pytest.raises(FormatError, match="has no data file"):
        read_acquisition(path.with_suffix(".hdr"), scale=1e-4)


def test_float_cubes_need_no_nodata_since_nan_is_one(tmp_path: Path) -> None:
    path = cube(tmp_path / "a.tif", nodata=None)
    assert read_acquisition(path, scale=1).nodata is None


ENMAP_TILES = ["enmap_potsdam_tile_128_0", "enmap_potsdam_tile_96_128", "enmap_potsdam_tile_64_32"]


def enmap_tile(name: str) -> tuple[Path, Acquisition]:
    path = shared_data("enmap-potsdam", "tiles", f"{name}.tif")
    return path, read_acquisition(path, scale=1e-4)


@pytest.mark.parametrize("name", ENMAP_TILES)
def test_a_real_enmap_tile_has_218_bands_of_floats_that_can_be_used(name: str) -> None:
    _, acquisition = enmap_tile(name)
    assert (acquisition.dtype, acquisition.nodata) == ("float32", -32768)
    assert sum(acquisition.bands.usable) == 218


@pytest.mark.parametrize("name", ENMAP_TILES)
def test_a_real_enmap_tile_is_read_as_rasterio_reads_it(name: str) -> None:
    path, acquisition = enmap_tile(name)
    reader = GenericReader(acquisition)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(reader.read_window(0, 0, 32, 32), raster.read())
    reader.close()


def test_a_real_emit_cut_reads_once_it_is_georeferenced(tmp_path: Path) -> None:
    source = shared_data("emit-jpl-10x10", "emit20250324t221005_jpl_unmix_ex")
    data = Path(shutil.copy(source, tmp_path / "emit"))
    header = Path(shutil.copy(f"{source}.hdr", tmp_path / "emit.hdr"))
    with pytest.raises(GridError, match="no known coordinate reference system"):
        read_acquisition(data, scale=1)
    with header.open("a") as text:  # the cut comes without one; any will do here
        text.write("\nmap info = {UTM, 1, 1, 390000, 3785000, 60, 60, 11, North, WGS-84}\n")
    acquisition = read_acquisition(header, scale=1)
    assert len(acquisition.bands) == 285
    reader = GenericReader(acquisition)
    bare = np.fromfile(source, "<f4").reshape(10, 285, 10).transpose(1, 0, 2)
    np.testing.assert_array_equal(reader.read_window(0, 0, 10, 10), bare)
    reader.close()
