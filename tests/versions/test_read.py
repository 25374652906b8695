import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import StoreMissingError, UsageError, VersionMissingError
from deepsalt.grid import to_lonlat
from deepsalt.grid.georef import pixel_grid_of
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.versions import Build, Mosaic, open_mosaic
from deepsalt.versions.read import Reading
from tests.versions.world import (
    BEFORE,
    GRID,
    PX,
    YEAR,
    build_of,
    compose,
    new,
    period_tile_of,
    product,
    put,
    somewhere,
    tile,
)

NAMES = [product(2, 3), product(4, 5, y=1, shard=3)]


def made(place: str | Path) -> Mosaic:
    mosaic = new(place)
    put(mosaic, *NAMES)
    build_of(mosaic)([period_tile_of(name) for name in NAMES])
    return mosaic


@pytest.fixture(scope="module")
def mosaic() -> Mosaic:
    return made(somewhere())


@pytest.fixture(scope="module")
def ds(mosaic: Mosaic) -> xr.Dataset:
    return open_mosaic(mosaic)


def test_a_mosaic_is_cropped_to_the_tiles_with_data(ds: xr.Dataset) -> None:
    expected = {"period": 1, "threshold": 4, "y": 4 * PX, "x": 6 * PX, "bounds": 2}
    assert dict(ds.sizes) == expected


def test_layers_come_in_their_order_and_nothing_else(ds: xr.Dataset) -> None:
    assert list(ds.data_vars) == [layer.name for layer in MOSAIC_LAYERS]
    assert set(ds.coords) == {"period", "period_bounds", "threshold", "y", "x", "spatial_ref"}


def test_pixels_lie_where_their_tile_is(ds: xr.Dataset) -> None:
    pixels = GRID.tile_grid(tile(2))
    x = pixels.transform[2] + GRID.resolution_m / 2
    y = pixels.transform[5] - GRID.resolution_m / 2
    assert float(ds.salinity.sel(x=x, y=y).values[0]) == 3.0
    assert np.isnan(ds.salinity.sel(x=x + PX * GRID.resolution_m, y=y).values[0])


def test_attributes_place_the_crop(ds: xr.Dataset) -> None:
    grid = pixel_grid_of(ds.attrs)
    assert (grid.height, grid.width) == (4 * PX, 6 * PX)
    assert grid.transform[2] == GRID.tile_grid(tile(2)).transform[2]
    assert ds.spatial_ref.attrs["GeoTransform"].split()[0] == repr(grid.transform[2])
    assert ds.salinity.attrs["grid_mapping"] == "spatial_ref"


def test_an_opened_mosaic_tells_its_title_version_and_history(
    ds: xr.Dataset, mosaic: Mosaic
) -> None:
    assert ds.attrs["version_id"] == mosaic.head().short  # type: ignore[union-attr]
    assert "test" in ds.attrs["history"]
    assert ds.attrs["title"] == "Surface soil salinity"


def test_missing_days_are_missing_and_counts_stay_whole(ds: xr.Dataset) -> None:
    assert np.isnan(ds.last_observed.values).all()
    assert ds.observations.dtype == np.uint16
    assert ds.quality_flags.dtype == np.uint16


def test_dask_chunks_are_shards(ds: xr.Dataset) -> None:
    assert ds.salinity.chunks == ((1,), (PX,) * 4, (PX,) * 6)


def test_a_selection_is_a_graph_of_its_own_size(ds: xr.Dataset) -> None:
    part = ds.salinity.isel(y=slice(PX, 2 * PX), x=slice(PX, 3 * PX))
    graph = part.__dask_optimize__(part.__dask_graph__(), part.__dask_keys__())
    assert len(dict(graph)) <= 2 * 3 + 1


def test_other_chunks_may_be_asked_for(mosaic: Mosaic) -> None:
    assert open_mosaic(mosaic, chunks={"y": 2 * PX}).salinity.chunks[1] == (2 * PX, 2 * PX)


def test_without_chunks_no_dask_array_is_made(mosaic: Mosaic) -> None:
    ds = open_mosaic(mosaic, chunks=None)
    assert all(layer.chunks is None for layer in ds.data_vars.values())
    assert float(ds.salinity[0, 0, 0]) == 3.0


READING = """
import sys
from deepsalt.objects import Objects
from deepsalt.versions import open_mosaic, open_repository
ds = open_mosaic(open_repository(Objects.of(sys.argv[1])), chunks=None)
print(float(ds.salinity[0, 0, 0]))
print(sorted({"distributed", "torch", "prefect", "rasterio"} & set(sys.modules)))
"""


def test_reading_loads_no_scheduler_network_or_orchestration(tmp_path: Path) -> None:
    made(tmp_path)
    command = [sys.executable, "-c", READING, str(tmp_path)]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.split("\n")[:2] == ["3.0", "[]"]


