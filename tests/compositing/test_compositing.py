"""Combining rules of a mosaic, pixel by pixel."""

import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from deepsalt.compositing import composite
from deepsalt.compositing.combine import CONTRIBUTION_BYTES
from deepsalt.compositing.compose import PLACE_BYTES, SCENE_BYTES, view_of
from deepsalt.compositing.feather import feather, feather_radius_px, ramp
from deepsalt.grid import Location, MosaicGrid
from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS
from deepsalt.products import read_marker
from deepsalt.store import Store
from deepsalt.types import PixelGrid, QualityFlag
from tests.store.builders import acquisition, add_product, layers, make_store, scene_grid

Scenes = tuple[Store, list[str]]
"""A store and names of products in it."""

PIXEL = scene_grid(height=1, width=1)
CLOUD, OUTSIDE, WATER = int(QualityFlag.CLOUD), int(QualityFlag.OUTSIDE), int(QualityFlag.WATER)


def pixel(salinity: float, *, spread: float = 0.5, quality_flags: int = 0) -> xr.Dataset:
    ds = layers(PIXEL, salinity=salinity, spread=spread)
    ds["quality_flags"].values[:] = quality_flags
    return ds


def combine(*scenes: xr.Dataset, days: list[int | None] | None = None) -> dict[str, float]:
    days = days or [1] * len(scenes)
    store = make_store()
    names = [
        add_product(store, acquisition(f"s{index}", day=day, grid=PIXEL), ds)
        for index, (ds, day) in enumerate(zip(scenes, days, strict=True))
    ]
    found = composite(store, names, PIXEL)
    return {layer.name: found[layer.name].values[0, 0] for layer in MOSAIC_LAYERS}


def test_a_single_scene_passes_unchanged() -> None:
    acq, ds = acquisition(), layers(scene_grid(), seed=4)
    store = make_store()
    found = composite(store, [add_product(store, acq, ds)], acq.grid)
    for name in ("salinity", "salinity_lower", "salinity_upper"):
        np.testing.assert_allclose(found[name].values, ds[name].values, rtol=1e-6)
    estimated = np.isfinite(ds.salinity.values)
    np.testing.assert_array_equal(
        found.quality_flags.values[estimated], ds.quality_flags.values[estimated]
    )


def test_values_are_averaged_where_errors_are_comparable() -> None:
    found = combine(pixel(1.0), pixel(7.0))
    assert found["salinity"] == pytest.approx(np.expm1((np.log1p(1) + np.log1p(7)) / 2), rel=1e-6)


def test_a_scene_weighs_by_the_inverse_square_of_its_interval() -> None:
    found = combine(pixel(1.5, spread=0.2), pixel(7.0, spread=0.4))
    expected = np.expm1((4 * np.log1p(1.5) + np.log1p(7)) / 5)
    assert found["salinity"] == pytest.approx(expected, rel=1e-5)


def test_the_interval_does_not_shrink_with_the_count() -> None:
    one, many = combine(pixel(4.0)), combine(*[pixel(4.0)] * 4)
    assert many["salinity_lower"] == pytest.approx(one["salinity_lower"], rel=1e-6)
    assert many["salinity_upper"] == pytest.approx(one["salinity_upper"], rel=1e-6)


def test_an_interval_of_no_width_does_not_silence_the_others() -> None:
    found = combine(pixel(2.0, spread=0.0), pixel(8.0, spread=0.02))
    assert 2.0 < found["salinity"] < 8.0


@pytest.mark.parametrize("bad", [0.2, 9.0, 30.0, 250.0])
def test_a_bad_scene_of_three_moves_the_result_by_less_than_its_share(bad: float) -> None:
    good = np.log1p([3.5, 4.5])
    found = combine(pixel(3.5), pixel(4.5), pixel(bad))
    share = abs(np.log1p(bad) - good.mean()) / 3
    assert abs(np.log1p(found["salinity"]) - good.mean()) < 0.4 * share


