"""Common bands at a window's edge are inferred from the others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.edges import inferred
from deepsalt.spectral.transform import common_matrix, common_nm, front_end
from tests.shared import shared_data

COMMON = common_nm()
KNOWN = (COMMON < 1990.0) | (COMMON > 2070.0)


def test_a_constant_added_to_a_spectrum_is_added_to_what_is_inferred():
    np.testing.assert_allclose(inferred(KNOWN).sum(axis=1), 1.0)


def test_soils_of_the_library_are_inferred_better_than_by_holding_the_edge():
    table = pd.read_csv(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"))
    spectra = table[[f"r{center:.0f}" for center in COMMON]].to_numpy()
    wanted = spectra[:, ~KNOWN]
    found = spectra[:, KNOWN] @ inferred(KNOWN).T
    held = np.repeat(spectra[:, [np.flatnonzero(COMMON > 2070.0)[0]]], wanted.shape[1], axis=1)
    assert np.square(found - wanted).mean() < 0.1 * np.square(held - wanted).mean()


@pytest.mark.parametrize(("first", "last"), [(1940.0, 2071.0), (2405.0, 2500.0), (1460.0, 1510.0)])
def test_a_sensor_without_bands_at_an_edge_is_read(first, last):
    bands = sensor_bands("enmap")
    centers = np.array(bands.centers_nm)
    usable = np.array(bands.usable) & ~((centers > first) & (centers < last))
    common = common_matrix(replace(bands, usable=tuple(usable.tolist())))
    np.testing.assert_allclose(common.sum(axis=1), 1.0)
    assert not common[:, ~usable].any()


def test_mean_and_variance_are_weighted_without_negative_weights():
    bands = sensor_bands("enmap")
    centers = np.array(bands.centers_nm)
    usable = np.array(bands.usable) & ~((centers > 1940.0) & (centers < 2071.0))
    weights = front_end(replace(bands, usable=tuple(usable.tolist()))).weights
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0)
