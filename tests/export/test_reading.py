"""One function opens a mosaic wherever it is."""

import json
import subprocess
import sys
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from deepsalt import open_mosaic
from deepsalt.errors import DeepsaltError, StoreMissingError, UsageError
from deepsalt.export import export_mosaic
from deepsalt.grid import transform
from deepsalt.objects import Objects
from deepsalt.store import Store
from deepsalt.versions import open_mosaic as open_version
from tests.export import continent
from tests.export.world import GRID, YEARS, World, tile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions and its export."""
    folder = tmp_path_factory.mktemp("reading") / "store"
    Store.create(folder, grid=GRID, model="ab" * 32)
    world = World.at(folder)
    world.publish((YEARS[0], tile(0), ["a"]))
    world.publish((YEARS[0], tile(1), ["b"]))
    export_mosaic(world.mosaic, folder / "mosaic.zarr")
    return folder


def versions(folder: Path) -> list[Any]:
    """The versions, newest first."""
    return [*World.at(folder).mosaic.history()]


@pytest.mark.parametrize(
    "of",
    [str, Path, Objects.of, Store.open, lambda path: path.as_uri()],
    ids=["text", "path", "objects", "store", "uri"],
)
def test_a_store_is_opened_however_it_is_named(of: Any, folder: Path) -> None:
    assert open_mosaic(of(folder)).attrs["version_id"] == versions(folder)[0].short


def test_a_store_and_its_export_read_the_same(folder: Path) -> None:
    export = open_mosaic(folder / "mosaic.zarr")
    xr.testing.assert_identical(export.load(), open_mosaic(folder).load())


def test_a_version_of_a_store_is_opened_by_its_id(folder: Path) -> None:
    first = versions(folder)[1]
    assert open_mosaic(folder, version=first.short).attrs["version_id"] == first.short


@pytest.mark.parametrize(
    "form",
    [
        lambda at: at,
        lambda at: at.replace(tzinfo=None),
        lambda at: at.isoformat(),
        lambda at: at.replace(tzinfo=None).isoformat(),
    ],
    ids=["datetime", "naive", "text", "naive text"],
)
def test_a_time_opens_what_was_published_last_before_it(form: Any, folder: Path) -> None:
    second, first = versions(folder)
    moment = second.created - timedelta(microseconds=1)
    assert open_mosaic(folder, time=form(moment)).attrs["version_id"] == first.short


@pytest.mark.parametrize("form", [lambda day: day, lambda day: day.isoformat()])
def test_a_day_means_its_first_moment(form: Any, folder: Path) -> None:
    second, first = versions(folder)
    tomorrow = (second.created + timedelta(days=1)).date()
    assert open_mosaic(folder, time=form(tomorrow)).attrs["version_id"] == second.short
    with pytest.raises(DeepsaltError, match=r"has no version published by"):
        open_mosaic(folder, time=form(first.created.date()))


def test_what_is_no_moment_is_refused(folder: Path) -> None:
    with pytest.raises(
        UsageError, match=r"'yesterday' is not a time; give a time such as 2024-05-01"
    ):
        open_mosaic(folder, time="yesterday")


@pytest.mark.parametrize(
    "asked", [{"version": "abc"}, {"time": date(2024, 5, 1)}], ids=["version", "time"]
)
def test_an_export_has_no_other_versions(asked: dict[str, Any], folder: Path) -> None:
    with pytest.raises(UsageError, match="is an export, which holds one version; open the store"):
        open_mosaic(folder / "mosaic.zarr", **asked)


@pytest.mark.parametrize(
    ("name", "message"),
    [("x", "is neither a store nor an export of one"), ("s/mosaic.zarr", "open .*/s itself, or")],
    ids=["nothing", "no export in a store"],
)
def test_where_no_mosaic_is_a_sentence_says_so(name: str, message: str, tmp_path: Path) -> None:
    Store.create(tmp_path / "s", grid=GRID, model="ab" * 32)
    with pytest.raises(StoreMissingError, match=message):
        open_mosaic(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("part", ["", "mosaic.zarr"], ids=["store", "export"])
def test_a_bounding_box_crops_an_opened_mosaic(part: str, folder: Path) -> None:
    where = folder / part if part else folder
    whole = open_mosaic(where)
    x, y = (np.array([whole[axis].values[5], whole[axis].values[20]]) for axis in "xy")
    lon, lat = transform(GRID.crs, "EPSG:4326", x, y)
    bbox = (min(lon), min(lat), max(lon), max(lat))
    ds = open_mosaic(where, bbox=bbox)
    assert 15 <= ds.sizes["x"] <= 24
    assert 15 <= ds.sizes["y"] <= 24
    xr.testing.assert_equal(ds.salinity.load(), whole.salinity.sel(x=ds.x, y=ds.y).load())
    assert ds.attrs["spatial:shape"] == [ds.sizes["y"], ds.sizes["x"]]


@pytest.mark.parametrize("part", ["", "mosaic.zarr"], ids=["store", "export"])
def test_a_dask_chunk_is_a_shard_and_a_selection_has_a_small_graph(part: str, folder: Path) -> None:
    ds = open_mosaic(folder / part if part else folder)
    assert ds.salinity.data.chunksize == (1, GRID.shard_px, GRID.shard_px)
    (one,) = dask.optimize(ds.salinity.isel(y=slice(0, 4), x=slice(0, 4)))
    assert len(dict(one.__dask_graph__())) <= 3


def test_opening_loads_neither_torch_nor_prefect_nor_distributed(folder: Path) -> None:
    code = (
        f"import sys, deepsalt; deepsalt.open_mosaic({str(folder)!r}); "
        f"deepsalt.open_mosaic({str(folder / 'mosaic.zarr')!r}); "
        "print(' '.join(name.split('.')[0] for name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {*run.stdout.split()} & {"torch", "prefect", "distributed", "rasterio"}


def test_a_reader_beside_exports_sees_no_version_or_a_whole_one(tmp_path: Path) -> None:
    world, target = World.at(tmp_path / "store"), tmp_path / "x"
    known: dict[str, float] = {}

    def publish(name: str) -> None:
        version = world.publish(*((YEARS[0], tile(x), [name]) for x in range(3)))
        known[version.short] = float(np.nansum(open_version(world.mosaic, chunks=None).salinity))

    publish("0")
    export_mosaic(world.mosaic, target)
    over, seen, torn = threading.Event(), dict[str, int](), 0

    def read() -> None:
        nonlocal torn
        while not over.is_set():
            ds = xr.open_zarr(target, chunks=None)
            total = float(np.nansum(cropped(ds)))
            before, after = ds.attrs["version_id"], xr.open_zarr(target).attrs["version_id"]
            seen[before] = seen.get(before, 0) + 1
            if before and before == after and total != known[before]:
                torn += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 5):
            publish(str(number))
            export_mosaic(world.mosaic, target)
    finally:
        over.set()
        reader.join()
    assert torn == 0
    assert len({*seen} - {""}) > 1


def cropped(ds: xr.Dataset) -> np.ndarray:
    west, south, east, north = ds.attrs["data_bbox"]
    return ds.salinity.sel(x=slice(west, east), y=slice(north, south)).values


@pytest.mark.slow
def test_a_continent_of_200_000_shards_opens_in_300_megabytes(tmp_path: Path) -> None:
    continent.make(tmp_path / "store")
    run = subprocess.run(
        [sys.executable, "-m", "tests.export.opening", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = json.loads(run.stdout)
    print(found)
    assert found["peak_mb"] < 300
    assert found["graph_of_32_chunks"] < 3 * 32
