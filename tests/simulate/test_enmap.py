import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from deepsalt.errors import UsageError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.simulate.enmap import EMPTY_BANDS, NODATA, Variant, write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.scene import SimulatedScene, Weather
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import PixelGrid
from tests.simulate.conftest import START, WEATHER
from tests.simulate.hyperproc_reader import open_product

LAYERS = {
    "SPECTRAL_IMAGE",
    "QL_PIXELMASK",
    "QL_QUALITY_CLASSES",
    "QL_QUALITY_CLOUD",
    "QL_QUALITY_CLOUDSHADOW",
    "QL_QUALITY_CIRRUS",
    "QL_QUALITY_HAZE",
    "QL_QUALITY_SNOW",
    "QL_QUALITY_TESTFLAGS",
    "QL_VNIR",
    "QL_SWIR",
}


def layer(folder, name, cog=""):
    with rasterio.open(folder / f"{folder.name}-{name}{cog}.TIF") as file:
        return file.read()


def xml(folder):
    return ElementTree.parse(folder / f"{folder.name}-METADATA.XML").getroot()


def meant(enmap, land):
    """The scene that the product was written from, whole."""
    centers = tuple(
        float(band.findtext("wavelengthCenterOfBand"))
        for band in xml(enmap.folder).iterfind("specific/bandCharacterisation/bandID")
    )
    bands = replace(sensor_bands("enmap"), centers_nm=centers)
    scene = SimulatedScene(land, enmap.grid, bands, start=START, seed=enmap.seed, weather=WEATHER)
    (strip,) = scene.strips(256)
    return strip


@pytest.fixture(scope="module")
def opened(enmap):
    path = enmap.folder / f"{enmap.name}-SPECTRAL_IMAGE.TIF"
    return open_product(path, pixelmask=True)


def test_the_product_has_every_delivered_file(enmap):
    names = {path.name.removeprefix(f"{enmap.name}-") for path in enmap.folder.iterdir()}
    assert names == {f"{name}.TIF" for name in LAYERS} | {"METADATA.XML"}


def test_the_image_is_stored_as_delivered(enmap):
    with rasterio.open(enmap.folder / f"{enmap.name}-SPECTRAL_IMAGE.TIF") as file:
        assert (file.count, file.dtypes[0], file.nodata) == (224, "int16", NODATA)
        assert file.block_shapes[0] == (256, 256)
        assert (file.interleaving.name.lower(), file.compression.name) == ("pixel", "deflate")


def test_a_public_reader_sees_the_reflectance_that_was_meant(enmap, land, opened):
    strip = meant(enmap, land)
    seen = opened["reflectance"].values.transpose(2, 0, 1)
    good = opened["pixelmask"].values.transpose(2, 0, 1) == 0
    good &= (opened["testflags"].values == 0) & np.isfinite(seen)
    # 206 usable bands and 12 of the overlap are delivered.
    assert good.mean() > 0.85 * 218 / 224
    assert np.abs(seen - strip.reflectance)[good].max() <= 0.51e-4


def test_a_public_reader_sees_nothing_where_nothing_was_measured(enmap, land, opened):
    seen = np.isfinite(opened["reflectance"].values)
    assert not seen[..., EMPTY_BANDS].any()
    assert np.array_equal(seen[..., 0], meant(enmap, land).inside)


def test_a_public_reader_sees_the_masks_that_were_meant(enmap, land, opened):
    strip = meant(enmap, land)
    for name, expected in (
        ("cloud", strip.cloud),
        ("cloudshadow", strip.shadow),
        ("haze", strip.haze),
        ("cirrus", strip.cirrus > 0),
        ("snow", strip.snow),
    ):
        assert np.array_equal(opened[name].values, expected), name
    assert strip.cloud.any()
    assert strip.shadow.any()
    assert strip.haze.any()
    assert strip.cirrus.any()


def test_a_public_reader_sees_wavelengths_near_the_sensors_and_the_grid(enmap, opened):
    table = sensor_bands("enmap")
    drift = opened["wavelength"].values - np.array(table.centers_nm)
    assert 0 < np.abs(drift).max() < 0.6
    assert np.allclose(opened["fwhm"], table.fwhm_nm)
    a, _, west, _, e, north = enmap.grid.transform
    assert opened["x"].values[0] == west + a / 2
    assert opened["y"].values[-1] == north + e * (enmap.grid.height - 0.5)


def test_our_reader_agrees_with_the_public_one(enmap, opened):
    acquisition = read_acquisition(enmap.folder)
    reader = open_reader(acquisition)
    dn = reader.read_window(0, 0, enmap.grid.height, enmap.grid.width)
    reader.close()
    ours = np.where(dn == NODATA, np.nan, dn * 1e-4)
    theirs = opened["reflectance"].where(opened["pixelmask"] == 0).values.transpose(2, 0, 1)
    assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert np.nanmax(np.abs(ours - theirs)) < 1e-6


