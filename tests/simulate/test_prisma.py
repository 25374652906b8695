from dataclasses import replace
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from deepsalt.errors import UsageError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.simulate.prisma import SWATH, VAPOUR_NM, write_prisma
from deepsalt.types import PixelGrid
from tests.simulate.conftest import START, WEATHER
from tests.simulate.hyperproc_reader import open_product


@pytest.fixture(scope="module")
def opened(prisma):
    return open_product(prisma.path, err_matrix=True)


@pytest.fixture
def file(prisma):
    with h5py.File(prisma.path) as file:
        yield file


def test_the_name_tells_level_and_time(prisma):
    assert prisma.path.name == "PRS_L2D_STD_20240601071230_20240601071230_0001.he5"


@pytest.mark.parametrize(("arm", "bands"), [("VNIR", 66), ("SWIR", 173)])
def test_cubes_are_stored_row_band_column(file, prisma, arm, bands):
    cube = file[f"{SWATH}/Data Fields/{arm}_Cube"]
    assert (cube.shape, cube.dtype) == ((prisma.grid.height, bands, prisma.grid.width), np.uint16)
    assert file[f"{SWATH}/Data Fields/{arm}_PIXEL_L2_ERR_MATRIX"].shape == cube.shape


@pytest.mark.parametrize(("arm", "missing"), [("Vnir", [0, 1, 2]), ("Swir", [171, 172])])
def test_wavelengths_descend_and_unacquired_bands_have_none(file, arm, missing):
    centers = file.attrs[f"List_Cw_{arm}"]
    flags = file.attrs[f"List_Cw_{arm}_Flags"]
    assert np.flatnonzero(centers == 0).tolist() == np.flatnonzero(flags == 0).tolist() == missing
    assert (np.diff(centers[centers > 0]) < 0).all()


def test_a_public_reader_sees_the_reflectance_that_was_meant(prisma, land, opened):
    from deepsalt.simulate.prisma import SNR, SNR_NM
    from deepsalt.simulate.scene import SimulatedScene
    from deepsalt.spectral.bands import sensor_bands

    table = sensor_bands("prisma")
    with h5py.File(prisma.path) as file:
        listed = np.concatenate([file.attrs["List_Cw_Vnir"], file.attrs["List_Cw_Swir"]])
    shift = np.sort(listed[listed > 0]) - np.sort(table.centers_nm)
    assert np.ptp(shift) < 1e-3
    assert abs(shift.mean()) < 0.6
    centers = np.array(table.centers_nm) + round(float(shift.mean()), 4)
    bands = replace(table, centers_nm=tuple(centers.tolist()))
    scene = SimulatedScene(
        land,
        prisma.grid,
        bands,
        start=START,
        seed=prisma.seed,
        weather=WEATHER,
        snr_at_30=np.interp(centers, SNR_NM, SNR),
    )
    (strip,) = scene.strips(128)
    vapour = np.any([(centers > low) & (centers < high) for low, high in VAPOUR_NM], axis=0)
    kept = np.array(bands.usable)
    seen = opened["reflectance"].values.transpose(2, 0, 1)
    assert seen.shape[0] == kept.sum() == 230
    # The public reader keeps the SWIR where detectors overlap, as the table does.
    compared = ~vapour[kept]
    difference = np.abs(seen - strip.reflectance[kept])[compared]
    assert np.isfinite(difference).mean() > 0.85
    assert np.nanmax(difference) < 2e-5
    assert np.array_equal(opened["valid"].values, strip.inside)


def test_water_vapour_is_delivered_as_noise(opened):
    deep = (opened.wavelength > 1380) & (opened.wavelength < 1430)
    assert float(opened["reflectance"].isel(wavelength=deep.values).std()) > 0.1


def test_errors_are_flagged_and_their_number_is_zero(file):
    fields = file[f"{SWATH}/Data Fields"]
    for arm in ("VNIR", "SWIR"):
        acquired = file.attrs[f"List_Cw_{arm.capitalize()}"] > 0
        numbers = fields[f"{arm}_Cube"][:, acquired]
        errors = fields[f"{arm}_PIXEL_L2_ERR_MATRIX"][:, acquired]
        assert np.array_equal(numbers == 0, errors > 0)
        assert set(np.unique(errors)) <= {0, 1, 2}


def test_corners_are_centres_of_pixels(file, prisma, opened):
    a, _, west, _, e, north = prisma.grid.transform
    assert file.attrs["Product_ULcorner_easting"] == west + a / 2
    assert file.attrs["Product_LRcorner_northing"] == north + e * (prisma.grid.height - 0.5)
    assert opened.attrs["transform"] == (west, a, 0.0, north, 0.0, e)
    assert opened.attrs["crs"] == prisma.grid.crs == "EPSG:32640"


def test_angles_are_zero_outside_the_swath(file, opened):
    zenith = file[f"{SWATH}/Geometric Fields/Solar_Zenith_Angle"][:]
    assert np.array_equal(zenith > 0, opened["valid"].values)
    assert float(file.attrs["Sun_zenith_angle"]) == pytest.approx(38.0)


def test_our_reader_agrees_with_the_public_one(prisma, opened):
    acquisition = read_acquisition(prisma.path)
    reader = open_reader(acquisition)
    dn = reader.read_window(0, 0, prisma.grid.height, prisma.grid.width)
    reader.close()
    assert acquisition.grid == prisma.grid
    gain, offset = (np.array(v)[:, None, None] for v in (acquisition.gain, acquisition.offset))
    ours = np.where(dn == acquisition.nodata, np.nan, dn * gain + offset)
    mine = np.argsort(acquisition.bands.centers_nm)
    centers = np.array(acquisition.bands.centers_nm)[mine]
    match = [int(np.argmin(np.abs(centers - nm))) for nm in opened["wavelength"].values]
    theirs = opened["reflectance"].values.transpose(2, 0, 1)
    assert np.nanmax(np.abs(ours[mine][match] - theirs)) < 1e-6


@pytest.mark.parametrize(("seed", "same"), [(4, True), (5, False)])
def test_a_seed_is_a_product(prisma, land, tmp_path, seed, same):
    other = write_prisma(
        tmp_path, landscape=land, grid=prisma.grid, start=START, seed=seed, weather=WEATHER
    )
    cubes = []
    for path in (prisma.path, other):
        with h5py.File(path) as file:
            cubes.append(file[f"{SWATH}/Data Fields/SWIR_Cube"][:])
    assert np.array_equal(*cubes) == same


def test_a_grid_that_prisma_does_not_use_is_refused(land, tmp_path):
    grid = PixelGrid("EPSG:3035", (30.0, 0.0, 0.0, 0.0, -30.0, 0.0), 4, 4)
    with pytest.raises(UsageError, match="utm_grid"):
        write_prisma(
            tmp_path, landscape=land, grid=grid, start=datetime(2024, 6, 1, tzinfo=UTC), seed=1
        )
