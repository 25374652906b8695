"""Mosaic grids, tiles, and the exact map from a tile to a scene."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from deepsalt.errors import GridError
from deepsalt.grid import (
    Extent,
    MosaicGrid,
    Tile,
    cell_shape_m,
    footprint,
    ground_size_m,
    locate,
    projected_crs,
)
from deepsalt.grid.locate import outline
from deepsalt.types import PixelGrid

SMALL = MosaicGrid(chunk_px=16, shard_px=32, tile_shards=2)


def scene(
    x: float, y: float, *, crs: str = "EPSG:32633", height: int = 30, width: int = 40
) -> PixelGrid:
    return PixelGrid(crs, (30.0, 0.0, x, 0.0, -30.0, y), height, width)


SCENES = st.builds(
    scene,
    st.floats(300_000, 700_000),
    st.floats(1_000_000, 7_000_000),
    crs=st.sampled_from(["EPSG:32633", "EPSG:32733", "EPSG:32632"]),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
GRIDS = st.builds(
    MosaicGrid,
    crs=st.sampled_from(["EPSG:6933", "EPSG:3035", "EPSG:32633"]),
    resolution_m=st.sampled_from([20.0, 30.0, 29.7, 60.0]),
    chunk_px=st.just(8),
    shard_px=st.sampled_from([8, 24]),
    tile_shards=st.integers(1, 3),
)
PROPERTY = settings(max_examples=25)


@pytest.mark.parametrize(
    ("crs", "resolution", "anchor"),
    [
        ("EPSG:6933", 30, (0, 0)),
        ("EPSG:32633", 30, (15, 15)),
        ("epsg:32719", 30, (15, 15)),
        ("EPSG:32633", 60, (0, 0)),
        ("EPSG:3035", 30, (0, 0)),
    ],
)
def test_a_utm_zone_at_30_m_has_the_phase_of_enmap(
    crs: str, resolution: float, anchor: tuple[float, float]
) -> None:
    assert MosaicGrid.from_options(crs, resolution).anchor == anchor


@pytest.mark.parametrize(
    ("crs", "resolution", "message"),
    [
        ("EPSG:999999", 30, "known to PROJ"),
        ("salt lake", 30, "known to PROJ"),
        ("EPSG:4326", 30, "degree"),
        ("EPSG:2263", 30, "foot"),
        ("EPSG:6933", 0, "positive"),
        ("EPSG:6933", -30, "positive"),
        ("EPSG:6933", float("nan"), "positive"),
        ("EPSG:6933", 1e-9, "from 1 to 10000"),
        ("EPSG:6933", 1e9, "from 1 to 10000"),
    ],
)
def test_a_grid_refuses_what_cannot_be_mapped(crs: str, resolution: float, message: str) -> None:
    with pytest.raises(GridError, match=message):
        MosaicGrid.from_options(crs, resolution)


def test_a_shard_holds_whole_chunks() -> None:
    with pytest.raises(GridError, match="whole chunks"):
        MosaicGrid(chunk_px=300)


def test_a_grid_survives_its_record() -> None:
    grid = MosaicGrid.from_options("EPSG:32633", 30)
    assert MosaicGrid.from_dict(grid.to_dict()) == grid


def test_a_crs_without_a_code_keeps_its_definition() -> None:
    laea = "+proj=laea +lat_0=40 +lon_0=60 +datum=WGS84 +units=m"
    name = projected_crs(laea)
    assert "Azimuthal" in name
    assert MosaicGrid.from_options(laea, 30).crs == name


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(-3, 12), Tile(5, -7)], ids=lambda t: t.id)
def test_a_tile_is_found_by_its_name(tile: Tile) -> None:
    assert Tile.from_id(tile.id) == tile


@pytest.mark.parametrize("name", ["", "x1", "x1_y2/../..", "x1.5_y2", "y1_x2"])
def test_other_names_are_no_tiles(name: str) -> None:
    with pytest.raises(GridError, match="not the name of a tile"):
        Tile.from_id(name)


def test_an_extent_of_nothing_is_refused() -> None:
    with pytest.raises(GridError, match="no tile"):
        Extent.of([])


def test_tiles_lie_side_by_side_in_their_extent() -> None:
    tiles = [Tile(-1, 2), Tile(1, 3)]
    extent = Extent.of(tiles)
    whole = SMALL.extent_grid(extent)
    for tile in tiles:
        region, own = SMALL.region(tile, extent), SMALL.tile_grid(tile)
        west, _, _, north = own.bounds
        assert whole.transform[2] + 30 * region.x[0] == west
        assert whole.transform[5] - 30 * region.y[0] == north
        assert region.shape == (own.height, own.width)


def test_a_tile_outside_the_extent_has_no_region() -> None:
    with pytest.raises(GridError, match="outside"):
        SMALL.region(Tile(5, 0), Extent(0, 0, 2, 2))


def _tiles_of_all_pixels(grid: MosaicGrid, pixels: PixelGrid) -> set[Tile]:
    """Tiles under the centres and corners of every pixel, one by one."""
    steps = np.arange(0, 2 * max(pixels.height, pixels.width) + 1) / 2
    column, row = np.meshgrid(steps[: 2 * pixels.width + 1], steps[: 2 * pixels.height + 1])
    a, _, c, _, e, f = pixels.transform
    move = Transformer.from_crs(pixels.crs, grid.crs, always_xy=True).transform
    x, y = move(c + a * column.ravel(), f + e * row.ravel())
    size = grid.tile_px * grid.resolution_m
    ix = np.floor((np.asarray(x) - grid.anchor[0]) / size)
    iy = np.floor((grid.anchor[1] - np.asarray(y)) / size)
    return {Tile(int(i), int(j)) for i, j in zip(ix, iy, strict=True)}


@PROPERTY
@given(GRIDS, SCENES)
def test_no_tile_that_a_scene_touches_is_missed(grid: MosaicGrid, pixels: PixelGrid) -> None:
    assert _tiles_of_all_pixels(grid, pixels) <= set(grid.tiles_over(pixels))


@PROPERTY
@given(GRIDS, SCENES)
def test_a_sparse_edge_leads_to_the_tiles_of_every_pixel_of_the_edge(
    grid: MosaicGrid, pixels: PixelGrid
) -> None:
    found, _ = grid._tiles_along(pixels, 1, slack=1.0)
    assert set(grid.tiles_over(pixels)) == found


@PROPERTY
@given(GRIDS, st.lists(SCENES, max_size=5))
def test_scenes_that_are_looked_at_together_touch_the_tiles_of_each_by_itself(
    grid: MosaicGrid, scenes: list[PixelGrid]
) -> None:
    assert grid.tiles_over_each(scenes) == [grid.tiles_over(pixels) for pixels in scenes]


def test_scenes_as_large_as_real_ones_touch_the_same_tiles_together() -> None:
    grid, places = MosaicGrid(), np.random.default_rng(5).uniform(size=(40, 2))
    scenes = [
        scene(2e5 + 6e5 * x, 9e6 * y, crs=f"EPSG:326{31 + i % 3}", height=1100 + i, width=1300 - i)
        for i, (x, y) in enumerate(places)
    ]
    assert grid.tiles_over_each(scenes) == [grid.tiles_over(pixels) for pixels in scenes]


def test_a_scene_that_the_grid_cannot_hold_leaves_the_others_their_tiles() -> None:
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180.0, -17.0)
    torn, whole = scene(x - 300, y, crs="EPSG:32660"), scene(x - 9000, y, crs="EPSG:32660")
    error, tiles = MosaicGrid().tiles_over_each([torn, whole])
    assert "180 degree" in str(error)
    assert tiles == MosaicGrid().tiles_over(whole)


def test_a_scene_beyond_the_crs_leaves_the_others_their_tiles() -> None:
    far, near = (PixelGrid("EPSG:6933", (30.0, 0.0, 0.0, 0.0, -30.0, y), 5, 5) for y in (9e6, 5e6))
    grid = MosaicGrid.from_options("EPSG:32633")
    error, tiles = grid.tiles_over_each([far, near])
    assert "area of definition" in str(error)
    assert tiles == grid.tiles_over(near)


def test_the_inside_of_a_large_scene_is_covered() -> None:
    found = set(SMALL.tiles_over(scene(400_000, 5_000_000, height=500, width=500)))
    assert found >= _tiles_of_all_pixels(SMALL, scene(400_000, 5_000_000, height=500, width=500))


def test_a_scene_beyond_the_crs_is_refused() -> None:
    far = PixelGrid("EPSG:6933", (30.0, 0.0, 0.0, 0.0, -30.0, 9e6), 5, 5)
    with pytest.raises(GridError, match="area of definition"):
        MosaicGrid.from_options("EPSG:32633").tiles_over(far)


def test_a_scene_across_the_180_degree_meridian_is_refused() -> None:
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180.0, -17.0)
    with pytest.raises(GridError, match="180 degree"):
        MosaicGrid().tiles_over(scene(x - 300, y, crs="EPSG:32660"))


@pytest.mark.parametrize("every_px", [1, 16])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1)], ids=["one-row", "one-column"])
def test_a_strip_one_pixel_wide_across_the_180_degree_meridian_is_torn(
    shape: tuple[int, int], every_px: int
) -> None:
    lonlat = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True)
    x, y = lonlat.transform(180.0, -17.0)  # the meridian leans by a degree against the columns
    size = 300.0 if shape[0] == 1 else 30_000.0
    across = (size, 0.0, x - size * shape[1] / 2, 0.0, -size, y + size * shape[0] / 2)
    strip = PixelGrid("EPSG:32660", across, *shape)
    with pytest.raises(GridError, match="180 degree"):
        outline(strip, "EPSG:6933", every_px)


FAR_SOUTH = st.builds(
    lambda lon, lat, px, shape: (lon, lat, px, shape),
    st.floats(-2.9, 2.9),
    st.floats(-83.0, -60.0),
    st.sampled_from([1.0, 30.0, 1000.0]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)


@PROPERTY
@given(FAR_SOUTH, st.sampled_from([1, 16]))
@example((0.0, -80.2, 30.0, (1, 16)), 16)
@example((0.0, -80.2, 30.0, (16, 1)), 16)
def test_no_scene_is_torn_by_distortion_near_the_pole(
    where: tuple[float, float, float, tuple[int, int]], every_px: int
) -> None:
    east_of_meridian, latitude, size, shape = where
    lonlat = Transformer.from_crs("EPSG:4326", "EPSG:32744", always_xy=True)
    x, y = lonlat.transform(81.0 + east_of_meridian, latitude)
    outline(PixelGrid("EPSG:32744", (size, 0.0, x, 0.0, -size, y), *shape), "EPSG:6933", every_px)


def _mapped(grid: MosaicGrid, pixels: PixelGrid) -> dict[tuple[int, int], tuple[int, int]]:
    """Scene pixel of every mosaic pixel that has one, by the mosaic pixel's global index."""
    found = {}
    for tile in grid.tiles_over(pixels):
        location = locate(grid.tile_grid(tile), pixels)
        if location is None:
            continue
        for i, j in zip(*np.nonzero(location.rows >= 0), strict=True):
            row = tile.iy * grid.tile_px + location.row + int(i)
            column = tile.ix * grid.tile_px + location.column + int(j)
            found[row, column] = (int(location.rows[i, j]), int(location.columns[i, j]))
    return found


