"""A map's cells say what its model's location and width were, and move the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepsalt.layers import CHANCE_STEP
from deepsalt.model.load import model_ref
from deepsalt.model.memory import Memory
from deepsalt.train.student.base import AS_IT_IS, BY_A_LINE, Base
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.from_map import (
    LabelledCells,
    answers_of,
    fit_on_cells,
    said_of_cells,
)
from tests.train.student.test_base import sites

SHIPPED = Base.of(model_ref())


def mapped(location: np.ndarray, log_width: np.ndarray) -> np.ndarray:
    """What the shipped model says where its machine answers so, as a map stores it (3 + t, c)."""
    own = SHIPPED.student
    answers = torch.from_numpy(np.stack([location, log_width]).astype(np.float32))
    values = own.respond(answers, own.nodes, own.intervals, own.chances, Memory())
    said = torch.stack(values).double().numpy()
    said[3:] = np.rint(said[3:] / CHANCE_STEP) * CHANCE_STEP
    return said


def campaign(
    level: float, slope: float, *, noise: float = 0.3, count: int = 120, seed: int = 0
) -> LabelledCells:
    """SIMULATED cells in twelve blocks, whose labels follow a line through the map's location."""
    rng = np.random.default_rng(seed)
    location, log_width = rng.normal(-0.5, 1.0, count), rng.normal(-0.5, 0.2, count)
    salinity, lower, upper, *chances = mapped(location, log_width)
    target = level + slope * location + rng.normal(0.0, noise, count)
    return LabelledCells(
        salinity,
        lower,
        upper,
        np.array(chances),
        np.maximum(np.exp(target) - 0.03, 0.0),
        np.zeros(count),
        np.arange(count).astype(str),
        np.array([f"block {i % 12}" for i in range(count)]),
    )


def test_estimate_and_probabilities_give_location_and_width_back() -> None:
    rng = np.random.default_rng(0)
    location, log_width = rng.uniform(-1.0, 2.0, 500), rng.uniform(-1.5, 1.0, 500)
    salinity, _, _, *chances = mapped(location, log_width)
    found = answers_of(SHIPPED.student, salinity, np.array(chances))
    assert np.abs(found[0] - location).max() < 0.01
    assert np.abs(found[1] - log_width).max() < 0.02


def test_cells_that_are_sure_to_be_without_salt_take_the_usual_width() -> None:
    location = np.array([-0.5, -0.4, -0.3, -9.0])
    salinity, _, _, *chances = mapped(location, np.full(4, -0.5))
    _, log_width = answers_of(SHIPPED.student, salinity, np.array(chances))
    assert log_width[3] == pytest.approx(-0.5, abs=0.02)


def test_labels_of_another_method_move_the_model_by_their_line() -> None:
    fitted = fit_on_cells(SHIPPED, campaign(1.0, 0.8))
    assert fitted.report["picked"] == BY_A_LINE
    assert fitted.report["level"] == pytest.approx(1.0, abs=0.1)
    assert fitted.report["slope"] == pytest.approx(0.8, abs=0.1)


def test_labels_that_the_map_meets_leave_its_location_as_it_is() -> None:
    names = [fit_on_cells(SHIPPED, campaign(0.0, 1.0, seed=i)).report["picked"] for i in range(10)]
    assert names.count(AS_IT_IS) >= 8


def test_widths_become_those_of_the_labels() -> None:
    wide, narrow = (fit_on_cells(SHIPPED, campaign(0.0, 1.0, noise=sd)) for sd in (1.0, 0.1))
    assert wide.report["width_factor"] > 3.0 * narrow.report["width_factor"]


def test_what_is_said_of_cells_is_what_the_student_says_of_their_spectra() -> None:
    spectra = sites().features
    own = estimates(replace(SHIPPED.student, limits=no_low_noise()), spectra)
    cells = campaign(1.0, 0.8, count=len(spectra))
    seen = replace(cells, salinity=own.salinity, chances=own.chances)
    fitted = fit_on_cells(SHIPPED, cells)
    new = estimates(fitted.student, spectra)
    told = said_of_cells(SHIPPED, fitted, seen)
    plain = own.chances[1] > 10 * CHANCE_STEP
    assert np.allclose(told[0][plain], new.salinity[plain], rtol=0.02)
    assert np.allclose(told[3:, plain], new.chances[:, plain], atol=0.02)


def no_low_noise() -> torch.Tensor:
    limits = SHIPPED.student.limits.clone()
    limits[4] = -1.0
    return limits
