import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable

FINE_NM = np.arange(350.0, 2521.0)


def table(*bands: tuple[float, float]) -> BandTable:
    n = len(bands)
    return BandTable(
        tuple(f"b{i}" for i in range(n)),
        tuple(center for center, _ in bands),
        tuple(fwhm for _, fwhm in bands),
        (True,) * n,
    )


band_tables = st.lists(
    st.tuples(st.floats(420, 2400), st.floats(0.1, 40.0)), min_size=1, max_size=8
).map(lambda bands: table(*bands))
steps = st.floats(1.0, 15.0)


@settings(max_examples=60)
@given(bands=band_tables, step=steps)
def test_every_row_sums_to_one_or_is_nan(bands, step):
    sums = response_matrix(np.arange(350.0, 2500.0, step), bands).sum(axis=1)
    assert np.allclose(sums[~np.isnan(sums)], 1.0, atol=1e-12)


@settings(max_examples=60)
@given(bands=band_tables, step=steps, slope=st.floats(-1e-3, 1e-3), level=st.floats(0, 1))
def test_a_linear_spectrum_is_reproduced_at_the_band_centres(bands, step, slope, level):
    source = np.arange(350.0, 2500.0, step)
    bands_seen = response_matrix(source, bands) @ (level + slope * source)
    expected = level + slope * np.array(bands.centers_nm)
    assert np.allclose(bands_seen, expected, atol=1e-9)


@settings(max_examples=40)
@given(bands=band_tables, seed=st.integers(0, 99))
def test_the_order_of_the_source_does_not_matter(bands, seed):
    source = np.arange(350.0, 2500.0, 7.0)
    shuffle = np.random.default_rng(seed).permutation(source.size)
    straight = response_matrix(source, bands)
    assert np.array_equal(response_matrix(source[shuffle], bands), straight[:, shuffle])


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "lab"])
def test_every_band_of_a_sensor_sees_a_1_nm_source(sensor):
    assert not np.isnan(response_matrix(FINE_NM, sensor_bands(sensor))).any()


def test_a_wide_response_is_a_gaussian_of_its_fwhm():
    row = response_matrix(FINE_NM, table((1000.0, 20.0)))[0]
    assert row[FINE_NM == 1010.0] / row[FINE_NM == 1000.0] == pytest.approx(0.5, rel=0.01)


def test_a_response_narrower_than_the_sampling_interpolates():
    row = response_matrix(np.arange(400.0, 2500.0, 10.0), table((1003.0, 0.5)))[0]
    assert row[60:62] == pytest.approx([0.7, 0.3])


@pytest.mark.parametrize(
    ("center_nm", "covered"),
    [
        (390.0, False),
        (398.0, False),
        (407.0, True),
        (1345.0, True),
        (1400.0, False),
        (1352.0, False),
        (1800.0, False),
        (2000.0, True),
        (2452.0, False),
    ],
)
def test_a_band_in_a_gap_or_beyond_the_source_is_nan(center_nm, covered):
    source = np.array(sensor_bands("lab").centers_nm)
    row = response_matrix(source, table((center_nm, 9.0)))[0]
    assert np.isnan(row).all() == (not covered)


def test_the_two_interleaved_enmap_detectors_make_no_gap():
    source = np.array(sensor_bands("enmap").centers_nm)
    rows = response_matrix(source, table(*((center, 5.0) for center in range(890, 1010, 3))))
    assert not np.isnan(rows).any()


def test_a_lone_band_between_two_gaps_is_not_bridged():
    source = np.concatenate([np.arange(400.0, 800.0, 10), [900.0], np.arange(1000.0, 1400.0, 10)])
    assert np.isnan(response_matrix(source, table((870.0, 2.0), (930.0, 2.0)))).all()


def test_a_source_of_the_same_width_is_passed_through():
    lab = sensor_bands("lab")
    assert np.allclose(response_matrix(lab.centers_nm, lab, source_fwhm_nm=10.0), np.eye(180))


def test_repeated_source_wavelengths_are_refused():
    with pytest.raises(FormatError, match="distinct"):
        response_matrix([500.0, 500.0, 510.0], table((505.0, 5.0)))
