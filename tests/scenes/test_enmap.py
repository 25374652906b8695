"""EnMAP L2A: metadata, quality bits, defective pixels, both spellings."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from deepsalt.errors import ReadError
from deepsalt.scenes.base import SceneReader, open_reader, read_acquisition
from deepsalt.scenes.enmap import EnmapReader
from deepsalt.scenes.enmap.metadata import vnir_by_width
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import Acquisition, QualityFlag
from tests.made.enmap import EMPTY_BANDS, SCENE, write_enmap


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_enmap(tmp_path_factory.mktemp("enmap"))


@pytest.fixture(scope="module")
def acquisition(product: Path) -> Acquisition:
    return read_acquisition(product)


def test_identity_comes_from_the_product_name(acquisition: Acquisition) -> None:
    assert acquisition.key == "enmap-l2a/DT0000012345_003/01.04.02"
    assert acquisition.scene_id == SCENE


def test_statistics_of_the_scene_are_read(acquisition: Acquisition) -> None:
    assert acquisition.start == datetime(2024, 7, 6, 8, 30, 0, 123456, UTC)
    assert acquisition.sun_elevation_deg == 52.5
    assert acquisition.cloud_cover_pct == 3
    assert acquisition.overall_quality == 0


def test_the_grid_is_that_of_the_image(acquisition: Acquisition) -> None:
    assert acquisition.grid.transform == (30.0, 0.0, 366015.0, 0.0, -30.0, 5809965.0)
    assert (acquisition.grid.crs, acquisition.grid.height) == ("EPSG:32633", 70)


def test_empty_bands_and_overlapping_vnir_are_not_usable(acquisition: Acquisition) -> None:
    assert acquisition.bands.usable == sensor_bands("enmap").usable
    assert not any(acquisition.bands.usable[i] for i in EMPTY_BANDS)


def test_without_channel_lists_widths_tell_the_detectors_apart() -> None:
    table = sensor_bands("enmap")
    vnir = vnir_by_width(list(table.centers_nm), list(table.fwhm_nm))
    assert sum(vnir) == 91
    dropped = [c for c, v in zip(table.centers_nm, vnir, strict=True) if v and c >= 902.2]
    flagged = [
        c
        for c, usable in zip(table.centers_nm, table.usable, strict=True)
        if not usable and c < 1000
    ]
    assert dropped == flagged


def test_the_footprint_is_a_closed_counter_clockwise_ring(acquisition: Acquisition) -> None:
    ring = np.array(acquisition.footprint)
    x, y = ring[:, 0], ring[:, 1]
    assert (ring[0] == ring[-1]).all()
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0


@pytest.mark.parametrize("name", ["*METADATA.XML", "*SPECTRAL_IMAGE.TIF", "*QL_QUALITY_SNOW.TIF"])
def test_any_file_of_the_product_stands_for_it(
    product: Path, acquisition: Acquisition, name: str
) -> None:
    assert read_acquisition(next(product.glob(name))) == acquisition


@pytest.mark.parametrize("options", [{"cog": True}, {"lower": True}, {"cog": True, "lower": True}])
def test_the_catalogues_copy_and_any_letter_case_are_read(
    tmp_path: Path, acquisition: Acquisition, options: dict[str, bool]
) -> None:
    other = read_acquisition(write_enmap(tmp_path, **options))
    assert dataclasses.replace(other, assets=acquisition.assets) == acquisition


def test_assets_carry_absolute_paths_and_sizes(acquisition: Acquisition) -> None:
    assert len(acquisition.assets) == 10
    for asset in acquisition.assets:
        assert Path(asset.href).is_absolute()
        assert asset.size_bytes == Path(asset.href).stat().st_size


def test_the_reader_keeps_the_protocol(acquisition: Acquisition) -> None:
    reader = open_reader(acquisition)
    assert isinstance(reader, SceneReader)
    reader.close()


def test_a_defective_pixel_of_a_band_becomes_nodata_in_that_band_only(tmp_path: Path) -> None:
    mask = np.zeros((224, 32, 32), np.uint8)
    mask[17, 3, 5] = 1
    mask[18, 3, 5] = 255  # outside, no defect
    numbers = np.full((224, 32, 32), 1500, np.int16)
    folder = write_enmap(tmp_path, numbers=numbers, defective=mask)
    reader = EnmapReader(read_acquisition(folder))
    expected = numbers.copy()
    expected[17, 3, 5] = -32768
    np.testing.assert_array_equal(reader.read_window(0, 0, 32, 32), expected)
    reader.close()


QUALITY_CASES = {
    "land": ({}, QualityFlag(0)),
    "water": ({"QL_QUALITY_CLASSES": 2}, QualityFlag.WATER),
    "background": ({"QL_QUALITY_CLASSES": 3}, QualityFlag.OUTSIDE),
    "background hides the rest": (
        {"QL_QUALITY_CLASSES": 3, "QL_QUALITY_CLOUD": 1, "QL_QUALITY_TESTFLAGS": 3},
        QualityFlag.OUTSIDE,
    ),
    "unclassified": ({"QL_QUALITY_CLASSES": 0}, QualityFlag.CLOUD),
    "cloud": ({"QL_QUALITY_CLOUD": 1}, QualityFlag.CLOUD),
    "shadow": ({"QL_QUALITY_CLOUDSHADOW": 1}, QualityFlag.SHADOW),
    "haze": ({"QL_QUALITY_HAZE": 1}, QualityFlag.HAZE),
    "snow": ({"QL_QUALITY_SNOW": 1}, QualityFlag.SNOW),
    "thin cirrus advises": ({"QL_QUALITY_CIRRUS": 1}, QualityFlag.HAZE),
    "medium cirrus": ({"QL_QUALITY_CIRRUS": 2}, QualityFlag.CIRRUS),
    "thick cirrus": ({"QL_QUALITY_CIRRUS": 3}, QualityFlag.CIRRUS),
    "reduced quality": ({"QL_QUALITY_TESTFLAGS": 1}, QualityFlag(0)),
    "low quality": ({"QL_QUALITY_TESTFLAGS": 2}, QualityFlag.DEFECTIVE),
    "not produced": ({"QL_QUALITY_TESTFLAGS": 3}, QualityFlag.DEFECTIVE),
    "interpolated": ({"QL_QUALITY_TESTFLAGS": 4 | 8}, QualityFlag(0)),
    "saturated": ({"QL_QUALITY_TESTFLAGS": 16}, QualityFlag.DEFECTIVE),
    "artefact": ({"QL_QUALITY_TESTFLAGS": 128}, QualityFlag.DEFECTIVE),
    "cloud over water": (
        {"QL_QUALITY_CLASSES": 2, "QL_QUALITY_CLOUD": 1},
        QualityFlag.WATER | QualityFlag.CLOUD,
    ),
}


def test_quality_layers_become_quality_flags_bits(tmp_path: Path) -> None:
    layers: dict[str, np.ndarray] = {}
    for pixel, (values, _) in enumerate(QUALITY_CASES.values()):
        for layer, value in values.items():
            default = np.full((16, 32), int(layer == "QL_QUALITY_CLASSES"), np.uint8)
            layers.setdefault(layer, default)[2, pixel] = value
    numbers = np.full((224, 16, 32), 1500, np.int16)
    reader = EnmapReader(read_acquisition(write_enmap(tmp_path, numbers=numbers, quality=layers)))
    bits = reader.read_quality(0, 0, 16, 32)
    reader.close()
    found = dict(zip(QUALITY_CASES, map(int, bits[2]), strict=False))
    assert found == {name: int(expected) for name, (_, expected) in QUALITY_CASES.items()}


@given(data=st.data())
@settings(max_examples=25)
def test_any_window_equals_the_one_that_rasterio_reads(
    acquisition: Acquisition, data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, 69)), data.draw(st.integers(0, 89))
    height, width = data.draw(st.integers(1, 70 - row)), data.draw(st.integers(1, 90 - column))
    reader = EnmapReader(acquisition)
    with rasterio.open(acquisition.asset("image").href) as raster:
        expected = raster.read(window=Window(column, row, width, height))
    np.testing.assert_array_equal(reader.read_window(row, column, height, width), expected)
    assert reader.read_quality(row, column, height, width).shape == (height, width)
    reader.close()


def test_a_file_cut_after_ingest_fails_when_read(tmp_path: Path) -> None:
    acquisition = read_acquisition(write_enmap(tmp_path))
    image = Path(acquisition.asset("image").href)
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    reader = EnmapReader(acquisition)
    with pytest.raises(ReadError, match=r"SPECTRAL_IMAGE\.TIF cannot be read at row .* fetch it"):
        reader.read_window(64, 64, 6, 26)
    reader.close()


def test_a_file_that_vanished_fails_when_opened(tmp_path: Path) -> None:
    acquisition = read_acquisition(write_enmap(tmp_path))
    Path(acquisition.asset("image").href).unlink()
    with pytest.raises(ReadError, match="cannot be opened as a raster"):
        EnmapReader(acquisition)


def test_an_image_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    acquisition = read_acquisition(write_enmap(tmp_path / "a"))
    smaller = read_acquisition(write_enmap(tmp_path / "b", shape=(40, 40)))
    with pytest.raises(ReadError, match="has 224 bands of 40 x 40 pixels"):
        EnmapReader(dataclasses.replace(acquisition, assets=smaller.assets))
