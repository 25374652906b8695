"""Which cells the bootstrap draws together."""

import numpy as np
import pytest

from deepsalt.accuracy.blocks import blocks_of
from tests.accuracy.fields import CELL_DEG, SIDE_PX, at_random, in_clusters


def places(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return column * CELL_DEG, row * CELL_DEG


def test_cells_that_are_spread_out_are_blocks_of_their_own() -> None:
    found = blocks_of(*places(*at_random(np.random.default_rng(1), 80)))
    assert found.count == 80


def test_clusters_far_apart_are_blocks() -> None:
    centre = np.array([(y, x) for y in (50, 200, 350) for x in (50, 200, 350)])
    rng = np.random.default_rng(2)
    place = np.rint(centre[:, None] + rng.normal(0, 3, (9, 8, 2))).astype(int)
    row, column = np.unique(place.reshape(-1, 2), axis=0).T
    found = blocks_of(*places(row, column))
    assert found.count == 9
    cluster = np.char.add((row // 150).astype(str), (column // 150).astype(str))
    assert len(set(zip(found.name, cluster, strict=True))) == 9


def test_clusters_at_random_are_no_more_blocks_than_clusters() -> None:
    found = blocks_of(*places(*in_clusters(np.random.default_rng(3), 20, 8, 4.0)))
    assert 5 <= found.count <= 20


def test_cells_within_one_kilometre_are_one_block() -> None:
    rng = np.random.default_rng(4)
    found = blocks_of(*places(rng.integers(0, 25, 40), rng.integers(0, 25, 40)))
    assert found.count == 1


@pytest.mark.parametrize(
    ("row", "column"),
    [([], []), ([3], [3]), ([0, 300], [0, 300]), ([0, 100, 200, 300], [0] * 4)],
    ids=["none", "one", "two", "a line"],
)
def test_few_places_or_a_line_have_blocks(row: list[int], column: list[int]) -> None:
    found = blocks_of(*places(np.array(row, float), np.array(column, float)))
    assert found.count == len(row)
    assert found.name.size == len(row)


def test_blocks_do_not_depend_on_where_on_earth_they_are() -> None:
    row, column = in_clusters(np.random.default_rng(5), 12, 6, 4.0)
    lon, lat = places(row, column)
    beyond = (lon + 180.0 + 180.0) % 360.0 - 180.0  # across the line of 180 degrees
    assert beyond.max() - beyond.min() < 1 or np.ptp(beyond) > 300
    assert blocks_of(lon, lat).name.tolist() == blocks_of(beyond, lat).name.tolist()
    far = (SIDE_PX / 2 * CELL_DEG, 70.0)
    polar = lon / np.cos(np.radians(70.0)), lat + far[1]
    assert blocks_of(*polar).count == blocks_of(lon, lat).count
