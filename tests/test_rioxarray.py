"""What analysts do with rioxarray to mosaics and products: nothing becomes something."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 registers the accessor `rio`
import xarray as xr
from rasterio.transform import from_bounds
from rasterio.warp import transform_bounds
from shapely.geometry import Polygon, mapping

from deepsalt.layers import CHANCE, CHANCE_FILL, CHANCE_STEP, DATE_FILL, MOSAIC_LAYERS
from deepsalt.plot import ece_classes
from deepsalt.plot.salt import NO_CLASS
from deepsalt.products import open_product
from deepsalt.versions import open_mosaic, open_repository
from tests.store.builders import REF, add_small, build, make_store

# rioxarray multiplies transforms in a way that affine is going to retire.
LAYERS = {layer.name: layer for layer in MOSAIC_LAYERS}
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def opened() -> dict[str, xr.Dataset]:
    store = make_store()
    names = [add_small(store, "a"), add_small(store, "b", column=30)]
    build(store)
    return {
        "mosaic": open_mosaic(open_repository(store.objects)).isel(period=0),
        "product": open_product(store, names[0]),
    }


def middle(ds: xr.Dataset) -> tuple[float, float, float, float]:
    """West, south, east and north of a box that scenes fill in part."""
    y, x = np.nonzero(np.isfinite(ds.salinity.values))
    west, east = sorted(ds.x.values[[x.min(), x.max()]])
    south, north = sorted(ds.y.values[[y.max(), y.min()]])
    return west, south, east, north


def triangle(ds: xr.Dataset) -> dict[str, object]:
    west, south, east, north = middle(ds)
    return mapping(Polygon([(west, south), (east, south), (west, north)]))


def window(array: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    return array.rio.clip_box(*middle(ds))


def warped(array: xr.DataArray) -> xr.DataArray:
    """Warp to another zone. The target is given: to find it GDAL makes a VRT, which processes that
    opened scenes do not have any more."""
    bounds = transform_bounds("EPSG:32633", "EPSG:32632", *array.rio.bounds())
    shape = (60, 60)
    return array.rio.reproject(
        "EPSG:32632", transform=from_bounds(*bounds, *shape[::-1]), shape=shape
    )


DONE: dict[str, Callable[[xr.DataArray, xr.Dataset], xr.DataArray]] = {
    "clip_box": window,
    "clip": lambda array, ds: array.rio.clip([triangle(ds)]),
    "pad_box": lambda array, ds: array.rio.pad_box(*np.add(middle(ds), (-900, -900, 900, 900))),
    "reproject": lambda array, ds: warped(window(array, ds)),
}


def cases() -> Iterator[tuple[str, str, str]]:
    for kind in ("mosaic", "product"):
        for name in LAYERS:
            if kind == "mosaic" or name in {"salinity", "salinity_lower", CHANCE, "quality_flags"}:
                yield from ((kind, name, done) for done in DONE)


@pytest.mark.parametrize(("kind", "layer", "done"), list(cases()))
def test_what_is_clipped_padded_or_warped_in_reads_as_nothing(
    opened: dict[str, xr.Dataset], kind: str, layer: str, done: str
) -> None:
    ds = opened[kind]
    result = DONE[done](ds[layer], ds)
    known = set(np.unique(ds[layer].values[np.isfinite(ds[layer].values)]))
    found = result.values[np.isfinite(result.values)]
    assert set(np.unique(found)) <= known | {LAYERS[layer].fill}
    if done != "clip_box":
        corner = result.values[..., 0, -1]
        nothing = LAYERS[layer].fill if result.dtype == np.uint16 else np.nan
        np.testing.assert_equal(corner, np.full(corner.shape, nothing, corner.dtype))


def test_a_polygon_holds_as_many_good_pixels_as_lie_in_it(opened: dict[str, xr.Dataset]) -> None:
    ds = opened["mosaic"]
    clipped = ds.rio.clip([triangle(ds)])
    good = int((clipped.quality_flags == 0).sum())
    flagged = (ds.quality_flags.values == 0).astype(np.uint8)
    inside = rasterio.features.geometry_mask(
        [triangle(ds)], flagged.shape, ds.rio.transform(), invert=True
    )
    assert good == int(flagged[inside].sum()) > 0


def test_flags_stay_bits_through_rioxarray(opened: dict[str, xr.Dataset]) -> None:
    ds = opened["mosaic"]
    assert ds.rio.clip([triangle(ds)]).quality_flags.dtype == np.uint16


def test_reindexing_makes_no_good_pixels(opened: dict[str, xr.Dataset]) -> None:
    ds = opened["mosaic"]
    wider = np.r_[ds.x.values, ds.x.values[-1] + 30 * np.arange(1, 50)]
    assert int((ds.reindex(x=wider).quality_flags == 0).sum()) == int((ds.quality_flags == 0).sum())


def test_days_are_written_to_a_raster_with_their_nodata(
    opened: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    ds = opened["mosaic"]
    ds.last_observed.rio.to_raster(tmp_path / "days.tif")
    with rasterio.open(tmp_path / "days.tif") as raster:
        days = raster.read(1)
        assert (raster.dtypes, raster.nodata) == (("int32",), DATE_FILL)
    known = ~np.isnan(ds.last_observed.values)
    np.testing.assert_array_equal(days[known], ds.last_observed.values[known])
    assert (days[~known] == DATE_FILL).all()


def test_a_raster_of_probabilities_has_a_band_per_threshold(
    opened: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    p_above = opened["product"].p_above
    p_above.rio.to_raster(tmp_path / "all.tif")
    p_above.sel(threshold=2).rio.to_raster(tmp_path / "above_2.tif")
    steps = (p_above / CHANCE_STEP).round().fillna(CHANCE_FILL)
    every, one = (rasterio.open(tmp_path / name) for name in ("all.tif", "above_2.tif"))
    with every, one:
        assert set(every.scales) == {CHANCE_STEP}
        np.testing.assert_array_equal(every.read(), steps)
        np.testing.assert_array_equal(one.read(1), steps.sel(threshold=2))


def test_classes_of_ece_become_a_raster_of_bytes(
    opened: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    found = ece_classes(opened["mosaic"], "usda", convert=(2.4, 0.3))
    found.ece_class.rio.to_raster(tmp_path / "usda.tif")
    with rasterio.open(tmp_path / "usda.tif") as raster:
        assert (raster.dtypes, raster.nodata) == (("uint8",), NO_CLASS)
        assert raster.crs.to_epsg() == 32633
        np.testing.assert_array_equal(raster.read(1), found.ece_class)


def test_days_become_dates_as_their_comment_says(opened: dict[str, xr.Dataset]) -> None:
    days = opened["mosaic"].last_observed
    assert days.attrs["units"] == "d"
    dates = np.datetime64("1970-01-01") + days.values * np.timedelta64(1, "D")
    assert str(np.nanmax(dates))[:10] == "2024-05-01"


def test_groups_say_their_time_axis_grid_and_history(opened: dict[str, xr.Dataset]) -> None:
    mosaic = opened["mosaic"]
    assert {"standard_name": "time", "axis": "T"}.items() <= mosaic.period.attrs.items()
    assert " deepsalt " in mosaic.attrs["history"]
    for ds in opened.values():
        assert ds.spatial_ref.attrs["long_name"]


def test_a_product_says_which_scene_and_model_it_is_of(opened: dict[str, xr.Dataset]) -> None:
    attrs = opened["product"].attrs
    assert attrs["scene_key"] == "test/a/1"
    assert attrs["model_digest"] == REF.digest
    assert "history" not in attrs  # whoever writes it writes the same bytes
