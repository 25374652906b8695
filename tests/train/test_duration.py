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
def test_more_samples_take_longer(made: object) -> None:
    few, many = (
        expected_s(made(count), SETTINGS, evaluate=True)  # type: ignore[operator]
        for count in (30, 120)
    )
    assert few < many


@pytest.mark.parametrize(
    ("settings", "evaluate"),
    [(SETTINGS.quick(), True), (SETTINGS, False), (replace(SETTINGS, networks=0), True)],
    ids=["quick", "not scored", "without networks"],
)
def test_what_is_left_out_takes_no_time(settings: Settings, evaluate: bool) -> None:
    whole = expected_s(soil_samples(), SETTINGS, evaluate=True)
    assert expected_s(soil_samples(), settings, evaluate=evaluate) < whole
