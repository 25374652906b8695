"""Absorption features and indices, on generated spectra and on those of the USGS library."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepsalt.errors import FormatError
from deepsalt.spectral.absorption import (
    FEATURES,
    INDICES,
    continuum_removed,
    feature_depths,
    salinity_indices,
)
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import SEGMENTS_NM
from deepsalt.types import BandTable
from tests.shared import shared_data

SENSORS = ("enmap", "prisma", "emit", "lab")
NAMES = [feature.name for feature in FEATURES]
GRID_NM = np.arange(400.0, 2451.0, 10.0)


def table(centers: np.ndarray, usable: np.ndarray | None = None) -> BandTable:
    n = len(centers)
    flags = (True,) * n if usable is None else tuple(bool(u) for u in usable)
    return BandTable(tuple(f"b{i}" for i in range(n)), tuple(centers), (10.0,) * n, flags)


def depth(values: np.ndarray, bands: BandTable, name: str) -> np.ndarray:
    return feature_depths(values, bands)[:, NAMES.index(name)]


def index(values: np.ndarray, bands: BandTable, name: str) -> np.ndarray:
    return salinity_indices(values, bands)[:, INDICES.index(name)]


@pytest.fixture(scope="module")
def library() -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Groups, spectra and wavelengths of the USGS specimens."""
    rows = pd.read_csv(shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz"))
    columns = [name for name in rows if name[0] == "r" and name[1].isdigit()]
    nm = np.array([float(name[1:]) for name in columns])
    return rows["group"], rows[columns].to_numpy(float), nm


@pytest.mark.parametrize(
    ("feature", "mineral", "confuser"),
    [
        ("gypsum_1492", "gypsum", "halite"),
        ("gypsum_1492", "gypsum", "montmorillonite"),
        ("gypsum_1532", "gypsum", "halite"),
        ("gypsum_1751", "gypsum", "halite"),
        ("gypsum_1751", "gypsum", "calcite"),
        ("gypsum_2217", "gypsum", "halite"),
        ("gypsum_2267", "gypsum", "halite"),
        ("gypsum_2267", "gypsum", "kaolinite"),
        ("hydrate_1980", "gypsum", "thenardite"),
        ("hydrate_1980", "mirabilite", "halite"),
        ("hydrate_2416", "gypsum", "thenardite"),
        ("polyhalite_2376", "polyhalite", "gypsum"),
        ("trona_2037", "trona", "gypsum"),
        ("kaolinite_2167", "kaolinite", "montmorillonite"),
        ("clay_2207", "kaolinite", "halite"),
        ("clay_2207", "montmorillonite", "calcite"),
        ("clay_2207", "illite", "quartz"),
        ("illite_2346", "illite", "halite"),
        ("calcite_2336", "calcite", "gypsum"),
        ("calcite_2336", "calcite", "kaolinite"),
        ("dolomite_2316", "dolomite", "calcite"),
        ("cellulose_2100", "dry_grass/grass", "quartz"),
    ],
)
def test_a_mineral_is_deeper_at_its_feature_than_its_confuser(library, feature, mineral, confuser):
    group, spectra, nm = library
    depths = depth(spectra, table(nm), feature)
    deep, shallow = (np.nanmedian(depths[group == name]) for name in (mineral, confuser))
    assert deep > shallow + 0.02


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_sensor_sees_every_feature_and_index(sensor):
    bands = sensor_bands(sensor)
    values = np.full((2, len(bands)), 0.3)
    values[:, ~np.array(bands.usable)] = np.nan
    assert np.isfinite(feature_depths(values, bands)).all()
    assert np.isfinite(salinity_indices(values, bands)).all()


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit"])
def test_gypsum_looks_alike_to_all_sensors(library, sensor):
    group, spectra, nm = library
    chosen = spectra[(group == "gypsum") & np.isfinite(spectra).all(axis=1)]
    bands = sensor_bands(sensor)
    seen = chosen @ response_matrix(nm, bands, source_fwhm_nm=9.5).T
    for name in ("gypsum_1751", "gypsum_2217", "hydrate_2416"):
        expected = depth(chosen, table(nm), name)
        np.testing.assert_allclose(depth(seen, bands, name), expected, atol=0.05)


def test_a_flat_spectrum_has_no_features_and_no_contrast():
    values = np.full((1, GRID_NM.size), 0.4)
    np.testing.assert_allclose(feature_depths(values, table(GRID_NM)), 0.0, atol=1e-12)
    indices = dict(zip(INDICES, salinity_indices(values, table(GRID_NM))[0], strict=True))
    assert indices.pop("si") == pytest.approx(0.4)
    assert indices.pop("brightness") == pytest.approx(0.4)
    assert all(value == pytest.approx(0.0, abs=1e-12) for value in indices.values())


@pytest.mark.parametrize(
    ("name", "dark_nm", "sign"),
    [
        ("ndgi", 1750, 1),
        ("nsmi", 2120, 1),
        ("ndsi", 800, 1),
        ("ndvi", 660, 1),
        ("ncai", 2100, 1),
        ("nbr2", 2200, 1),
        ("redness", 460, 1),
        ("nsmi", 1750, -1),
        ("si", 560, -1),
        ("brightness", 1610, -1),
    ],
)
def test_an_index_looks_at_its_wavelengths(name, dark_nm, sign):
    values = np.full((2, GRID_NM.size), 0.4)
    values[1, dark_nm == GRID_NM] = 0.2
    flat, dark = index(values, table(GRID_NM), name)
    assert sign * (dark - flat) > 0.03


def test_the_order_of_bands_does_not_matter():
    rng = np.random.default_rng(1)
    values, shuffled = rng.uniform(0.1, 0.6, (4, GRID_NM.size)), rng.permutation(GRID_NM.size)
    for function in (feature_depths, salinity_indices):
        np.testing.assert_array_equal(
            function(values[:, shuffled], table(GRID_NM[shuffled])),
            function(values, table(GRID_NM)),
        )
    np.testing.assert_array_equal(
        continuum_removed(values[:, shuffled], GRID_NM[shuffled]),
        continuum_removed(values, GRID_NM)[:, shuffled],
    )


def test_features_beyond_the_sensor_are_nan_and_the_others_stay():
    kept = GRID_NM < 2000
    values = np.full((1, kept.sum()), 0.3)
    seen = np.isfinite(feature_depths(values, table(GRID_NM[kept]))[0])
    assert [name for name, there in zip(NAMES, seen, strict=True) if there] == [
        "gypsum_1492",
        "gypsum_1532",
        "gypsum_1751",
        "bloedite_1681",
    ]


def test_unusable_bands_are_never_looked_at():
    values = np.full((1, GRID_NM.size), 0.3)
    usable = GRID_NM != 2210
    spoilt = np.where(usable, values, 99.0)
    np.testing.assert_array_equal(
        feature_depths(spoilt, table(GRID_NM, usable)),
        feature_depths(values, table(GRID_NM, usable)),
    )


def test_a_hole_wider_than_the_reach_is_not_bridged():
    usable = np.abs(GRID_NM - 1681) > 25
    depths = depth(np.full((1, GRID_NM.size), 0.3), table(GRID_NM, usable), "bloedite_1681")
    assert np.isnan(depths).all()


def test_a_missing_band_spoils_only_its_own_spectrum():
    values = np.full((2, GRID_NM.size), 0.3)
    values[0, GRID_NM == 1750] = np.nan
    assert np.isnan(depth(values, table(GRID_NM), "gypsum_1751")).tolist() == [True, False]


def test_negative_reflectance_gives_finite_features():
    values = np.full((1, GRID_NM.size), -0.01)
    assert np.isfinite(feature_depths(values, table(GRID_NM))).all()
    assert np.isfinite(salinity_indices(values, table(GRID_NM))).all()


def _naive_hull(values: np.ndarray, nm: np.ndarray) -> np.ndarray:
    """Highest chord over each sample, from all pairs of samples."""
    hull = values.copy()
    for i in range(nm.size):
        for a in range(i):
            for b in range(i + 1, nm.size):
                share = (nm[i] - nm[a]) / (nm[b] - nm[a])
                hull[i] = max(hull[i], (1 - share) * values[a] + share * values[b])
    return hull


@given(arrays(float, (3, 14), elements=st.floats(0.01, 1.0)))
def test_the_hull_is_the_highest_chord(values):
    nm = np.linspace(1500.0, 1700.0, 14) + np.arange(14) % 3
    expected = np.array([row / _naive_hull(row, nm) for row in values])
    np.testing.assert_allclose(continuum_removed(values, nm), expected, rtol=1e-9)


@given(
    arrays(float, (2, GRID_NM.size), elements=st.floats(0.01, 1.0)),
    st.sets(st.integers(0, GRID_NM.size - 1), max_size=40),
)
def test_a_missing_band_is_masked_and_the_rest_is_as_if_it_were_not_there(values, missing):
    lost = np.isin(np.arange(GRID_NM.size), list(missing))
    values[0, lost] = np.nan
    removed = continuum_removed(values, GRID_NM)
    assert np.isnan(removed[0, lost]).all()
    np.testing.assert_allclose(
        removed[0, ~lost], continuum_removed(values[:1, ~lost], GRID_NM[~lost])[0], rtol=1e-12
    )
    assert np.nanmax(removed) <= 1.0 + 1e-12


def test_windows_do_not_influence_each_other():
    values = np.full((1, GRID_NM.size), 0.3)
    brighter = np.where(GRID_NM > 1900, 0.9, values)
    first = GRID_NM < 1760
    np.testing.assert_array_equal(
        continuum_removed(values, GRID_NM)[:, first], continuum_removed(brighter, GRID_NM)[:, first]
    )


def test_the_water_vapour_between_the_windows_is_nan():
    removed = continuum_removed(np.full((1, GRID_NM.size), 0.3), GRID_NM)[0]
    inside = np.zeros(GRID_NM.size, dtype=bool)
    for low, high in SEGMENTS_NM:
        inside |= (low <= GRID_NM) & (high >= GRID_NM)
    np.testing.assert_array_equal(np.isfinite(removed), inside)


def test_calcite_is_deepest_at_2336_after_continuum_removal(library):
    group, spectra, nm = library
    pure = spectra[(group == "calcite").to_numpy()][:3]
    removed = np.where(nm > 2250, continuum_removed(pure, nm), np.nan)
    assert np.abs(nm[np.nanargmin(removed, axis=1)] - 2336).max() <= 12


@pytest.mark.parametrize("function", [feature_depths, salinity_indices, continuum_removed])
def test_spectra_of_another_number_of_bands_are_refused(function):
    bands = GRID_NM if function is continuum_removed else table(GRID_NM)
    with pytest.raises(FormatError, match="do not fit"):
        function(np.zeros((2, 7)), bands)
