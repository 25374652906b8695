"""The share of residuals that lies within cells, or that it cannot be told."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.accuracy.match import Cells
from deepsalt.accuracy.scores import BOOTSTRAP
from deepsalt.accuracy.support import CANNOT_BE_TOLD, support_of
from deepsalt.train.data.places import Blocks
from tests.accuracy.fields import Field, at_random

MAP_SD = 0.6
WITHIN_SD = 0.5


@pytest.fixture(scope="module")
def cells() -> Cells:
    return Field.draw(1).cells(*at_random(np.random.default_rng(1), 400))


def own_blocks(cells: Cells) -> Blocks:
    return Blocks(np.arange(len(cells)).astype(str), len(cells), "")


def sampled(cells: Cells, samples: int, seed: int = 2) -> tuple[Cells, np.ndarray]:
    """Cells with so many samples that differ by `WITHIN_SD`, and residuals of a map."""
    rng = np.random.default_rng(seed)
    values = WITHIN_SD * rng.normal(size=(len(cells), samples))
    mean = values.mean(axis=1)
    squares = ((values - mean[:, None]) ** 2).sum(axis=1)
    count = np.full(len(cells), samples)
    return replace(cells, samples=count, squares=squares), MAP_SD * rng.normal(
        size=len(cells)
    ) - mean


@pytest.mark.parametrize("samples", [2, 4])
def test_the_share_is_the_variance_within_cells_over_that_of_residuals(
    cells: Cells, samples: int
) -> None:
    shared, residual = sampled(cells, samples)
    found = support_of(shared, own_blocks(cells), residual)
    within = WITHIN_SD**2 / samples
    true = within / (MAP_SD**2 + within)
    assert abs(found.scores["support_share"] - true) < 0.05
    assert found.scores["support_share_low"] < found.scores["support_share"]
    assert found.scores["support_share"] < found.scores["support_share_high"]
    assert abs(found.scores["within_cell_sd_log"] - WITHIN_SD) < 0.03


def test_the_interval_of_the_share_due_to_support_holds_the_true_one_in_about_90_percent(
    cells: Cells,
) -> None:
    true = WITHIN_SD**2 / 2 / (MAP_SD**2 + WITHIN_SD**2 / 2)
    held = []
    for seed in range(100):
        shared, residual = sampled(cells, 2, seed)
        found = support_of(shared, own_blocks(cells), residual, replace(BOOTSTRAP, draws=200))
        ends = found.scores["support_share_low"], found.scores["support_share_high"]
        held.append(ends[0] <= true <= ends[1])
    assert 0.8 <= np.mean(held) <= 0.97


def test_a_stated_variance_is_enough(cells: Cells) -> None:
    _, residual = sampled(cells, 1)
    stated = replace(cells, stated_sd=np.full(len(cells), WITHIN_SD))
    found = support_of(stated, own_blocks(cells), residual)
    assert abs(found.scores["support_share"] - 0.25 / (0.36 + 0.25)) < 0.05
    assert "state" in found.sentence


def test_without_two_samples_or_a_variance_it_cannot_be_told(cells: Cells) -> None:
    found = support_of(cells, own_blocks(cells), np.ones(len(cells)))
    assert found.scores == {}
    assert found.sentence.startswith(CANNOT_BE_TOLD)


def test_from_few_shared_cells_it_has_no_interval(cells: Cells) -> None:
    shared, residual = sampled(cells, 2)
    few = np.arange(len(cells)) < 2
    found = support_of(
        replace(
            shared,
            samples=np.where(few, 2, 1),
            squares=np.where(few, shared.squares, 0.0),
        ),
        own_blocks(cells),
        residual,
    )
    assert "support_share_low" not in found.scores
    assert "too few for an interval" in found.sentence


def test_the_share_is_at_most_one(cells: Cells) -> None:
    shared, residual = sampled(cells, 2)
    found = support_of(shared, own_blocks(cells), residual * 0.01)
    assert found.scores["support_share"] == 1.0
