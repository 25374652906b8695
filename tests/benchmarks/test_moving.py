"""What the benchmark of a split moves is the whole scene."""

import pytest

from tests.benchmarks.scale.moving import compare

SIZE_PX, BANDS = 64, 224


@pytest.mark.slow
def test_every_number_and_flag_of_a_scene_is_moved() -> None:
    found = compare(SIZE_PX, 1)
    assert found["moved"]["bytes"] == SIZE_PX**2 * (BANDS * 2 + 2)
    assert set(found) == {"fetch", "decode", "move", "prepare", "predict", "moved"}
