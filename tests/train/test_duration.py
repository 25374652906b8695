"""How long a training is said to take."""

from dataclasses import replace

import pytest

from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.duration import expected_s
from tests.train.soils import soil_samples
from tests.train.tables import QUICK, regions, satellite_table

SETTINGS = Settings()


def sites(count: int) -> Samples:
    samples = draw_views([satellite_table(regions(10, count // 10))], QUICK)
    return samples.take(samples.satellite)


@pytest.mark.parametrize("made", [sites, soil_samples], ids=["sites", "laboratory"])
def test_a_training_on_more_samples_is_said_to_take_longer(made: object) -> None:
    few, many = (
        expected_s(made(count), SETTINGS, evaluate=True, has_base=True)  # type: ignore[operator]
        for count in (30, 120)
    )
    assert few < many


@pytest.mark.parametrize(
    ("settings", "evaluate"),
    [(SETTINGS.quick(), True), (SETTINGS, False), (replace(SETTINGS, networks=0), True)],
    ids=["quick", "not scored", "without networks"],
)
def test_what_is_left_out_takes_no_time(settings: Settings, evaluate: bool) -> None:
    whole = expected_s(soil_samples(), SETTINGS, evaluate=True, has_base=False)
    assert expected_s(soil_samples(), settings, evaluate=evaluate, has_base=False) < whole


def test_a_learning_curve_takes_time_only_where_sites_have_a_model_beside_them() -> None:
    alone, with_curve = (
        expected_s(sites(120), SETTINGS, evaluate=True, has_base=has_base)
        for has_base in (False, True)
    )
    assert alone < with_curve


def test_laboratory_samples_take_as_long_with_a_model_beside_them_as_without() -> None:
    alone, beside = (
        expected_s(soil_samples(), SETTINGS, evaluate=True, has_base=has_base)
        for has_base in (False, True)
    )
    assert alone == beside
