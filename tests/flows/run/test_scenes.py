"""Many scenes in little memory, in the order of space."""

import itertools
import pickle
import tracemalloc
from dataclasses import replace

import pytest

from deepsalt.grid import MosaicGrid, Tile
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.types import Acquisition, BandTable
from flows.run.scenes import Scenes, along_curve, in_space
from tests.benchmarks.scale.continent import continent


@pytest.fixture(scope="module")
def acquisitions() -> list[Acquisition]:
    return list(continent(300))


def test_packed_scenes_are_what_they_were(acquisitions: list[Acquisition]) -> None:
    assert list(Scenes(acquisitions)) == acquisitions


@pytest.mark.parametrize("drift", [1e-9, 100 / 3], ids=["more decimals", "none at all"])
def test_numbers_of_many_decimals_are_kept_as_they_are(
    drift: float, acquisitions: list[Acquisition]
) -> None:
    first, second = acquisitions[:2]
    shorter = replace(
        second,
        bands=BandTable(("a", "b"), (500.0 + drift, 600.0), (5.0, 5.0), (True, False)),
        gain=(1e-4, 1e-4 / 3),
        offset=(0.0, 0.5),
    )
    assert list(Scenes([first, shorter, second])) == [first, shorter, second]


@pytest.mark.parametrize("gain", [1e-4 / 3, 1e20, 1e305], ids=["long", "large", "too large"])
def test_numbers_that_no_product_can_mean_are_kept_as_they_are(
    gain: float, acquisitions: list[Acquisition]
) -> None:
    first = acquisitions[0]
    bands = replace(first.bands, usable=(False, *first.bands.usable[1:]))
    strange = replace(first, bands=bands, gain=(gain, *first.gain[1:]))
    assert list(Scenes([strange, first, strange])) == [strange, first, strange]
    assert list(Scenes([first, strange])) == [first, strange]


def test_numbers_of_many_decimals_take_little_where_most_are_equal(
    acquisitions: list[Acquisition],
) -> None:
    first = acquisitions[0]
    tables = [
        replace(first.bands, centers_nm=(418.4 + number / 3e5, *first.bands.centers_nm[1:]))
        for number in range(100)
    ]
    assert len(pickle.dumps(Scenes(replace(first, bands=each) for each in tables))) < 50_000


def test_some_of_the_scenes_come_in_the_order_that_is_asked_for(
    acquisitions: list[Acquisition],
) -> None:
    some = Scenes(acquisitions).only([7, 3])
    assert list(some) == [acquisitions[7], acquisitions[3]]
    assert some[0:1] == [acquisitions[7]]


def test_a_packed_scene_takes_less_than_half_a_kilobyte(acquisitions: list[Acquisition]) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        scenes = Scenes(acquisitions)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(scenes) < 500


def test_bands_that_are_equal_are_kept_once(acquisitions: list[Acquisition]) -> None:
    found = list(Scenes([acquisitions[0], *acquisitions[:2]]))
    assert found[0].bands is found[1].bands
    assert found[0].bands is not found[2].bands


def test_neighbours_come_together_along_the_curve() -> None:
    """Half of a square of tiles is finished when half of its scenes are."""
    side = 16
    under = [(Tile(x, y),) for y in range(side) for x in range(side)]
    order = along_curve(under)
    first = {under[index][0] for index in order[: side * side // 4]}
    assert {tile.ix for tile in first} == set(range(side // 2))
    assert {tile.iy for tile in first} == set(range(side // 2))


@pytest.mark.parametrize("shift", [0, -40], ids=["east", "west"])
def test_the_curve_goes_over_the_anchor_of_the_grid(shift: int) -> None:
    under = [(Tile(x + shift, 0),) for x in range(80)]
    order = along_curve(under)
    steps = [abs(under[a][0].ix - under[b][0].ix) for a, b in itertools.pairwise(order)]
    assert max(steps) == 1


def test_the_tiles_under_scenes_are_those_of_the_grid(acquisitions: list[Acquisition]) -> None:
    grid, few = MosaicGrid(), acquisitions[:20]
    assert in_space(grid, few) == [tuple(grid.tiles_over(scene.grid)) for scene in few]


def test_a_scene_that_the_grid_cannot_hold_has_no_tiles(acquisitions: list[Acquisition]) -> None:
    torn = replace(acquisitions[0], grid=utm_grid(179.99, -17.0, 120, 60))
    assert in_space(MosaicGrid(), [torn]) == [()]
