"""Absorption features, on generated spectra and on those of the USGS library."""

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError
from deepsalt.spectral.absorption import (
    FEATURES,
    feature_depths,
)
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
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
def test_every_sensor_sees_every_feature(sensor):
    bands = sensor_bands(sensor)
    values = np.full((2, len(bands)), 0.3)
    values[:, ~np.array(bands.usable)] = np.nan
    assert np.isfinite(feature_depths(values, bands)).all()


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit"])
def test_gypsum_looks_alike_to_all_sensors(library, sensor):
    group, spectra, nm = library
    chosen = spectra[(group == "gypsum") & np.isfinite(spectra).all(axis=1)]
    bands = sensor_bands(sensor)
    seen = chosen @ response_matrix(nm, bands, source_fwhm_nm=9.5).T
    for name in ("gypsum_1751", "gypsum_2217", "hydrate_2416"):
        expected = depth(chosen, table(nm), name)
        np.testing.assert_allclose(depth(seen, bands, name), expected, atol=0.05)


def test_a_flat_spectrum_has_no_features():
    values = np.full((1, GRID_NM.size), 0.4)
    np.testing.assert_allclose(feature_depths(values, table(GRID_NM)), 0.0, atol=1e-12)


def test_the_order_of_bands_does_not_matter():
    rng = np.random.default_rng(1)
    values, shuffled = rng.uniform(0.1, 0.6, (4, GRID_NM.size)), rng.permutation(GRID_NM.size)
    np.testing.assert_array_equal(
        feature_depths(values[:, shuffled], table(GRID_NM[shuffled])),
        feature_depths(values, table(GRID_NM)),
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


def test_spectra_of_another_number_of_bands_are_refused():
    with pytest.raises(FormatError, match="do not match"):
        feature_depths(np.zeros((2, 7)), table(GRID_NM))
