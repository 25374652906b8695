"""Probabilities for another share of saline soils."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE, THRESHOLDS_DS_M
from deepsalt.prevalence import at_prevalence, odds_factor, shifted

RATES = (0.07, 0.025, 0.012, 0.005)


def mosaic() -> xr.Dataset:
    values = np.array([[0.9, 0.2, np.nan], [0.5, 0.01, 0.0]])
    chances = np.stack([values / (1 + i) for i in range(len(RATES))])
    attrs = {"thresholds": [*THRESHOLDS_DS_M], "base_rate": [*RATES]}
    return xr.Dataset(
        {CHANCE: (("threshold", "y", "x"), chances, attrs)},
        coords={"threshold": [*THRESHOLDS_DS_M]},
    )


shares = st.floats(0.001, 0.999)


@given(shares, shares)
def test_a_soil_as_likely_as_the_base_rate_becomes_as_likely_as_the_share(
    base: float, share: float
) -> None:
    (moved,) = shifted([np.array(base)], 0, odds_factor(base, share))
    assert moved == pytest.approx(share)


chains = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda p: sorted(p, reverse=True))


@given(chains, st.integers(0, 3), shares, shares)
def test_shifted_probabilities_are_probabilities_that_never_rise(
    chances: list[float], index: int, base: float, share: float
) -> None:
    moved = shifted([np.array(each) for each in chances], index, odds_factor(base, share))
    assert all(-1e-9 <= each <= 1.0 + 1e-9 for each in moved)
    assert not (np.diff(moved) > 1e-9).any()


def test_among_soils_above_the_threshold_higher_ones_stay_as_common() -> None:
    chances = [np.array(each) for each in (0.8, 0.5, 0.2, 0.1)]
    moved = shifted(chances, 1, 10.0)
    assert moved[2] / moved[1] == pytest.approx(0.2 / 0.5)
    assert (1.0 - moved[0]) / (1.0 - moved[1]) == pytest.approx(0.2 / 0.5)


def test_a_share_that_was_set_is_set_anew() -> None:
    once = at_prevalence(mosaic(), 0.3)
    twice = at_prevalence(once, 0.3)
    np.testing.assert_allclose(twice[CHANCE], once[CHANCE], atol=1e-5)
    assert once[CHANCE].attrs["base_rate"][1] == pytest.approx(0.3)


def test_whole_steps_as_stored_are_refused() -> None:
    steps = mosaic().fillna(0.0).astype(np.uint16)
    with pytest.raises(UsageError, match=r"call xarray\.decode_cf first"):
        at_prevalence(steps, 0.3)


@given(shares)
def test_probabilities_still_never_rise_with_their_threshold(share: float) -> None:
    moved = at_prevalence(mosaic(), share, threshold=1.0)
    assert not (np.diff(moved[CHANCE].values, axis=0) > 1e-12).any()


def test_the_share_of_the_training_changes_nothing() -> None:
    same = at_prevalence(mosaic(), RATES[2], threshold=2.0)
    xr.testing.assert_allclose(same, mosaic(), atol=1e-12)
    assert same[CHANCE].attrs["prevalence"] == "0.012 above 2 dS/m"


def test_where_nothing_is_estimated_nothing_is_likely() -> None:
    assert np.isnan(at_prevalence(mosaic(), 0.5)[CHANCE].sel(threshold=1.0).values[0, 2])


def test_a_share_cannot_be_set_where_thresholds_were_selected() -> None:
    with pytest.raises(UsageError, match="select afterwards"):
        at_prevalence(mosaic().isel(threshold=[1, 2]), 0.3)


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
