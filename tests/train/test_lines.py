"""Constraints of the settings as penalties along simulated mixing lines."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.train.config import CONSTRAINTS
from deepsalt.train.constraints import GYPSUM_CEILING
from deepsalt.train.distil import estimates
from deepsalt.train.fit import draw_views, fit_model
from deepsalt.train.lines import LINES, STEPS, line_inputs, location_penalties, width_penalties
from deepsalt.train.machine import Machine, fit_machine
from deepsalt.train.teacher import fit_encoders, quiet_rows
from tests.train.tables import QUICK, library_views, regions, satellite_table

VIEWS = library_views()
ENCODER = fit_encoders(VIEWS, QUICK)[0]
INPUTS = ENCODER(VIEWS.features)[0]
ANCHORS = INPUTS[quiet_rows(VIEWS)]
ONES = np.ones(len(VIEWS))


def penalties(*names, bias=0.0, weight=100.0):
    settings = replace(QUICK, constraints=names, constraint_weight=weight)
    found = location_penalties(ENCODER, ANCHORS, bias, settings)
    return found + width_penalties(ENCODER, ANCHORS, settings)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_each_constraint_is_one_penalty_on_location_or_width(name):
    (penalty,) = penalties(name)
    assert penalty.rows.shape[1] == len(ANCHORS)
    assert len(penalty.rows) >= LINES
    assert np.isfinite(penalty.rows).all()


def test_without_constraints_there_is_no_penalty():
    assert penalties() == []


def test_the_weight_is_that_of_the_settings():
    light, heavy = (penalties("monotone", weight=weight)[0].weight for weight in (1.0, 7.0))
    assert heavy == 7 * light


def test_the_ceiling_of_gypsum_is_relative_to_the_mean():
    (low,), (high,) = (penalties("gypsum_cap", bias=bias) for bias in (-1.0, 0.5))
    np.testing.assert_allclose(low.bound - high.bound, 1.5)
    np.testing.assert_allclose(low.bound, GYPSUM_CEILING + 1.0)


@pytest.mark.parametrize("kind", ["salt", "gypsum", "cover"])
def test_lines_are_encoded_with_what_grows_along_them(kind):
    inputs, amount = line_inputs(ENCODER, kind, QUICK)
    assert inputs.shape == (LINES, STEPS, INPUTS.shape[1])
    assert (np.diff(amount, axis=1) >= 0).all()
    assert np.abs(np.diff(inputs, axis=1)).max() > 0


def answers(machine: Machine, kind):
    inputs, _ = line_inputs(ENCODER, kind, QUICK)
    return machine(inputs.reshape(-1, inputs.shape[-1]))[:, 0].reshape(LINES, STEPS)


def fitted(*names):
    # Labels against physics: the less salt the more conductivity.
    target = -VIEWS.target[:, None] + 4.0
    bias = float(target.mean())
    found = penalties(*names, bias=bias, weight=1e5)
    return fit_machine(ANCHORS, INPUTS, target, ONES, 0.1, penalties=found)


def test_a_monotone_answer_hardly_falls_where_salt_grows():
    falls = [
        np.minimum(np.diff(answers(fitted(*names), "salt"), axis=1), 0.0).sum()
        for names in ((), ("monotone",))
    ]
    assert falls[1] > 0.2 * falls[0]


def test_a_capped_answer_hardly_exceeds_what_gypsum_reaches():
    excess = [
        np.maximum(answers(fitted(*names), "gypsum") - GYPSUM_CEILING, 0.0).sum()
        for names in ((), ("gypsum_cap",))
    ]
    assert excess[0] > 0.0
    assert excess[1] < 0.2 * excess[0]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_switching_a_constraint_on_changes_predictions_of_satellite_students(name):
    samples = draw_views([satellite_table(regions(4, 12, seed=3))], QUICK)
    out = samples.region == samples.region[0]
    plain, bound = (
        estimates(
            fit_model(samples.take(~out), replace(QUICK, constraints=names)).student,
            samples.features[out],
        )
        for names in ((), (name,))
    )
    assert not np.array_equal(plain.upper, bound.upper)