@PROPERTY
@given(SCENES, st.sampled_from(["EPSG:6933", "EPSG:32633"]), st.sampled_from([30.0, 29.7]))
def test_the_map_does_not_depend_on_tile_size(pixels: PixelGrid, crs: str, size: float) -> None:
    one = MosaicGrid(crs, size, chunk_px=8, shard_px=8, tile_shards=1)
    other = MosaicGrid(crs, size, chunk_px=8, shard_px=40, tile_shards=3)
    assert _mapped(one, pixels) == _mapped(other, pixels)


@PROPERTY
@given(SCENES)
def test_each_pixel_takes_the_scene_pixel_under_its_centre(pixels: PixelGrid) -> None:
    move = Transformer.from_crs(SMALL.crs, pixels.crs, always_xy=True).transform
    a, _, c, _, e, f = pixels.transform
    for (row, column), (source_row, source_column) in _mapped(SMALL, pixels).items():
        x, y = move(30 * (column + 0.5), -30 * (row + 0.5))
        assert abs((x - c) / a - (source_column + 0.5)) <= 0.5 + 1e-5
        assert abs((y - f) / e - (source_row + 0.5)) <= 0.5 + 1e-5


def test_an_enmap_scene_is_not_resampled_in_its_own_zone() -> None:
    grid = MosaicGrid.from_options("EPSG:32633", 30)
    pixels = scene(300_015.0, 5_800_035.0)
    row0, column0 = round((15 - 5_800_035) / 30), round((300_015 - 15) / 30)
    expected = {
        (row0 + i, column0 + j): (i, j) for i in range(pixels.height) for j in range(pixels.width)
    }
    assert _mapped(grid, pixels) == expected


