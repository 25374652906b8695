"""The common band set and the front end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.transform import (
    BROAD_FEATURES,
    LEVEL_FEATURES,
    MAX_HOLE_NM,
    SEGMENTS_NM,
    SHAPE_NM,
    common_matrix,
    common_nm,
    derivative_matrix,
    fill_missing,
    front_end,
)
from deepsalt.types import BandTable
from tests.model.students import soils


def table(centers: np.ndarray, fwhm: float = 10.0, usable: np.ndarray | None = None) -> BandTable:
    flags = np.ones(centers.size, bool) if usable is None else usable
    return BandTable(
        tuple(f"b{i}" for i in range(centers.size)),
        tuple(centers.tolist()),
        (fwhm,) * centers.size,
        tuple(bool(flag) for flag in flags),
    )


@pytest.mark.parametrize("sensor", ["lab", "enmap", "prisma"])
def test_every_sensor_covers_the_common_bands_with_rows_that_sum_to_one(sensor):
    matrix = common_matrix(sensor_bands(sensor))
    assert matrix.shape == (common_nm().size, len(sensor_bands(sensor)))
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)


@pytest.mark.parametrize("sensor", ["lab", "enmap", "prisma"])
def test_no_common_band_takes_from_beyond_its_atmospheric_window(sensor):
    bands = sensor_bands(sensor)
    weight = common_matrix(bands)
    centers, wanted = np.array(bands.centers_nm), common_nm()
    for low, high in SEGMENTS_NM:
        rows = (wanted >= low) & (wanted <= high)
        outside = (centers < low - 25) | (centers > high + 25)
        assert not weight[np.ix_(rows, outside)].any()


@pytest.mark.parametrize("sensor", ["enmap", "prisma"])
def test_sensors_agree_on_a_smooth_spectrum(sensor):
    lab, other = sensor_bands("lab"), sensor_bands(sensor)
    lines = [0.1 + 1e-4 * np.array(bands.centers_nm) for bands in (lab, other)]
    np.testing.assert_allclose(
        common_matrix(other) @ lines[1], common_matrix(lab) @ lines[0], atol=1e-4
    )


@given(st.floats(0.2, 3.0), st.integers(0, 1000))
@settings(max_examples=10)
def test_brightness_changes_the_level_and_nothing_else(factor, seed):
    bands = sensor_bands("enmap")
    spectra = soils(3, bands.centers_nm, seed)
    plain, brighter = front_end(bands)(spectra), front_end(bands)(factor * spectra)
    np.testing.assert_allclose(brighter[:, :-2], plain[:, :-2], atol=1e-8)
    np.testing.assert_allclose(brighter[:, -2], plain[:, -2] + np.log(factor), atol=1e-8)
    np.testing.assert_allclose(brighter[:, -1], plain[:, -1], atol=1e-8)


def test_a_flat_spectrum_has_finite_features():
    bands = sensor_bands("lab")
    assert np.isfinite(front_end(bands)(np.full((1, len(bands)), 0.3))).all()


def test_the_first_features_are_the_derivative_of_the_common_bands():
    bands = sensor_bands("lab")
    spectra = soils(4, bands.centers_nm)
    common = spectra @ common_matrix(bands).T
    expected = common @ derivative_matrix().T / common.std(axis=1, keepdims=True)
    found = front_end(bands)(spectra)[:, :-BROAD_FEATURES]
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-4)


def test_shape_is_the_mean_of_the_standard_normal_variate_over_a_range():
    bands = sensor_bands("lab")
    spectra = soils(4, bands.centers_nm)
    common = spectra @ common_matrix(bands).T
    snv = (common - common.mean(axis=1, keepdims=True)) / common.std(axis=1, keepdims=True)
    nm = common_nm()
    expected = [snv[:, (nm >= low) & (nm <= high)].mean(axis=1) for low, high in SHAPE_NM]
    found = front_end(bands)(spectra)[:, -BROAD_FEATURES:-LEVEL_FEATURES]
    np.testing.assert_allclose(found, np.transpose(expected), atol=0.02)


def test_sensors_agree_on_the_shape_of_a_soil():
    shapes = []
    for sensor in ("enmap", "prisma", "lab"):
        bands = sensor_bands(sensor)
        features = front_end(bands)(soils(4, bands.centers_nm))
        shapes.append(features[:, -BROAD_FEATURES:-LEVEL_FEATURES])
    np.testing.assert_allclose(shapes[0], shapes[2], atol=0.02)
    np.testing.assert_allclose(shapes[1], shapes[2], atol=0.02)


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [(900, 930, False), (900, 960, True), (1300, 1350, False), (1500, 1600, True)],
    ids=["small hole", "wide hole", "edge", "second window"],
)
def test_only_small_holes_are_closed(first, last, refused):
    centers = np.arange(400.0, 2460.0, 10.0)
    bands = table(centers, usable=(centers < first) | (centers > last))
    if refused:
        with pytest.raises(FormatError, match=f"{MAX_HOLE_NM:.0f} nm"):
            common_matrix(bands)
    else:
        np.testing.assert_allclose(common_matrix(bands).sum(axis=1), 1.0)


def test_the_range_that_is_missing_is_named():
    centers = np.arange(400.0, 1001.0, 5.0)
    with pytest.raises(FormatError, match=r"do not cover 1000-1300 nm"):
        common_matrix(table(centers, 6.0))


def test_two_bands_of_one_wavelength_are_no_obstacle():
    centers = np.arange(400.0, 2460.0, 10.0)
    twice = np.insert(centers, 5, centers[5])
    np.testing.assert_allclose(common_matrix(table(twice)).sum(axis=1), 1.0)


def test_missing_values_of_a_usable_band_are_refused():
    bands = sensor_bands("lab")
    spectra = soils(2, bands.centers_nm)
    spectra[0, 50] = np.nan
    with pytest.raises(FormatError, match="missing values"):
        front_end(bands)(spectra)


def test_missing_bands_are_interpolated_within_their_window_only():
    centers = np.array([500.0, 510.0, 520.0, 1500.0, 1510.0, 2000.0])
    values = np.array([[1.0, 0.0, 3.0, 0.0, 5.0, 0.0]], dtype=np.float32).T
    missing = np.array([[False, True, False, True, False, True]]).T
    fill_missing(values, missing, centers)
    np.testing.assert_array_equal(values[:, 0], [1.0, 2.0, 3.0, 5.0, 5.0, np.nan])