def test_the_classes_tell_land_water_cloud_and_background(enmap, land):
    strip, classes = meant(enmap, land), layer(enmap.folder, "QL_QUALITY_CLASSES")[0]
    assert (classes[~strip.inside] == 3).all()
    assert (classes[strip.cloud] == 0).all()
    assert (classes[strip.inside & ~strip.cloud & ~strip.water] == 1).all()


def test_the_metadata_state_what_the_pixels_show(enmap):
    root, image = xml(enmap.folder), layer(enmap.folder, "SPECTRAL_IMAGE")
    statistics = root.findall("product/bandStatistics/bandID")
    assert [float(b.findtext("mean")) for b in statistics[EMPTY_BANDS]] == [-1000000.0] * 6
    assert [float(b.findtext("stdDeviation")) for b in statistics[EMPTY_BANDS]] == [0.0] * 6
    valid = image[50][image[50] != NODATA]
    assert float(statistics[50].findtext("mean")) == pytest.approx(valid.mean() * 1e-4, rel=0.01)
    cloud = layer(enmap.folder, "QL_QUALITY_CLOUD").sum() / valid.size
    assert int(root.findtext("specific/qualityFlag/cloudCover")) == round(100 * cloud)


def test_the_expected_channels_are_91_vnir_and_133_swir_numbers(enmap):
    texts = [
        xml(enmap.folder).findtext(f"specific/{arm}ProductQuality/expectedChannelsList")
        for arm in ("vnir", "swir")
    ]
    lists = [[int(number) for number in text.split(",")] for text in texts]
    assert [len(numbers) for numbers in lists] == [91, 133]
    assert sorted(lists[0] + lists[1]) == list(range(1, 225))


def test_the_footprint_lies_on_the_edge_of_the_data(enmap):
    footprint = read_acquisition(enmap.folder).footprint
    image = layer(enmap.folder, "SPECTRAL_IMAGE")[0]
    assert 0.85 < (image != NODATA).mean() < 0.99
    assert len(set(footprint)) == 4


@pytest.mark.parametrize(
    ("seed", "same"), [(3, True), (4, False)], ids=["the same seed", "another seed"]
)
def test_a_seed_is_a_product(enmap, land, tmp_path, seed, same):
    other = write_enmap(
        tmp_path, landscape=land, grid=enmap.grid, start=START, seed=seed, weather=WEATHER
    )
    digests = [
        hashlib.sha256(layer(folder, "SPECTRAL_IMAGE").tobytes()).digest()
        for folder in (enmap.folder, other)
    ]
    assert (digests[0] == digests[1]) == same
    assert (other.name == enmap.name) == same


def write_small(folder, land, **options):
    return write_enmap(
        folder,
        landscape=land,
        grid=utm_grid(60.0, 41.5, 24, 20),
        start=datetime(2024, 6, 1, 7),
        seed=1,
        **options,
    )


def test_a_night_pass_is_low_quality_without_clouds(land, tmp_path):
    folder = write_small(tmp_path, land, weather=Weather(sun_elevation_deg=-20.0))
    root = xml(folder)
    assert root.findtext("specific/qualityFlag/overallQuality") == "2"
    assert root.findtext("specific/qualityFlag/cloudCover") == "0"
    assert float(root.findtext("specific/sunElevationAngle/center")) == -20.0


def test_a_cloud_optimised_copy_holds_the_same_pixels(land, tmp_path):
    plain = write_small(tmp_path / "a", land, variant=Variant(interleave="band"))
    cog = write_small(tmp_path / "b", land, variant=Variant(cog=True))
    for name in LAYERS:
        assert np.array_equal(layer(plain, name), layer(cog, name, "_COG")), name
    assert not list(cog.glob("*SPECTRAL_IMAGE.TIF"))


def test_level_version_and_tile_stand_in_the_name(land, tmp_path):
    variant = Variant(level="L1C", version="010400", tile=4, datatake=77)
    folder = write_small(tmp_path, land, variant=variant)
    assert folder.name == (
        "ENMAP01-____L1C-DT0000000077_20240601T070000Z_004_V010400_20240602T011100Z"
    )
    assert xml(folder).findtext("base/level") == "L1C"


def test_a_cloudy_scene_is_as_cloudy_as_asked(land, tmp_path):
    folder = write_small(tmp_path, land, weather=Weather(cloud=0.8))
    assert 0.7 < layer(folder, "QL_QUALITY_CLOUD").mean() < 0.95
    assert xml(folder).findtext("specific/qualityFlag/overallQuality") == "1"


@pytest.mark.parametrize(
    "grid",
    [
        PixelGrid("EPSG:6933", (30.0, 0.0, 0.0, 0.0, -30.0, 0.0), 4, 4),
        PixelGrid("EPSG:32633", (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0), 4, 4),
    ],
    ids=["not-utm", "not-30-m"],
)
def test_a_grid_that_enmap_does_not_use_is_refused(land, tmp_path, grid):
    with pytest.raises(UsageError, match="utm_grid"):
        write_enmap(
            tmp_path, landscape=land, grid=grid, start=datetime(2024, 6, 1, tzinfo=UTC), seed=1
        )
