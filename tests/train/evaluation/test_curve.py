"""The learning curve: a - b / n, never falling, with a band over blocks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.model.load import model_ref
from deepsalt.progress import Silent
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import group_folds
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.evaluation.curve import Errors, continued, learning_curve
from deepsalt.train.student.base import Base
from deepsalt.train.student.fit import fit_model
from tests.train.tables import QUICK, regions, satellite_table

SIZES = np.array([20.0, 40.0, 80.0])
SHIPPED = Base.of(model_ref())


def errors(spread: float = 0.0) -> Errors:
    """120 rows of 12 blocks; R² is 0.5 - 8 / n, and that of the base model 0."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(12), 10)
    observed = rng.normal(size=120)
    variance = float(np.var(observed))
    level = np.exp(spread * rng.normal(size=12))[block]
    own = variance * (0.5 + 8.0 / SIZES[:, None]) * level / level.mean()
    return Errors(80, SIZES, own, np.full(120, variance), observed, block.astype(str))


def campaign(blocks: int, sites: int = 8) -> Samples:
    samples = draw_views([satellite_table(regions(blocks, sites))], QUICK)
    return samples.take(samples.satellite)


def curve_of(samples: Samples, folder: Path) -> Errors | None:
    return learning_curve(samples, QUICK, fit_model, base=SHIPPED, cache=folder, progress=Silent())


@given(st.floats(-1.0, 1.0), st.floats(0.0, 20.0), st.integers(20, 1000))
def test_a_score_is_continued_by_its_law(a: float, b: float, wanted: int) -> None:
    assert continued(SIZES, a - b / SIZES, wanted) == pytest.approx(a - b / wanted, abs=1e-9)


@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3))
def test_more_sites_never_harm(scores: list[float]) -> None:
    assert continued(SIZES, np.array(scores), 160) >= continued(SIZES, np.array(scores), 80)


def test_scores_of_parts_are_continued_to_more_sites() -> None:
    score, low, high = errors(0.5).foretold(160)
    assert score == pytest.approx(0.45)
    assert low < score < high


def test_the_gain_is_over_the_base_model() -> None:
    assert errors().foretold(160, gain=True)[0] == pytest.approx(0.45)


def test_blocks_that_differ_more_have_a_wider_band() -> None:
    narrow, wide = (np.diff(errors(spread).foretold(160)[1:])[0] for spread in (0.2, 1.0))
    assert wide > narrow


def test_a_campaign_has_a_curve_that_its_cache_repeats(tmp_path: Path) -> None:
    samples = campaign(MIN_BLOCKS)
    first = curve_of(samples, tmp_path)
    again = curve_of(samples, tmp_path)
    assert first is not None
    assert again is not None
    assert np.all(np.diff(first.sites) > 0)
    assert first.told() == again.told()
    assert list(first.told()["foretold"]) == ["64", "128"]


def test_labels_of_blocks_do_not_reach_models_that_are_scored_on_them(tmp_path: Path) -> None:
    samples = campaign(MIN_BLOCKS)
    _, hidden = group_folds(samples.region, QUICK.folds, QUICK.seed)[0]
    spoilt = samples.ec.copy()
    spoilt[hidden] *= 10.0
    found = []
    for name, ec in (("as they are", samples.ec), ("spoilt", spoilt)):
        folder = tmp_path / name
        curve_of(replace(samples, ec=ec), folder)
        found.append([np.load(next(folder.glob(f"*-curve-{i}.npz")))["student"] for i in range(3)])
    assert np.array_equal(*found)
    assert found[0][0].size == hidden.size


@pytest.mark.parametrize(("blocks", "sites"), [(MIN_BLOCKS - 1, 8), (MIN_BLOCKS, 3)])
def test_few_blocks_or_sites_have_no_curve(blocks: int, sites: int, tmp_path: Path) -> None:
    assert curve_of(campaign(blocks, sites), tmp_path) is None


def test_sites_with_equal_labels_have_no_curve(tmp_path: Path) -> None:
    samples = campaign(MIN_BLOCKS)
    assert curve_of(replace(samples, ec=np.ones(len(samples))), tmp_path) is None