def test_the_worse_a_scene_the_less_it_counts() -> None:
    """Moves of the mean end where a scene can no longer be believed."""
    far, further = (
        combine(pixel(3.5), pixel(4.5), pixel(bad))["salinity"] for bad in (15.0, 250.0)
    )
    assert 4.0 < further < far < 4.5


def test_three_scenes_that_agree_are_averaged() -> None:
    found = combine(pixel(4.0), pixel(4.02), pixel(4.04))
    assert found["salinity"] == pytest.approx(4.02, rel=1e-3)


def test_a_scene_between_two_others_counts_most() -> None:
    """Three that differ alike end near their median: nobody knows which side is wrong."""
    z = np.log1p([1.0, 3.0, 15.0])
    found = combine(pixel(1.0), pixel(3.0), pixel(15.0))
    assert abs(np.log1p(found["salinity"]) - z[1]) < 0.5 * abs(z.mean() - z[1]) + 1e-6


def test_disagreement_shows_a_scene_that_salinity_doubts() -> None:
    found = combine(pixel(3.0), pixel(3.0), pixel(30.0))
    assert found["disagreement"] == pytest.approx(np.std([3.0, 3.0, 30.0]), rel=1e-4)
    assert found["observations"] == 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], np.nan), ([3.0, 3.0], 0.0), ([200.0, 200.0, 200.0], 0.0), ([2.0, 6.0], 2.0)],
    ids=["one scene", "equal", "equal and large", "apart"],
)
def test_disagreement_is_the_spread_between_scenes(values: list[float], expected: float) -> None:
    found = combine(*[pixel(value, spread=0.3) for value in values])
    assert found["disagreement"] == pytest.approx(expected, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("days", "expected"),
    [([3, 9, 5], 19852 + 0), ([None, 4], 19847), ([None, None], DATE_FILL)],
    ids=["newest", "one unknown", "all unknown"],
)
def test_last_observed_is_the_newest_known_day(days: list[int | None], expected: int) -> None:
    found = combine(*[pixel(3.0)] * len(days), days=days)
    assert found["last_observed"] == expected


def test_only_contributors_date_and_count() -> None:
    found = combine(pixel(3.0), pixel(3.0, quality_flags=CLOUD), days=[1, 9])
    assert (found["observations"], found["last_observed"]) == (1, 19844)


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ([OUTSIDE, OUTSIDE], OUTSIDE),
        ([OUTSIDE, CLOUD], CLOUD),
        ([CLOUD, WATER], CLOUD | WATER),
        ([CLOUD | int(QualityFlag.HAZE)], CLOUD),
        ([OUTSIDE | CLOUD], OUTSIDE),
        ([CLOUD, 0], 0),
        (
            [CLOUD, int(QualityFlag.EXTRAPOLATED), int(QualityFlag.HAZE)],
            int(QualityFlag.EXTRAPOLATED | QualityFlag.HAZE),
        ),
    ],
    ids=[
        "nobody saw it",
        "one saw a cloud",
        "all reasons",
        "advice is dropped without an estimate",
        "outside wins in its own scene",
        "an estimate forgets the others' reasons",
        "advice of contributors adds up",
    ],
)
def test_quality_flags_says_why(bases: list[int], expected: int) -> None:
    found = combine(*[pixel(3.0, quality_flags=quality_flags) for quality_flags in bases])
    assert found["quality_flags"] == expected
    assert np.isfinite(found["salinity"]) == (expected & (CLOUD | WATER | OUTSIDE) == 0)


def test_a_missing_estimate_without_a_reason_counts_as_defective() -> None:
    assert combine(pixel(np.nan))["quality_flags"] == int(QualityFlag.DEFECTIVE)


def test_without_products_everything_is_outside() -> None:
    found = composite(make_store(), [], scene_grid(height=3, width=4))
    for layer in MOSAIC_LAYERS:
        np.testing.assert_array_equal(found[layer.name].values, layer.fill)


