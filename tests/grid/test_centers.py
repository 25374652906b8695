"""Centres of pixels in another CRS: as PROJ gives them, whatever part of a grid is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepsalt.grid.centers as module
from deepsalt.grid import transform
from deepsalt.grid.centers import CELL_PX, centers
from deepsalt.types import PixelGrid

PLACES = {
    "EPSG:32645": (84.0, 41.0),
    "EPSG:32755": (147.0, -38.0),
    "EPSG:32614": (-100.0, 38.0),
    "EPSG:32633": (15.0, 78.0),
    "EPSG:4326": (20.0, 5.0),
}
TARGETS = ("EPSG:6933", "EPSG:8857", "EPSG:3857", "ESRI:54009", "ESRI:54030")
SIZES_M = st.sampled_from([4.9, 29.7, 30.0, 1000.0])


def grid_at(place: tuple[float, float], crs: str, size_m: float, edge_px: int) -> PixelGrid:
    x, y = transform("EPSG:4326", crs, *(np.array([each]) for each in place))
    return PixelGrid(crs, (size_m, 0.0, float(x[0]), 0.0, -size_m, float(y[0])), edge_px, edge_px)


def asked(grid: PixelGrid, crs: str) -> np.ndarray:
    """Return what PROJ says about each pixel of a grid (2, h, w)."""
    a, _, c, _, e, f = grid.transform
    x = c + a * (np.arange(grid.width) + 0.5)
    y = f + e * (np.arange(grid.height) + 0.5)
    return np.stack(transform(grid.crs, crs, *np.meshgrid(x, y)))


@given(st.sampled_from(sorted(PLACES)), st.sampled_from(TARGETS), SIZES_M)
def test_centres_are_those_of_proj_to_a_millionth_of_a_pixel(
    crs: str, target: str, size_m: float
) -> None:
    grid = grid_at(PLACES[crs], target, size_m, 2 * CELL_PX + 7)
    expected = asked(grid, crs)
    found = np.stack(centers(grid, crs, (0, 0, grid.height, grid.width)))
    pixel = np.hypot(*np.diff(expected, axis=2)).min()
    assert np.hypot(*(found - expected)).max() < 1e-6 * pixel


PARTS = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60))


@given(PARTS)
def test_a_part_has_the_centres_of_the_whole(part: tuple[int, int, int, int]) -> None:
    grid = grid_at((84.0, 41.0), "EPSG:6933", 30.0, 150)
    row, column, height, width = part
    place = (slice(row, row + height), slice(column, column + width))
    whole = centers(grid, "EPSG:32645", (0, 0, 150, 150))
    for all_of_it, some in zip(whole, centers(grid, "EPSG:32645", part), strict=True):
        np.testing.assert_array_equal(all_of_it[place], some)
    for all_of_it, some in zip(
        whole, centers(grid.window(*place), "EPSG:32645", (0, 0, height, width)), strict=True
    ):
        np.testing.assert_allclose(all_of_it[place], some, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("place", "target", "crs", "size_m"),
    [
        ((179.9, 10.0), "EPSG:32660", "EPSG:4326", 300.0),  # longitudes jump to -180
        ((0.0, 89.99), "EPSG:3413", "EPSG:4326", 300.0),  # around a pole
        ((170.0, 80.0), "ESRI:54009", "EPSG:4326", 9000.0),  # over the edge of the world
        ((84.0, 41.0), "EPSG:6933", "EPSG:32645", 5000.0),  # bent within a cell
    ],
    ids=["meridian", "pole", "edge", "large pixels"],
)
def test_where_a_polynomial_fails_proj_is_asked(
    place: tuple[float, float],
    target: str,
    crs: str,
    size_m: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: list[int] = []
    judge = module._wrong

    def judging(*args: np.ndarray) -> np.ndarray:
        wrong = judge(*args)
        failed.append(int(wrong.sum()))
        return wrong

    monkeypatch.setattr(module, "_wrong", judging)
    grid = grid_at(place, target, size_m, 4 * CELL_PX)
    found, expected = np.stack(centers(grid, crs, (0, 0, 128, 128))), asked(grid, crs)
    assert failed[0] > 0
    finite = np.isfinite(expected).all(axis=0)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=0), finite)
    np.testing.assert_allclose(found[:, finite], expected[:, finite], rtol=0, atol=1e-5)


def test_the_own_crs_needs_no_polynomial() -> None:
    grid = grid_at((84.0, 41.0), "EPSG:32645", 30.0, 40)
    x, y = centers(grid, "EPSG:32645", (2, 3, 5, 6))
    a, _, c, _, e, f = grid.transform
    np.testing.assert_allclose(x, c + a * (3.5 + np.arange(6))[None, :], rtol=1e-15)
    np.testing.assert_allclose(y, f + e * (2.5 + np.arange(5))[:, None], rtol=1e-15)
