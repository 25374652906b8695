"""Probabilities of limits of ECe: between thresholds, and over the error of a factor."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import CHANCE_STEP, THRESHOLDS_DS_M
from deepsalt.model.load import load_student, model_ref
from deepsalt.model.student import CHANCE_KNOTS
from deepsalt.plot.limits import Known
from deepsalt.types import Floats

chains = st.lists(st.integers(0, 10_000), min_size=4, max_size=4).map(
    lambda steps: np.array(sorted(steps, reverse=True)) * CHANCE_STEP
)
factors = st.floats(0.05, 50)
errors = st.just(0.0) | st.floats(0.01, 2.0)
places = st.floats(0.5, 4.0)


def straight(ec: Floats | tuple[float, ...], middle: float = 1.4, slope: float = 2.0) -> Floats:
    """Return probabilities whose log-odds are a line over log(EC + 0.03)."""
    return np.asarray(expit(slope * np.log((middle + EC_SHIFT) / (np.array(ec) + EC_SHIFT))))


@given(chains, factors, errors, places, places)
def test_a_probability_never_rises_with_its_limit(
    chances: Floats, factor: float, sd_log: float, one: float, other: float
) -> None:
    known = Known(THRESHOLDS_DS_M, factor, sd_log)
    low, high = (known.exceedance(chances, factor * at) for at in sorted((one, other)))
    assert 0.0 <= high <= low + 1e-12
    assert low <= 1.0


@given(chains, factors, places)
def test_a_factor_without_error_moves_the_limit_alone(
    chances: Floats, factor: float, at: float
) -> None:
    sure = Known(THRESHOLDS_DS_M, factor, 1e-9).exceedance(chances, factor * at)
    assert sure == pytest.approx(Known(THRESHOLDS_DS_M).exceedance(chances, at), abs=1e-6)


@given(chains, st.sampled_from(range(4)))
def test_the_limit_that_is_a_threshold_has_its_probability(chances: Floats, index: int) -> None:
    found = Known(THRESHOLDS_DS_M).exceedance(chances, THRESHOLDS_DS_M[index])
    assert found == pytest.approx(chances[index], abs=CHANCE_STEP / 2 + 1e-12)


@given(places)
def test_between_thresholds_log_odds_follow_a_line(at: float) -> None:
    found = Known(THRESHOLDS_DS_M).exceedance(straight(THRESHOLDS_DS_M), at)
    assert found == pytest.approx(straight((at,)).item())


@pytest.mark.parametrize(("limit", "sign"), [(1.0, -1), (2.0, 1)], ids=["below", "above"])
def test_a_wider_error_draws_probabilities_to_one_half(limit: float, sign: int) -> None:
    stored = straight(THRESHOLDS_DS_M)
    found = [
        float(Known(THRESHOLDS_DS_M, 7.5, sd_log).exceedance(stored, 7.5 * limit))
        for sd_log in (0.0, 0.2, 0.4, 0.8)
    ]
    assert (np.diff(found) * sign > 0.001).all()
    assert all((each - 0.5) * sign < 0 for each in found)


def test_where_nothing_is_estimated_nothing_is_likely() -> None:
    assert np.isnan(Known(THRESHOLDS_DS_M, 7.5, 0.3).exceedance(np.full(4, np.nan), 7.5))


@pytest.mark.parametrize(
    ("thresholds", "factor", "sd_log", "limit", "told"),
    [
        ((0.5, 1, 2, 4), 1.0, 0.0, 2.0, True),
        ((0.5, 1, 2, 4), 1.0, 0.0, 4.0, True),
        ((0.5, 1, 2, 4), 1.0, 0.0, 0.75, True),
        ((0.5, 1, 2, 4), 1.0, 0.0, 8.0, False),
        ((0.5, 1, 2, 4), 1.0, 0.0, 0.4, False),
        ((0.5, 1), 1.0, 0.0, 2.0, False),
        ((2,), 1.0, 0.0, 2.0, True),
        ((2,), 1.0, 0.0, 1.9, False),
        ((2,), 2.0, 0.1, 4.0, False),
        ((0.5, 1, 2, 4), 7.5, 0.3, 2.0, False),
        ((0.5, 1, 2, 4), 7.5, 0.3, 4.0, True),
        ((0.5, 1, 2, 4), 7.5, 0.3, 16.0, True),
        ((0.5, 1, 2, 4), 7.5, 0.6, 4.0, False),
        ((0.5, 1, 2, 4), 7.5, 0.6, 8.0, True),
        ((0.5, 1, 2, 4), 7.5, 1.5, 8.0, False),
        ((0.5, 1, 2, 4), 2.0, 0.3, 8.0, True),
        ((0.5, 1, 2, 4), 2.0, 0.35, 8.0, False),
    ],
)
def test_limits_are_told_within_the_calibrated_thresholds(
    thresholds: tuple[float, ...], factor: float, sd_log: float, limit: float, told: bool
) -> None:
    assert Known(thresholds, factor, sd_log).tells(limit) is told


@pytest.mark.parametrize("sd_log", [0.0, 0.1, 0.3, 0.6, 0.8])
def test_four_thresholds_say_what_the_shipped_models_own_curve_says(sd_log: float) -> None:
    curve = load_student(model_ref()).chances.numpy().astype(np.float64)
    rng = np.random.default_rng(0)
    location, width = rng.uniform(np.log(0.05), np.log(20), 1000), rng.uniform(0.4, 1.2, 1000)

    def exact(ec: float) -> Floats:
        return np.interp(
            (location - np.log(ec + EC_SHIFT)) / width, np.linspace(*CHANCE_KNOTS), curve
        )

    known = Known(THRESHOLDS_DS_M, 1.0, sd_log)
    stored = np.stack([exact(threshold).round(4) for threshold in THRESHOLDS_DS_M], axis=-1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    limits = [limit for limit in np.geomspace(0.5, 4, 21) if known.tells(limit)]
    assert limits
    for limit in limits:
        over = [w * exact(limit * np.exp(-sd_log * z)) for z, w in zip(nodes, weights, strict=True)]
        expected = np.sum(over, axis=0) / weights.sum()
        off = np.abs(known.exceedance(stored, limit) - expected)
        assert off.max() < 0.03
        assert off.mean() < 0.005


def test_soils_exceed_a_limit_as_often_as_said_where_the_factor_is_uncertain() -> None:
    # SIMULATED: EC by the map's method, and for each soil a factor of its own.
    rng = np.random.default_rng(1)
    middle = np.exp(rng.normal(0.3, 1.0, 40_000))
    ec = (middle + EC_SHIFT) * np.exp(rng.logistic(0.0, 1 / 6, middle.size)) - EC_SHIFT
    above = ec * 7.5 * np.exp(rng.normal(0.0, 0.4, middle.size)) > 16.0
    stored = np.stack([straight(THRESHOLDS_DS_M, each, 6.0) for each in middle])
    said = Known(THRESHOLDS_DS_M, 7.5, 0.4).exceedance(stored, 16.0)
    for low in np.arange(0.0, 1.0, 0.1):
        alike = (said >= low) & (said < low + 0.1)
        assert above[alike].mean() == pytest.approx(said[alike].mean(), abs=0.04)
    without = Known(THRESHOLDS_DS_M, 7.5).exceedance(stored, 16.0)
    assert above[without > 0.9].mean() < without[without > 0.9].mean() - 0.03


def test_the_upper_end_moves_out_by_the_error_of_the_factor() -> None:
    salinity, upper = xr.DataArray([1.0, np.nan]), xr.DataArray([3.0, np.nan])
    found = Known(THRESHOLDS_DS_M, 2.0, 0.3).upper(salinity, upper)
    reach = np.hypot(np.log(3.03 / 1.03), 1.645 * 0.3)
    np.testing.assert_allclose(found, [2.0 * (1.03 * np.exp(reach) - 0.03), np.nan])
    assert Known(THRESHOLDS_DS_M).upper(salinity, upper) is upper
