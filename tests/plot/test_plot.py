"""Quicklooks: what is counted, how it is reduced, and that a picture comes out."""

import itertools

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import FormatError
from deepsalt.grid import PixelWindow
from deepsalt.grid.georef import grid_of_layers, group_attrs, pixel_centers, pixel_grid_of
from deepsalt.plot import quicklook
from deepsalt.plot.picture import (
    CLASSES,
    OUTSIDE_CLASS,
    REASONS,
    SALINITY,
    assemble_picture,
    classify,
    picture_of,
)
from deepsalt.types import PixelGrid, QualityFlag

PNG = b"\x89PNG"


def layers(height: int, width: int, *, crs: str = "EPSG:32633", seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    quality_flags = np.zeros((1, height, width), np.uint16)
    quality_flags[rng.random(quality_flags.shape) < 0.3] = QualityFlag.CLOUD
    salinity = np.where(quality_flags, np.nan, rng.gamma(2.0, 4.0, quality_flags.shape)).astype(
        np.float32
    )
    grid = PixelGrid(crs, (30.0, 0.0, 400_005.0, 0.0, -30.0, 5_000_025.0), height, width)
    dims = ("period", "y", "x")
    return xr.Dataset(
        {"salinity": (dims, salinity), "quality_flags": (dims, quality_flags)},
        attrs=group_attrs(grid),
    )


def label_of(salinity: float, quality_flags: int = 0) -> str:
    index = classify(np.array([[salinity]]), np.array([[quality_flags]], np.uint16))[0, 0]
    return "not measured" if index == OUTSIDE_CLASS else CLASSES[index].label


@pytest.mark.parametrize(
    ("salinity", "label"),
    [
        (0, "0 - 0.5"),
        (1.99, "1 - 2"),
        (2, "2 - 4"),
        (7.9, "4 - 8"),
        (8, "8 - 16"),
        (90, "above 16"),
    ],
)
def test_salinity_falls_into_the_bins_of_the_usda_breaks(salinity: float, label: str) -> None:
    assert label_of(salinity) == label


@pytest.mark.parametrize(
    ("quality_flags", "label"),
    [
        (QualityFlag.OUTSIDE, "not measured"),
        (QualityFlag.CLOUD | QualityFlag.WATER, "cloud, cirrus"),
        (QualityFlag.CIRRUS, "cloud, cirrus"),
        (QualityFlag.WATER | QualityFlag.DRY_VEGETATION, "water"),
        (QualityFlag.DEFECTIVE, "saturated, defective"),
    ],
)
def test_a_pixel_without_estimate_shows_its_first_reason(quality_flags: int, label: str) -> None:
    assert label_of(np.nan, int(quality_flags)) == label


def test_colours_of_salinity_darken_steadily() -> None:
    """So that they can be told apart in grey and with any colour vision."""
    weights = (0.2126, 0.7152, 0.0722)
    rgb = [[int(k.color[i : i + 2], 16) for i in (1, 3, 5)] for k in SALINITY]
    luma = [sum(w * c for w, c in zip(weights, color, strict=True)) for color in rgb]
    assert all(a - b > 25 for a, b in itertools.pairwise(luma))


def test_every_reason_has_its_own_colour() -> None:
    assert len({k.color for k in CLASSES}) == len(SALINITY) + len(REASONS)


def test_shares_are_counted_before_coarsening() -> None:
    ds = layers(30, 5000).isel(period=0)
    picture = picture_of(ds)
    assert max(picture.classes.shape) <= 2000
    assert picture.counts[: len(SALINITY)].sum() == int(np.isfinite(ds.salinity).sum())


def test_a_cell_shows_what_most_of_its_pixels_are() -> None:
    ds = layers(30, 5000).isel(period=0)
    ds["salinity"].values[:], ds["quality_flags"].values[:] = 3.0, 0
    ds["salinity"].values[::3, ::3] = 30.0
    assert set(np.unique(picture_of(ds).classes)) == {[k.label for k in SALINITY].index("2 - 4")}


def test_coarse_cells_stay_where_their_pixels_were() -> None:
    grid = picture_of(layers(30, 5000).isel(period=0)).grid
    assert grid.transform == (90.0, 0.0, 400_005.0, 0.0, -90.0, 5_000_025.0)


def test_the_picture_is_cropped_to_what_was_measured() -> None:
    ds = layers(400, 400).isel(period=0)
    ds["quality_flags"].values[:] = QualityFlag.OUTSIDE
    ds["quality_flags"].values[100:200, 150:250] = 0
    picture = picture_of(ds)
    assert picture.classes.shape == (104, 104)
    assert picture.grid.bounds[0] == 400_005.0 + 30 * 148


@pytest.mark.parametrize(
    ("height", "width", "crs"),
    [(40, 60, "EPSG:32633"), (10, 200, "EPSG:6933"), (200, 10, "EPSG:32719"), (1, 1, "EPSG:3035")],
    ids=str,
)
def test_a_mosaic_of_any_shape_becomes_a_png(height: int, width: int, crs: str) -> None:
    png = quicklook(layers(height, width, crs=crs), simulated=True, note="a note " * 30)
    assert png.startswith(PNG)


def test_a_mosaic_without_a_measured_pixel_can_be_drawn() -> None:
    ds = layers(20, 20)
    ds["salinity"].values[:], ds["quality_flags"].values[:] = np.nan, QualityFlag.OUTSIDE
    assert quicklook(ds).startswith(PNG)


def test_a_simulation_looks_different() -> None:
    assert quicklook(layers(40, 60), simulated=True) != quicklook(layers(40, 60))


def test_a_dataset_that_lies_nowhere_is_refused() -> None:
    with pytest.raises(FormatError, match="spatial"):
        quicklook(layers(5, 5).drop_attrs())


def test_only_the_pieces_are_asked_for_and_what_lies_outside_them_is_not_measured() -> None:
    ds = layers(40, 5000).isel(period=0)
    pieces = [PixelWindow((0, 40), (0, 30)), PixelWindow((10, 40), (4900, 5000))]
    empty = np.ones((40, 5000), np.bool_)
    for piece in pieces:
        empty[slice(*piece.y), slice(*piece.x)] = False
    ds["salinity"].values[empty], ds["quality_flags"].values[empty] = np.nan, QualityFlag.OUTSIDE
    classes = classify(ds["salinity"].values, ds["quality_flags"].values)
    asked: list[PixelWindow] = []

    def classes_at(piece: PixelWindow) -> np.ndarray:
        asked.append(piece)
        return classes[slice(*piece.y), slice(*piece.x)]

    whole, some = picture_of(ds), assemble_picture(pixel_grid_of(ds.attrs), pieces, classes_at)
    np.testing.assert_array_equal(some.classes, whole.classes)
    np.testing.assert_array_equal(some.counts[:OUTSIDE_CLASS], whole.counts[:OUTSIDE_CLASS])
    assert asked == pieces


def placed(ds: xr.Dataset) -> xr.Dataset:
    y, x = pixel_centers(pixel_grid_of(ds.attrs))
    return ds.assign_coords(y=y, x=x)


def test_a_part_that_was_cut_out_is_painted_where_it_lies() -> None:
    ds = placed(layers(60, 80))
    part = ds.isel(period=0, y=slice(10, 40), x=slice(20, 70, 2))
    grid = grid_of_layers(part)
    assert (grid.height, grid.width) == (30, 25)
    assert grid.transform == (60.0, 0.0, 400_590.0, 0.0, -30.0, 4_999_725.0)
    assert quicklook(ds.isel(y=slice(10, 40), x=slice(20, 70, 2))).startswith(PNG)


def test_a_part_without_coordinates_is_refused() -> None:
    with pytest.raises(FormatError, match="30 x 80 pixels of 60 x 80, without coordinates"):
        quicklook(layers(60, 80).isel(y=slice(30)))


def test_a_part_that_is_not_evenly_spaced_is_refused() -> None:
    with pytest.raises(FormatError, match="x of these layers is not evenly spaced"):
        quicklook(placed(layers(60, 80)).isel(x=[1, 2, 4]))
