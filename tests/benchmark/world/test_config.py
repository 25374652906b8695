"""Settings of a simulation of regions: numbers without a meaning are refused."""

from collections.abc import Callable

import pytest

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.errors import UsageError
from deepsalt.simulate.atmosphere import AtmosphereConfig
from deepsalt.simulate.optics import MixingConfig


def test_by_default_there_are_more_than_twenty_regions() -> None:
    assert SimulationConfig().regions >= 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimulationConfig(regions=0), "regions 0"),
        (lambda: SimulationConfig(seed=-1), "seed -1"),
        (lambda: SimulationConfig(use="test"), "'test'"),  # type: ignore[arg-type] # refused
        (lambda: SimulationConfig(saline_share=(0.5, 1.5)), "saline_share 0.5 to 1.5"),
        (lambda: SimulationConfig(salt_g_kg=(9.0, 2.0)), "ascending"),
        (lambda: SimulationConfig(gypsum_g_kg=(0.0, 2.0)), "gypsum_g_kg"),
        (lambda: SimulationConfig(law="fuzzy"), "'fuzzy'"),  # type: ignore[arg-type] # refused
        (lambda: SimulationConfig(interaction=1.5), "interaction 1.5"),
        (lambda: SimulationConfig(chloride=-0.1), "chloride -0.1"),
        (lambda: SimulationConfig(soil_spread=2.0), "soil_spread 2 must lie in 0 to 1"),
        (lambda: MixingConfig(enrichment=0.5), "at least 1"),
        (lambda: AtmosphereConfig(gain=-0.1), "gain"),
        (lambda: AtmosphereConfig(vapour_cm=(3.0, 1.0)), "vapour_cm"),
    ],
    ids=[
        "regions",
        "seed",
        "use",
        "share",
        "range",
        "zero",
        "law",
        "bilinear",
        "salts",
        "spread",
        "mixing",
        "gain",
        "vapour",
    ],
)
def test_numbers_without_a_meaning_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
