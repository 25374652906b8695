"""Salinity indices, on generated spectra."""

import numpy as np
import pytest

from deepsalt.benchmark.indices import salinity_indices
from deepsalt.errors import FormatError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import BandTable

NAMES = ("ndgi", "nsmi", "ndsi", "si", "brightness", "ndvi", "ncai", "nbr2", "redness")
GRID_NM = np.arange(400.0, 2451.0, 10.0)
COUNT = GRID_NM.size
BANDS = BandTable(
    tuple(f"b{i}" for i in range(COUNT)), tuple(GRID_NM), (10.0,) * COUNT, (True,) * COUNT
)


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit", "lab"])
def test_every_sensor_sees_every_index(sensor):
    bands = sensor_bands(sensor)
    values = np.full((2, len(bands)), 0.3)
    values[:, ~np.array(bands.usable)] = np.nan
    assert np.isfinite(salinity_indices(values, bands)).all()


def test_a_flat_spectrum_has_no_contrast():
    found = dict(zip(NAMES, salinity_indices(np.full((1, COUNT), 0.4), BANDS)[0], strict=True))
    assert found.pop("si") == pytest.approx(0.4)
    assert found.pop("brightness") == pytest.approx(0.4)
    assert all(value == pytest.approx(0.0, abs=1e-12) for value in found.values())


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
    flat, dark = salinity_indices(values, BANDS)[:, NAMES.index(name)]
    assert sign * (dark - flat) > 0.03


def test_negative_reflectance_gives_finite_indices():
    assert np.isfinite(salinity_indices(np.full((1, COUNT), -0.01), BANDS)).all()


def test_spectra_of_another_number_of_bands_are_refused():
    with pytest.raises(FormatError, match="do not match"):
        salinity_indices(np.zeros((2, 7)), BANDS)