def test_opening_reads_no_pixel(mosaic: Mosaic, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Reading.get

    async def get(self, key, prototype, byte_range=None):  # type: ignore[no-untyped-def]
        read.append(key)
        return await original(self, key, prototype, byte_range)

    monkeypatch.setattr(Reading, "get", get)
    ds = open_mosaic(mosaic)
    names = [layer.name for layer in MOSAIC_LAYERS]
    chunks = [key for key in read if key.partition("/c/")[0] in names and "/c/" in key]
    assert chunks == []
    ds.salinity[0, 0, 0].compute()
    assert any(key.startswith("salinity/c/") for key in read)


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_dataset_can_be_sent_elsewhere(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = request.getfixturevalue("bucket") if place == "s3" else tmp_path / "mosaic"
    sent = pickle.dumps(open_mosaic(made(where)))
    assert float(pickle.loads(sent).salinity[0, 0, 0].compute()) == 3.0


def test_a_bounding_box_crops_to_pixels(mosaic: Mosaic, ds: xr.Dataset) -> None:
    lon, lat = to_lonlat(GRID.crs, ds.x.values[[9, 12]], ds.y.values[[6, 3]])
    part = open_mosaic(mosaic, bbox=(lon[0], lat[0], lon[1], lat[1]))
    assert ds.x.values[9] in part.x.values
    assert ds.y.values[3] in part.y.values
    assert part.sizes["x"] <= 6
    assert part.sizes["y"] <= 6
    np.testing.assert_array_equal(part.salinity, ds.salinity.sel(x=part.x, y=part.y))
    assert pixel_grid_of(part.attrs).width == part.sizes["x"]


def test_chunks_of_a_crop_are_cut_where_shards_are(mosaic: Mosaic, ds: xr.Dataset) -> None:
    lon, lat = to_lonlat(GRID.crs, ds.x.values[[20, 80]], ds.y.values[[80, 12]])
    part = open_mosaic(mosaic, bbox=(lon[0], lat[0], lon[1], lat[1]))
    starts = np.cumsum((0, *part.salinity.chunks[2]))[1:-1]
    edges = (part.x.values[starts] - ds.x.values[0]) / GRID.resolution_m
    assert (edges % GRID.shard_px == 0).all()


@pytest.mark.parametrize(
    ("bbox", "said"),
    [
        ((10.0, 0.0, 5.0, 1.0), "not a bounding box"),
        ((0.0, 50.0, 1.0, 91.0), "not a bounding box"),
        ((-60.0, -30.0, -59.0, -29.0), "no data in"),
    ],
    ids=["turned", "beyond the pole", "elsewhere"],
)
def test_a_bounding_box_that_cannot_be_is_refused(
    mosaic: Mosaic, bbox: tuple[float, float, float, float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        open_mosaic(mosaic, bbox=bbox)


def test_a_box_around_the_world_takes_everything(mosaic: Mosaic, ds: xr.Dataset) -> None:
    assert open_mosaic(mosaic, bbox=(-180, -90, 180, 90)).sizes == ds.sizes


def test_the_version_of_a_moment_is_the_last_one_before(tmp_path: Path) -> None:
    mosaic = new(tmp_path / "mosaic")
    put(mosaic, product(0, 3))
    build_of(mosaic)([(YEAR, tile(0))])
    first = mosaic.head()
    assert first is not None
    put(mosaic, product(0, 4))
    build_of(mosaic)([(YEAR, tile(0))])
    then = open_mosaic(mosaic, at=first.created)
    assert then.attrs["version_id"] == first.short
    assert float(open_mosaic(mosaic, at=datetime.now(UTC)).salinity[0, 0, 0]) == 7.0
    with pytest.raises(VersionMissingError, match="has no version published by"):
        open_mosaic(mosaic, at=first.created - timedelta(seconds=1))


def test_a_version_and_a_moment_are_one_too_many(mosaic: Mosaic) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        open_mosaic(mosaic, version="A", at=datetime.now(UTC))


def test_a_store_without_a_published_mosaic_is_not_opened() -> None:
    with pytest.raises(StoreMissingError, match="no published mosaic"):
        open_mosaic(new())


def test_periods_with_gaps_between_their_slots_are_read_in_order() -> None:
    mosaic = new()
    wanted = {(YEAR, tile(0)): [product(0, 1)], (BEFORE, tile(1)): [product(1, 2)]}
    build = Build(mosaic, lambda period_tiles: wanted, compose)
    build([*wanted])
    ds = open_mosaic(mosaic)
    assert ds.period.dt.year.values.tolist() == [2023, 2024]
    assert ds.salinity[:, 0, 0].values.tolist()[1] == 1.0
    assert ds.salinity[:, 0, 2 * PX].values.tolist()[0] == 2.0
    wanted[BEFORE, tile(1)] = []
    build([*wanted])
    assert open_mosaic(mosaic).period.dt.year.values.tolist() == [2024]


def test_a_dataset_can_be_written_as_plain_zarr(mosaic: Mosaic, tmp_path: Path) -> None:
    ds = open_mosaic(mosaic)
    for layer in ds.data_vars.values():
        layer.encoding.clear()
    ds.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "plain.zarr", consolidated=False)
    np.testing.assert_array_equal(again.salinity.values, ds.salinity.values)
    assert (again.period.values == ds.period.values).all()
