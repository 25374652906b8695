"""Water and vegetation are told from soil; salt is taken for neither."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.indices import INDEX_BANDS_NM, index_bands, spectral_flags
from deepsalt.types import BandTable, QualityFlag
from tests.shared import shared_data

SURFACES = {
    # 460, 560, 660, 800, 1610, 2000, 2100, 2200 nm
    "dry soil": ((0.10, 0.15, 0.20, 0.25, 0.35, 0.33, 0.34, 0.32), QualityFlag(0)),
    "salt crust": ((0.55, 0.62, 0.66, 0.70, 0.62, 0.40, 0.48, 0.45), QualityFlag(0)),
    "bluish salt crust": ((0.60, 0.60, 0.58, 0.60, 0.45, 0.30, 0.33, 0.30), QualityFlag(0)),
    "wet salt crust": ((0.30, 0.33, 0.34, 0.33, 0.12, 0.05, 0.07, 0.07), QualityFlag(0)),
    "wet dark soil": ((0.03, 0.05, 0.07, 0.09, 0.11, 0.07, 0.09, 0.09), QualityFlag(0)),
    "clear water": ((0.05, 0.04, 0.02, 0.01, 0.005, 0.0, 0.0, 0.0), QualityFlag.WATER),
    "turbid water": ((0.06, 0.12, 0.13, 0.09, 0.02, 0.01, 0.01, 0.01), QualityFlag.WATER),
    "corrected below zero": ((0.02, 0.01, -0.01, -0.01, -0.02, -0.01, 0.0, 0.0), QualityFlag.WATER),
    "green plants": (
        (0.03, 0.07, 0.04, 0.45, 0.22, 0.09, 0.10, 0.10),
        QualityFlag.GREEN_VEGETATION,
    ),
    "dry grass": ((0.12, 0.18, 0.24, 0.32, 0.42, 0.34, 0.29, 0.33), QualityFlag.DRY_VEGETATION),
    "missing": ((np.nan,) * 8, QualityFlag(0)),
}


def table(centers: tuple[float, ...], usable: tuple[bool, ...] | None = None) -> BandTable:
    names = tuple(f"b{i}" for i in range(len(centers)))
    return BandTable(names, centers, (10.0,) * len(centers), usable or (True,) * len(centers))


@pytest.mark.parametrize("surface", SURFACES)
def test_a_surface_gets_its_bits(surface: str) -> None:
    values, expected = SURFACES[surface]
    bits = spectral_flags(np.array(values, np.float32), table(INDEX_BANDS_NM))
    assert bits.dtype == np.uint16
    assert QualityFlag(int(bits)) == expected


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "lab"])
def test_every_sensor_has_the_bands(sensor: str) -> None:
    bands = sensor_bands(sensor)
    for wavelength, positions in zip(INDEX_BANDS_NM, index_bands(bands), strict=True):
        assert all(abs(bands.centers_nm[i] - wavelength) <= 10 for i in positions)


def test_unusable_bands_are_not_looked_at() -> None:
    centers = (*INDEX_BANDS_NM, 661.0)
    values = np.array([*SURFACES["dry soil"][0], np.inf], np.float32)
    assert spectral_flags(values, table(centers, (True,) * 8 + (False,))) == 0


def test_a_band_missing_in_a_pixel_is_left_out_of_the_mean() -> None:
    centers = (*INDEX_BANDS_NM, 662.0)
    values = np.array([*SURFACES["green plants"][0], np.nan], np.float32)
    assert spectral_flags(values, table(centers)) == QualityFlag.GREEN_VEGETATION


def test_bands_out_of_reach_are_refused() -> None:
    with pytest.raises(FormatError, match="no usable band within 40 nm of 2100 nm"):
        spectral_flags(np.zeros(7), table(tuple(w for w in INDEX_BANDS_NM if w != 2100)))


@given(st.lists(st.lists(st.floats(-0.1, 1.2), min_size=8, max_size=8), min_size=1, max_size=9))
@settings(max_examples=50)
def test_a_table_and_its_rows_get_the_same_bits(rows: list[list[float]]) -> None:
    values = np.array(rows, np.float32)
    whole = spectral_flags(values, table(INDEX_BANDS_NM))
    single = [int(spectral_flags(row, table(INDEX_BANDS_NM))) for row in values]
    assert whole.tolist() == single


def read_spectra(*parts: str, prefix: str) -> tuple[list[dict[str, str]], BandTable, NDArray]:  # type: ignore[type-arg]
    with gzip.open(shared_data(*parts), "rt") as file:
        rows = list(csv.DictReader(file))
    columns = [c for c in rows[0] if c.startswith(prefix) and c[len(prefix)].isdigit()]
    values = np.array([[float(row[c] or "nan") for c in columns] for row in rows])
    return rows, table(tuple(float(c.removeprefix(prefix)) for c in columns)), values


SALTS = ("halite", "gypsum", "thenardite", "mirabilite", "epsomite", "trona", "carnallite", "playa")


@pytest.mark.parametrize("group", SALTS)
def test_salts_of_the_usgs_library_are_not_rejected(group: str) -> None:
    rows, bands, values = read_spectra(
        "usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz", prefix="r"
    )
    chosen = np.array([row["group"] == group for row in rows])
    assert chosen.any()
    assert not spectral_flags(values[chosen], bands).any()


def test_one_laboratory_soil_in_a_hundred_at_most_is_taken_for_plants() -> None:
    _, bands, values = read_spectra("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz", prefix="r")
    bits = spectral_flags(values, bands)
    assert np.mean(bits != 0) < 0.011
    assert not (bits & (QualityFlag.WATER | QualityFlag.DRY_VEGETATION)).any()
