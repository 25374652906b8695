"""Quicklooks: what is counted, how it is reduced, and that a picture comes out."""

import itertools
from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from deepsalt.errors import FormatError
from deepsalt.grid import PixelWindow
from deepsalt.grid.georef import grid_of_layers, group_attrs, pixel_centers, pixel_grid_of
from deepsalt.layers import CHANCE
from deepsalt.plot import quicklook
from deepsalt.plot.map import Frame
from deepsalt.plot.picture import (
    MEAN,
    OUTSIDE_KIND,
    REASONS,
    SALINITY,
    SALT,
    SALTINESS,
    assemble_picture,
    classify,
    needed,
    picture_of,
)
from deepsalt.plot.salt import SaltRule
from deepsalt.types import PixelGrid, QualityFlag

PNG = b"\x89PNG"


def layers(height: int, width: int, *, crs: str = "EPSG:32633", seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    shape = (1, height, width)
    quality_flags = np.zeros(shape, np.uint16)
    quality_flags[rng.random(shape) < 0.3] = QualityFlag.CLOUD
    drawn = {
        "salinity": rng.gamma(2.0, 4.0, shape),
        "salinity_upper": rng.uniform(0.0, 4.0, shape),
    }
    grid = PixelGrid(crs, (30.0, 0.0, 400_005.0, 0.0, -30.0, 5_000_025.0), height, width)
    dims = ("period", "y", "x")
    ds = xr.Dataset(
        {
            **{
                name: (dims, np.where(quality_flags, np.nan, values).astype(np.float32))
                for name, values in drawn.items()
            },
            "quality_flags": (dims, quality_flags),
        },
        attrs=group_attrs(grid),
    )
    p = np.where(quality_flags, np.nan, rng.random(shape) ** 3).astype(np.float32)
    known = {"thresholds": [1.0], "base_rate": [0.1], "calibrated": ["yes"]}
    ds[CHANCE] = (("period", "threshold", "y", "x"), p[:, None], known)
    return ds.assign_coords(threshold=[1.0])


def uncalibrated(ds: xr.Dataset) -> xr.Dataset:
    """Return the layers of a model with too few salty soils."""
    ds[CHANCE].attrs["calibrated"] = ["no"]
    return ds


def label_of(salinity: float, quality_flags: int = 0) -> str:
    pixel = {
        "salinity": np.array([[salinity]]),
        "quality_flags": np.array([[quality_flags]], np.uint16),
    }
    index = MEAN.index[classify(pixel, None)[0, 0]]
    return [*(each.label for each in (*SALINITY, *REASONS)), "not measured"][index]


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


def test_everything_on_a_map_has_its_own_colour() -> None:
    assert len({*MEAN.colors}) == len(SALINITY) + len(REASONS) + 1
    assert len({*SALTINESS.colors}) == len(SALT) + len(REASONS) + 1


def test_shares_are_counted_before_coarsening() -> None:
    ds = layers(30, 5000).isel(period=0)
    picture = picture_of(ds)
    assert max(picture.kinds.shape) <= 2000
    estimated = int(np.isfinite(ds.salinity).sum())
    for theme in (MEAN, SALTINESS):
        assert theme.counted(picture.counts)[: len(theme.classes)].sum() == estimated


def test_a_cell_shows_what_most_of_its_pixels_are() -> None:
    ds = layers(30, 5000).isel(period=0)
    ds["salinity"].values[:], ds["quality_flags"].values[:] = 3.0, 0
    ds["salinity"].values[::3, ::3] = 30.0
    shown = np.unique(MEAN.index[picture_of(ds).kinds])
    assert [SALINITY[index].label for index in shown] == ["2 - 4"]


def test_a_cell_shows_the_class_of_salt_that_most_of_its_estimates_have() -> None:
    ds = layers(30, 5000).isel(period=0)
    ds["quality_flags"].values[:] = 0
    ds["salinity"].values[:] = np.arange(5000) % 3  # three classes of the mean in each cell
    ds[CHANCE].values[:] = np.where(np.arange(5000) % 3 == 0, 0.9, 0.2)
    shown = np.unique(SALTINESS.index[picture_of(ds).kinds])
    assert [SALT[index].label for index in shown] == ["salt possible"]


def test_both_maps_lack_an_estimate_in_the_same_cells() -> None:
    kinds = picture_of(layers(30, 5000).isel(period=0)).kinds
    mean, salt = (theme.index[kinds] >= len(theme.classes) for theme in (MEAN, SALTINESS))
    np.testing.assert_array_equal(mean, salt)
    assert 0 < mean.mean() < 1


def test_coarse_cells_stay_where_their_pixels_were() -> None:
    grid = picture_of(layers(30, 5000).isel(period=0)).grid
    assert grid.transform == (90.0, 0.0, 400_005.0, 0.0, -90.0, 5_000_025.0)


def test_the_picture_is_cropped_to_what_was_measured() -> None:
    ds = layers(400, 400).isel(period=0)
    ds["quality_flags"].values[:] = QualityFlag.OUTSIDE
    ds["quality_flags"].values[100:200, 150:250] = 0
    picture = picture_of(ds)
    assert picture.kinds.shape == (104, 104)
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


@pytest.mark.parametrize(
    ("height", "width", "beside"),
    [(40, 60, True), (200, 10, True), (60, 40, True), (10, 200, False), (30, 90, False)],
    ids=str,
)
def test_maps_lie_side_by_side_unless_they_are_wide(height: int, width: int, beside: bool) -> None:
    frame = Frame.of(picture_of(layers(height, width).isel(period=0)), 2, ["a note"])
    one, other = (axes.get_position() for axes in frame.maps)
    assert (one.y0 == other.y0, one.x0 == other.x0) == (beside, not beside)
    assert (one.width, one.height) == pytest.approx((other.width, other.height))


@pytest.mark.parametrize("shape", [(40, 60), (10, 400), (400, 10), (1, 1)], ids=str)
def test_a_picture_of_any_shape_fits_a_page(shape: tuple[int, int]) -> None:
    figure = Frame.of(picture_of(layers(*shape).isel(period=0)), 2, ["a note " * 30]).figure
    assert (figure.get_size_inches() < (16, 17)).all()


def test_without_a_calibrated_probability_only_the_mean_is_drawn() -> None:
    ds = layers(40, 60)
    two = Image.open(BytesIO(quicklook(ds)))
    one = Image.open(BytesIO(quicklook(uncalibrated(ds))))
    assert one.width < 0.7 * two.width


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
    rule = SaltRule.of(ds)
    of_rule = ds.squeeze("threshold")
    kinds = classify({name: of_rule[name].values for name in needed(rule)}, rule)
    asked: list[PixelWindow] = []

    def kinds_at(piece: PixelWindow) -> np.ndarray:
        asked.append(piece)
        return kinds[slice(*piece.y), slice(*piece.x)]

    whole, some = picture_of(ds), assemble_picture(pixel_grid_of(ds.attrs), pieces, kinds_at)
    np.testing.assert_array_equal(some.kinds, whole.kinds)
    np.testing.assert_array_equal(some.counts[:OUTSIDE_KIND], whole.counts[:OUTSIDE_KIND])
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
