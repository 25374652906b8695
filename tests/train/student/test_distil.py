"""Distillation, calibration and the student's weights."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from deepsalt.conductivity import EC_SHIFT
from deepsalt.model.folded import fold
from deepsalt.spectral.transform import LEVEL_FEATURES, linear_matrix
from deepsalt.train.metrics import winkler
from deepsalt.train.student.distil import (
    HeldOutRows,
    assemble,
    calibrated,
    distilled,
    estimates,
    teacher_weights,
)
from deepsalt.train.student.fit import fit_model
from deepsalt.train.teacher.encoder import Encoder, fit_low_noise
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.train.uncertainty.domain import fit_domain
from tests.train.tables import QUICK, laboratory_table, library_views, regions

RNG = np.random.default_rng(0)
SIZE = 400
TARGET = RNG.normal(size=SIZE)
VIEW = np.repeat(["a", "b"], SIZE // 2)
NEAR, FAR = TARGET + 0.1 * RNG.normal(size=SIZE), TARGET + 2.0 * RNG.normal(size=SIZE)


def test_the_teacher_counts_only_in_views_where_it_is_better():
    answers = np.where(VIEW == "a", NEAR, FAR)
    rival = np.where(VIEW == "a", FAR, NEAR)
    weights = teacher_weights(answers, TARGET, rival, VIEW)
    assert (weights[VIEW == "a"] > 0.0).all()
    assert (weights[VIEW == "b"] == 0.0).all()


def test_a_teacher_without_error_counts_fully():
    assert (teacher_weights(TARGET, TARGET, FAR, VIEW) == 1.0).all()


def test_an_equal_rival_is_not_beaten():
    assert (teacher_weights(NEAR, TARGET, NEAR, VIEW) == 0.0).all()


def test_the_teacher_counts_less_where_it_is_less_sure():
    answers = np.linspace(-2, 2, SIZE)
    spread = np.where(answers > 0, 2.0, 0.1)
    target = answers + spread * RNG.normal(size=SIZE)
    weights = teacher_weights(answers, target, target + 9.0, np.full(SIZE, "a"))
    assert weights[answers > 0.5].mean() < 0.6 * weights[answers < -0.5].mean()
    assert ((weights >= 0.0) & (weights <= 1.0)).all()


def test_answers_of_the_teacher_draw_the_student_to_them():
    inputs = RNG.normal(size=(SIZE, 2))
    ones, inducing_points = np.ones(SIZE), inputs[:30]
    labels = (inputs, FAR, ones)
    alone = distilled(inducing_points, [labels], 0.1)
    taught = distilled(inducing_points, [labels, (inputs, inputs[:, 0], 5.0 * ones)], 0.1)
    error = [np.abs(machine(inputs)[:, 0] - inputs[:, 0]).mean() for machine in (alone, taught)]
    assert error[1] < 0.5 * error[0]


def test_answers_without_weight_change_nothing():
    inputs = RNG.normal(size=(SIZE, 2))
    labels = (inputs, FAR, np.ones(SIZE))
    alone = distilled(inputs[:30], [labels], 0.1)
    with_them = distilled(inputs[:30], [labels, (inputs, NEAR, np.zeros(SIZE))], 0.1)
    np.testing.assert_allclose(alone.heads, with_them.heads, atol=1e-9)


def plain_encoder():
    return Encoder(np.eye(1), np.zeros(1), np.zeros(1), np.ones(1))


def heteroscedastic(seed, size=600):
    """Return inputs, and EC around 1 dS/m of which the inputs only tell how uncertain it is."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-2, 2, (size, 1))
    return inputs, np.exp(np.exp(0.8 * inputs[:, 0]) * rng.normal(size=size)) - 0.03


def rows_of(inputs, ec):
    size = len(ec)
    names = np.arange(size).astype(str)
    return HeldOutRows(inputs, np.zeros(size), np.maximum(ec, 1e-9), names, np.ones(size))


def test_widths_beat_a_constant_width_where_noise_is_uneven():
    inputs, ec = heteroscedastic(0)
    location = Machine(inputs[:40], np.zeros((40, 1)), np.zeros(1))
    reader = calibrated(plain_encoder(), location, rows_of(inputs, ec), ridge=2.0)
    fresh, seen = heteroscedastic(1)
    label = np.log(np.maximum(seen, 1e-9) + 0.03)
    width = np.exp(reader.machine(fresh)[:, 1])
    known = np.log(np.maximum(ec, 1e-9) + 0.03)
    spread = np.exp(reader.machine(inputs)[:, 1])
    own, constant = (
        winkler(label, low * scale, high * scale)
        for (low, high), scale in (
            (np.quantile(known / spread, [0.05, 0.95]), width),
            (np.quantile(known, [0.05, 0.95]), np.ones(600)),
        )
    )
    assert own < 0.9 * constant


def test_a_location_is_kept_by_calibration():
    inputs, ec = heteroscedastic(0)
    location = fit_machine(inputs[:20], inputs, ec[:, None], np.ones(600), 0.1)
    reader = calibrated(plain_encoder(), location, rows_of(inputs, ec), ridge=2.0)
    np.testing.assert_array_equal(reader.machine.heads[:, 0], location.heads[:, 0])


@pytest.fixture(scope="module")
def student():
    return fit_model(library_views(), QUICK).student


def test_weights_are_single_precision_and_finite(student):
    for field in fields(student):
        values = getattr(student, field.name)
        assert values.dtype == torch.float32, field.name
        assert torch.isfinite(values).all(), field.name


def test_estimates_are_those_of_prediction(student):
    pairs = regions(4, 20, first=100)
    table = laboratory_table(pairs, pairs.ec)
    views = library_views()
    told = estimates(student, views.features[views.view == "laboratory"])
    folded = fold(student, table.bands).estimate(table.reflectance.T)
    np.testing.assert_allclose(told.salinity, folded.salinity, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(told.upper, folded.upper, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(told.flags, folded.flags)
    np.testing.assert_allclose(told.domain_score, folded.domain_score, rtol=1e-2)


def test_estimates_lie_within_their_interval_and_the_labels_seen(student):
    views = library_views()
    told = estimates(student, 3.0 * views.features)
    assert (told.lower <= told.salinity).all()
    assert (told.salinity <= told.upper).all()
    assert told.upper.max() <= np.ceil(views.ec.max()) + 1e-3


def test_a_student_without_a_low_noise_machine_answers_by_the_other():
    features = linear_matrix().shape[0] + LEVEL_FEATURES
    inputs, residual = RNG.normal(size=(60, features)), RNG.normal(size=60)
    encoder = fit_low_noise(inputs, 5, 3)
    encoded = encoder(inputs)[0]
    location = fit_machine(encoded, encoded, residual[:, None], np.ones(60), 0.1)
    reader = calibrated(encoder, location, rows_of(encoded, np.exp(residual)), ridge=1.0)
    domain = fit_domain(encoder, inputs, np.ones(60), 4)
    student = assemble(
        reader, None, domain, ec_max=30.2, ec_extrapolated=20.0, low_noise_below=-1.0
    )
    assert student.low_noise_inducing_points.shape[0] == 0
    assert student.limits[0] == 31.0
    told = estimates(student, inputs)
    wanted = np.exp(location(encoded)[:, 0] + np.log(1.0)) - EC_SHIFT
    assert np.corrcoef(told.salinity, np.maximum(wanted, 0.0))[0, 1] > 0.8