def test_grids_that_do_not_meet_have_no_map() -> None:
    assert locate(SMALL.tile_grid(Tile(0, 0)), scene(500_000, 6_000_000)) is None


def test_the_map_stays_in_the_window_of_the_scene() -> None:
    grid = MosaicGrid()
    pixels = scene(500_000, 5_000_000)
    location = locate(grid.tile_grid(grid.tiles_over(pixels)[0]), pixels)
    assert location is not None
    assert location.rows.size < 4 * pixels.height * pixels.width


@pytest.mark.parametrize(
    ("latitude", "shape"), [(30, (30, 30)), (45, (24, 37)), (60, (17, 52))], ids=str
)
def test_equal_area_cells_change_their_shape(latitude: float, shape: tuple[float, float]) -> None:
    assert cell_shape_m(latitude) == pytest.approx(shape, abs=0.6)


def test_the_shape_of_a_cell_agrees_with_geodesics() -> None:
    tile = SMALL.tiles_over(scene(500_000, 5_000_000))[0]
    grid = SMALL.tile_grid(tile)
    latitude = np.mean([lat for _, lat in footprint(grid)[:-1]])
    assert ground_size_m(grid) == pytest.approx(cell_shape_m(float(latitude)), rel=0.005)


def test_a_footprint_is_a_closed_counter_clockwise_ring() -> None:
    ring = footprint(scene(500_000, 5_000_000))
    turns = sum((x1 - x0) * (y1 + y0) for (x0, y0), (x1, y1) in itertools.pairwise(ring))
    assert ring[0] == ring[-1]
    assert turns < 0
