"""The demo's field campaign: samples of simulated ground, a model of them, and what it changes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepsalt.types import Floats
from flows.demo import CHECKED, SAMPLED, over_parts
from tests.flows.conftest import deepsalt

PART = np.repeat(np.arange(20), 12)
"""Parts of a ground of five by four, each with twelve places."""


def laid_out(mapped: Floats) -> np.ndarray:
    """Return which places a campaign of sixty takes."""
    shift = np.random.default_rng(0).uniform(0.0, 0.5, (2, PART.size))
    return over_parts(PART % 4 + shift[0], PART // 4 + shift[1], mapped, 3)


def test_a_campaign_goes_to_all_parts_of_the_ground_alike() -> None:
    rising = np.linspace(0.0, 5.0, PART.size)
    assert np.bincount(PART[laid_out(rising)]).tolist() == [3] * 20


def test_places_within_a_part_are_a_low_a_middle_and_a_high_one_of_its_map() -> None:
    mapped = np.random.default_rng(1).normal(size=PART.size)
    chosen = laid_out(mapped)
    for part in range(20):
        ranks = np.searchsorted(np.sort(mapped[part == PART]), mapped[chosen[PART[chosen] == part]])
        assert sorted(ranks) == [2, 6, 10]


def test_sampled_places_are_as_saline_on_the_map_as_the_ground() -> None:
    mapped = np.random.default_rng(1).exponential(size=PART.size)
    assert mapped[laid_out(mapped)].mean() == pytest.approx(mapped.mean(), rel=0.1)


@given(arrays(np.float64, PART.size, elements=st.sampled_from([0.0, 0.5, 2.0])))
def test_no_place_is_sampled_twice_whatever_the_map_says(mapped: Floats) -> None:
    assert np.unique(laid_out(mapped)).size == SAMPLED


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder beside the demo's, and what was printed."""
    folder = tmp_path_factory.mktemp("demo")
    result = deepsalt("demo", "--out", folder / "demo", "--field")
    assert result.exit_code == 0, result.output
    return folder / "demo-field", result.output


def values(shown: tuple[Path, str], name: str) -> list[float]:
    """Return a score of the shipped model and of the one with samples, as printed."""
    row = next(line[36:] for line in shown[1].splitlines() if line[2:36].strip() == name)
    return [float(value.rstrip("%")) for value in row.split()]


@pytest.mark.slow
def test_the_field_demo_leaves_samples_sites_map_model_and_store(shown: tuple[Path, str]) -> None:
    names = {path.name for path in shown[0].iterdir()}
    assert {"samples.csv", "sites.csv", "sites.png", "model", "store"} <= names


@pytest.mark.slow
def test_all_samples_of_the_field_demo_lie_west_of_the_ground_it_is_scored_on(
    shown: tuple[Path, str],
) -> None:
    assert pd.read_csv(shown[0] / "samples.csv")["lon"].max() < 84.02


@pytest.mark.slow
def test_the_field_demo_samples_sixty_places_and_checks_two_hundred(
    shown: tuple[Path, str],
) -> None:
    assert len(pd.read_csv(shown[0] / "samples.csv")) == SAMPLED
    assert f"at {CHECKED} other places of the SIMULATED ground" in shown[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["R2 of log1p(dS/m)", "average precision of the same"])
def test_samples_sharpen_the_map_where_none_were_taken(shown: tuple[Path, str], name: str) -> None:
    before, after = values(shown, name)
    assert after > before


@pytest.mark.slow
def test_samples_narrow_the_interval_of_the_map_where_none_were_taken(
    shown: tuple[Path, str],
) -> None:
    wide, narrow = values(shown, "width of the interval, dS/m")
    assert narrow < 0.8 * wide


@pytest.mark.slow
def test_the_narrowed_interval_holds_the_truth_where_no_samples_were_taken(
    shown: tuple[Path, str],
) -> None:
    assert values(shown, "90 % interval holds the truth")[1] >= 80