@pytest.fixture(scope="module")
def overlapping() -> Scenes:
    store = make_store()
    grids = [
        scene_grid(),
        scene_grid(row=10, column=15),
        # About the same place, seen from the zone to the west.
        PixelGrid("EPSG:32632", (30.0, 0.0, 708015.0, 0.0, -30.0, 5800815.0), 45, 45),
        scene_grid(row=-20, column=5, height=30, width=30),
    ]
    return store, [
        add_product(store, acquisition(f"s{i}", day=i + 1, grid=g), seed=i)
        for i, g in enumerate(grids)
    ]


def picked(scenes: Scenes, numbers: list[int]) -> Scenes:
    store, names = scenes
    return store, [names[number] for number in numbers]


def whole(scenes: Scenes, grid: MosaicGrid, *, block_px: int = 1024) -> dict[str, np.ndarray]:
    """Measured pixels of a mosaic, sorted, with their row and column counted from the anchor."""
    store, names = scenes
    tiles = {tile for name in names for tile in grid.tiles_over(read_marker(store, name).grid)}
    parts: dict[str, list[np.ndarray]] = {}
    for tile in tiles:
        ds = composite(store, names, grid.tile_grid(tile), block_px=block_px)
        seen = ds.quality_flags.values != OUTSIDE
        rows, columns = np.nonzero(seen)
        parts.setdefault("row", []).append(rows + tile.iy * grid.tile_px)
        parts.setdefault("column", []).append(columns + tile.ix * grid.tile_px)
        for layer in MOSAIC_LAYERS:
            parts.setdefault(layer.name, []).append(ds[layer.name].values[..., seen])
    found = {name: np.concatenate(arrays, axis=-1) for name, arrays in parts.items()}
    order = np.lexsort((found["column"], found["row"]))
    return {name: values[..., order] for name, values in found.items()}


@pytest.mark.parametrize(
    ("order", "shard_px", "tile_shards", "block_px"),
    [([3, 1, 0, 2], 64, 2, 1024), ([0, 1, 2, 3], 16, 3, 1024), ([2, 3, 0, 1], 40, 1, 7)],
    ids=["one tile", "tiles cut scenes", "blocks cut tiles"],
)
def test_neither_order_nor_tile_size_nor_blocks_change_a_bit(
    overlapping: Scenes, order: list[int], shard_px: int, tile_shards: int, block_px: int
) -> None:
    reference = whole(overlapping, MosaicGrid(chunk_px=8, shard_px=128, tile_shards=1))
    grid = MosaicGrid(chunk_px=8, shard_px=shard_px, tile_shards=tile_shards)
    found = whole(picked(overlapping, order), grid, block_px=block_px)
    for name, values in reference.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("chosen", "depth"), [([0, 2], 2), ([0, 1, 2, 3], 3)], ids=["two zones", "three deep"]
)
def test_scenes_overlap_in_the_fixture(overlapping: Scenes, chosen: list[int], depth: int) -> None:
    """Otherwise the property above would say less than it seems to."""
    found = whole(picked(overlapping, chosen), MosaicGrid(chunk_px=8, shard_px=128))
    assert found["observations"].max() >= depth


