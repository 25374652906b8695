"""Probabilities for another share of saline soils."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE_LAYERS
from deepsalt.prevalence import at_prevalence, odds_factor, shifted

RATES = (0.07, 0.025, 0.012, 0.005)


def mosaic() -> xr.Dataset:
    values = np.array([[0.9, 0.2, np.nan], [0.5, 0.01, 0.0]])
    return xr.Dataset(
        {
            name: (("y", "x"), values / (1 + i), {"base_rate": rate})
            for i, (name, rate) in enumerate(zip(CHANCE_LAYERS, RATES, strict=True))
        }
    )


shares = st.floats(0.001, 0.999)


@given(shares, shares, st.floats(0, 1))
def test_a_soil_as_likely_as_the_base_rate_becomes_as_likely_as_the_share(
    base: float, share: float, chance: float
) -> None:
    factor = odds_factor(base, share)
    assert shifted(np.array(base), factor) == pytest.approx(share)
    assert 0.0 <= shifted(np.array(chance), factor) <= 1.0


@given(shares)
def test_probabilities_still_never_rise_with_their_threshold(share: float) -> None:
    moved = at_prevalence(mosaic(), share, threshold=1.0)
    values = np.stack([moved[name].values for name in CHANCE_LAYERS])
    assert not (np.diff(values, axis=0) > 1e-12).any()


def test_the_share_of_the_training_changes_nothing() -> None:
    same = at_prevalence(mosaic(), RATES[2], threshold=2.0)
    for name in CHANCE_LAYERS:
        np.testing.assert_allclose(same[name], mosaic()[name], atol=1e-12)
    assert same["p_above_4"].attrs["prevalence"] == "0.012 above 2 dS/m"


def test_where_nothing_is_estimated_nothing_is_likely() -> None:
    assert np.isnan(at_prevalence(mosaic(), 0.5)["p_above_1"].values[0, 2])


@pytest.mark.parametrize(
    ("share", "threshold", "said"),
    [(0.0, 1.0, "share of 0 "), (1.0, 1.0, "share of 1 "), (0.3, 3.0, "above 3 dS/m; give one of")],
)
def test_what_cannot_be_shifted_to_is_one_sentence(
    share: float, threshold: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        at_prevalence(mosaic(), share, threshold=threshold)


def test_layers_without_a_base_rate_are_refused() -> None:
    with pytest.raises(UsageError, match="base_rate are missing"):
        at_prevalence(mosaic().drop_attrs(), 0.3)
