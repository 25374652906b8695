"""A model that was trained before, beside the models of satellite sites."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.model.load import model_ref
from deepsalt.train.adaptation.combine import rising_line
from deepsalt.train.adaptation.sites import mean_machine
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.student.base import (
    AS_IT_IS,
    BOTH,
    BY_A_LINE,
    HALF,
    SITES_ALONE,
    Base,
    compare,
)
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.train.teacher.machine import choose_inducing_points
from deepsalt.train.teacher.teacher import view_weights
from tests.train.tables import QUICK, regions, satellite_table

SHIPPED = Base.of(model_ref())


def sites(blocks: int = 10) -> Samples:
    """80 SIMULATED satellite sites in blocks; their labels say nothing yet."""
    samples = draw_views([satellite_table(regions(4, 20))], QUICK)
    own = samples.take(samples.satellite)
    names = np.array([f"block {number % blocks}" for number in range(len(own))])
    return replace(own, group=names, region=names)


def labelled(samples: Samples, log_ec: np.ndarray) -> Samples:
    return replace(samples, ec=np.maximum(np.exp(log_ec) - 0.03, 0.0))


def folds(samples: Samples) -> list[np.ndarray]:
    return [np.flatnonzero(samples.region == name) for name in np.unique(samples.region)]


def picked(samples: Samples, own: np.ndarray) -> str:
    return compare(SHIPPED, {SITES_ALONE: own}, samples, QUICK, folds(samples)).name


def test_answers_of_a_loaded_model_are_its_own() -> None:
    samples = sites()
    own = np.log(estimates(SHIPPED.student, samples.features).salinity + 0.03)
    assert np.corrcoef(own, SHIPPED.location(samples.features))[0, 1] > 0.99


def test_the_model_mostly_stays_as_it_is_where_halves_are_clearly_worse() -> None:
    samples = sites()
    known = np.maximum(SHIPPED.location(samples.features), -2.0)
    noise = np.random.default_rng(0).normal(0.0, 0.3, (20, len(samples)))
    names = [picked(labelled(samples, known + drawn), known + 2.0) for drawn in noise]
    assert names.count(AS_IT_IS) >= 16


def test_labels_of_another_level_move_the_model_by_a_line() -> None:
    samples = sites()
    noise = np.random.default_rng(0).normal(0.0, 0.2, len(samples))
    known = SHIPPED.location(samples.features)
    assert picked(labelled(samples, 1.5 + 2.0 * known + noise), known) == BY_A_LINE


def test_sites_that_know_better_are_taken() -> None:
    samples = sites()
    target = np.random.default_rng(0).normal(0.0, 1.0, len(samples))
    assert picked(labelled(samples, target), target + 0.1) == SITES_ALONE


def test_halves_are_taken_unless_one_source_alone_is_clearly_better() -> None:
    samples = sites()
    rng = np.random.default_rng(0)
    known = SHIPPED.location(samples.features)
    target = 0.5 * (known - known.mean()) + rng.normal(0.0, 0.5, len(samples))
    assert picked(labelled(samples, target), target + rng.normal(0.0, 0.6, len(samples))) == HALF


def test_a_model_of_halves_answers_as_its_halves_do() -> None:
    samples = sites()
    rng = np.random.default_rng(0)
    known = SHIPPED.location(samples.features)
    target = 0.5 * (known - known.mean()) + rng.normal(0.0, 0.5, len(samples))
    samples = labelled(samples, target)
    fitted = fit_model(samples, QUICK, SHIPPED)
    assert fitted.report["picked"] == HALF
    added = fitted.student.inducing_points.shape[0] - SHIPPED.student.inducing_points.shape[0]
    assert 0 < added <= QUICK.inducing_points
    halves = SHIPPED.with_sites(samples, QUICK)(SHIPPED.encoder(samples.features)[0])[:, 0]
    told = np.log1p(estimates(fitted.student, samples.features).salinity)
    assert np.corrcoef(told, np.log1p(np.exp(halves)))[0, 1] > 0.95


def test_a_library_that_proved_itself_is_kept_where_leaving_it_out_is_no_better() -> None:
    samples = sites()
    rng = np.random.default_rng(0)
    known = SHIPPED.location(samples.features)
    samples = labelled(samples, known + rng.normal(0.0, 0.5, len(samples)))
    own = {SITES_ALONE: known + 2.0, BOTH: SHIPPED.location(samples.features)}
    assert compare(SHIPPED, own, samples, QUICK, folds(samples)).name == BOTH


def test_halves_answer_with_the_mean_of_the_moved_model_and_a_machine_on_sites() -> None:
    samples = sites()
    noise = np.random.default_rng(0).normal(0.0, 0.5, len(samples))
    known = SHIPPED.location(samples.features)
    samples = labelled(samples, 0.5 + known + noise)
    weights = view_weights(samples, QUICK)
    inputs = SHIPPED.encoder(samples.features)[0]
    points = choose_inducing_points(inputs, samples.target, QUICK.inducing_points, QUICK.seed)
    line = rising_line(known, samples.target, weights)
    halves = SHIPPED.moved(*line), mean_machine(points, inputs, samples.target, weights)
    np.testing.assert_allclose(
        SHIPPED.with_sites(samples, QUICK)(inputs),
        0.5 * (halves[0](inputs) + halves[1](inputs)),
        rtol=1e-9,
    )


def test_sites_of_few_blocks_only_move_the_model() -> None:
    samples = sites(blocks=MIN_BLOCKS - 1)
    target = np.random.default_rng(0).normal(0.0, 1.0, len(samples))
    assert picked(labelled(samples, target), target + 0.1) in (AS_IT_IS, BY_A_LINE)


def test_a_student_moved_by_a_line_answers_by_that_line() -> None:
    samples = sites()
    noise = np.random.default_rng(0).normal(0.0, 0.1, len(samples))
    known = SHIPPED.location(samples.features)
    fitted = fit_model(labelled(samples, 1.5 + known + noise), QUICK, SHIPPED)
    assert fitted.report["picked"] == BY_A_LINE
    assert fitted.report["level"] == pytest.approx(1.5, abs=0.2)
    answers = estimates(fitted.student, samples.features)
    assert np.median(answers.salinity / np.exp(known + 1.5)) == pytest.approx(1.0, abs=0.15)


def test_without_another_model_sites_are_not_compared() -> None:
    samples = sites()
    target = SHIPPED.location(samples.features)
    assert "picked" not in fit_model(labelled(samples, target), QUICK).report