def spied_views(monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return what will be filled: sizes of what scenes say, and how many are held each time."""
    shapes: list[tuple[int, ...]] = []
    alive: list[int] = []
    made: list[weakref.ref[NDArray[np.int32]]] = []

    def view(source: Any, found: Location) -> Any:
        seen = view_of(source, found)
        made.append(weakref.ref(seen.at))
        shapes.append(seen.at.shape)
        alive.append(sum(ref() is not None for ref in made))
        return seen

    monkeypatch.setattr("deepsalt.compositing.compose.view_of", view)
    return shapes, alive


@pytest.mark.parametrize(("cell_m", "edge_px"), [(30, 20), (60, 10)])
def test_many_and_finer_scenes_make_blocks_smaller_and_change_no_bit(
    overlapping: Scenes, monkeypatch: pytest.MonkeyPatch, cell_m: int, edge_px: int
) -> None:
    fine = scene_grid(row=-10, column=-10, height=80, width=80)
    a, b, c, d, e, f = fine.transform
    scale = cell_m // 30
    grid = replace(fine, transform=(a * scale, b, c, d, e * scale, f))
    reference = composite(*overlapping, grid)
    per_pixel = len(overlapping[1]) * (CONTRIBUTION_BYTES + PLACE_BYTES + SCENE_BYTES)
    monkeypatch.setattr("deepsalt.compositing.compose.STACK_BYTES", 25 * 25 * per_pixel)
    monkeypatch.setattr("deepsalt.compositing.compose.MIN_BLOCK_PX", 8)
    shapes, _ = spied_views(monkeypatch)
    xr.testing.assert_identical(composite(*overlapping, grid, block_px=80), reference)
    assert np.max(shapes) == edge_px


def test_what_scenes_say_is_held_for_one_block_at_a_time(
    overlapping: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, alive = spied_views(monkeypatch)
    composite(*overlapping, scene_grid(height=80, width=80), block_px=20)
    assert len(alive) > max(alive) > 1
    assert max(alive) <= len(overlapping[1])


@pytest.mark.parametrize("edge_px", [7, 16, 50])
def test_the_parts_that_a_block_is_summed_in_change_no_bit(
    overlapping: Scenes, monkeypatch: pytest.MonkeyPatch, edge_px: int
) -> None:
    grid = scene_grid(row=-10, column=-10, height=80, width=80)
    reference = composite(*overlapping, grid)
    monkeypatch.setattr("deepsalt.compositing.compose.PART_PX", edge_px)
    xr.testing.assert_identical(composite(*overlapping, grid), reference)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1, 5, 17])
def test_a_feather_measures_the_distance_to_what_the_scene_did_not_see(
    seed: int, radius: int
) -> None:
    rng = np.random.default_rng(seed)
    quality_flags = np.where(rng.random((90, 80)) < 0.003 * seed, CLOUD, WATER).astype(np.uint16)
    edges = np.pad(quality_flags, 1, constant_values=OUTSIDE) != WATER
    squared = distance_transform_edt(~edges)[1:-1, 1:-1] ** 2
    expected = np.minimum(np.rint(squared), (radius + 1) ** 2)
    found = feather(np.pad(quality_flags, radius, constant_values=OUTSIDE), radius)
    np.testing.assert_array_equal(found, np.where(quality_flags == CLOUD, 0, expected))


def test_a_ramp_rises_from_nearly_nothing_to_one() -> None:
    weights = ramp(17)[1:]
    assert 0 < weights[0] < 0.01
    assert (np.diff(weights) > 0).all()
    assert weights[-1] == 1


@pytest.mark.parametrize(
    ("pixel_m", "radius"), [(30.0, 17), (10.0, 32), (2000.0, 1)], ids=["30 m", "fine", "coarse"]
)
def test_a_feather_is_some_hundred_metres_wide(pixel_m: float, radius: int) -> None:
    grid = PixelGrid("EPSG:32633", (pixel_m, 0, 5e5, 0, -pixel_m, 5.8e6), 10, 10)
    assert feather_radius_px(grid) == radius


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_an_interval_holds_its_estimate_and_scenes_hold_their_mean(seed: int, count: int) -> None:
    store, grid = make_store(), scene_grid(height=30, width=30)
    scenes = [layers(grid, seed=seed + i, spread=0.1 + i) for i in range(count)]
    names = [add_product(store, acquisition(f"s{i}", grid=grid), ds) for i, ds in enumerate(scenes)]
    found = composite(store, names, grid)
    salinity = found.salinity.values
    every = np.stack([ds.salinity.values for ds in scenes])
    estimated = np.isfinite(every).any(axis=0)
    np.testing.assert_array_equal(np.isfinite(salinity), estimated)
    at = salinity[estimated]
    assert (found.salinity_lower.values[estimated] <= at).all()
    assert (found.salinity_upper.values[estimated] >= at).all()
    assert (np.nanmin(every[:, estimated], axis=0) <= at * (1 + 1e-5)).all()
    assert (np.nanmax(every[:, estimated], axis=0) >= at * (1 - 1e-5)).all()
