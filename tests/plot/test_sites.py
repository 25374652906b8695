"""Maps of samples: drawn whatever has a pixel."""

import numpy as np
import pytest

from deepsalt.plot.sites import draw_sites

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("matched", [[True, True], [True, False], [False, False]])
def test_a_map_of_samples_is_a_picture(matched: list[bool]) -> None:
    png = draw_sites(
        np.array([84.0, 84.1]), np.array([40.9, 41.0]), np.array([0.0, 50.0]), np.array(matched)
    )
    assert png.startswith(b"\x89PNG")


def test_one_sample_at_the_pole_is_drawn() -> None:
    one = np.array([1.0])
    assert draw_sites(one, 89.99 * one, one, np.array([True])).startswith(b"\x89PNG")
