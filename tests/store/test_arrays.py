"""Mosaic arrays: regions of whole shards, fill values, metadata readers expect."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import GridError, StoreError
from deepsalt.grid import Region
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.store import Period, create_mosaic, open_mosaic, write_region
from deepsalt.types import QualityFlag
from tests.store.builders import add_small, build, make_store, scene_grid

GRID = scene_grid(height=96, width=128)
PERIODS = [(date(2023, 1, 1), date(2023, 12, 31)), (date(2024, 1, 1), date(2024, 12, 31))]


@pytest.fixture
def group(tmp_path: Path) -> Path:
    path = tmp_path / "m.zarr"
    label = {"salinity": {"ec_method": "EC 1:2"}}
    create_mosaic(
        path, GRID, PERIODS, chunk_px=16, shard_px=32, attrs={"title": "t"}, layer_attrs=label
    )
    return path


def tile(height: int = 32, width: int = 32, value: float = 5.0) -> xr.Dataset:
    numbers = {
        "salinity": value,
        "salinity_lower": value / 2,
        "salinity_upper": value * 2,
        "quality_flags": 0,
        "observations": 1,
        "last_observed": 19844,
        "disagreement": np.nan,
    }
    return xr.Dataset(
        {
            layer.name: (("y", "x"), np.full((height, width), numbers[layer.name], layer.dtype))
            for layer in MOSAIC_LAYERS
        }
    )


def test_a_region_is_written_where_it_belongs(group: Path) -> None:
    write_region(tile(32, 64), group, Region((32, 64), (0, 64)), period_index=1)
    found = open_mosaic(group).salinity.values
    assert np.isfinite(found).sum() == 32 * 64
    assert (found[1, 32:64, 0:64] == 5.0).all()


@pytest.mark.parametrize(
    ("y", "x"),
    [((16, 48), (0, 32)), ((0, 32), (16, 48)), ((0, 48), (0, 32)), ((0, 32), (0, 33))],
    ids=["rows shifted", "columns shifted", "too tall", "one column more"],
)
def test_write_region_refuses_a_region_that_cuts_a_shard(
    group: Path, y: tuple[int, int], x: tuple[int, int]
) -> None:
    ds = tile(y[1] - y[0], x[1] - x[0])
    with pytest.raises(GridError, match="cuts a shard"):
        write_region(ds, group, Region(y, x), period_index=0)


@pytest.mark.parametrize(
    ("y", "x", "period"),
    [((96, 128), (0, 32), 0), ((-32, 0), (0, 32), 0), ((0, 0), (0, 32), 0), ((0, 32), (0, 32), 2)],
    ids=["below", "above", "empty", "no such period"],
)
def test_write_region_refuses_a_region_outside_the_mosaic(
    group: Path, y: tuple[int, int], x: tuple[int, int], period: int
) -> None:
    with pytest.raises(GridError, match=r"outside|is not one of"):
        write_region(tile(), group, Region(y, x), period_index=period)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.drop_vars("quality_flags"), StoreError, "quality_flags is missing"),
        (lambda ds: ds.assign(quality_flags=ds.quality_flags.astype("i8")), StoreError, "int64"),
        (lambda ds: ds.isel(x=slice(16)), GridError, "the region is"),
        (lambda ds: ds.expand_dims("period"), GridError, "the region is"),
    ],
    ids=["missing", "type", "shape", "dimension"],
)
def test_write_region_refuses_layers_that_do_not_fit(
    group: Path, change: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_region(change(tile()), group, Region((0, 32), (0, 32)), period_index=0)


def test_write_region_counts_pixels(group: Path) -> None:
    report = write_region(tile(), group, Region((0, 32), (0, 32)), period_index=0)
    assert (report.pixels, report.estimated, report.by_flag) == (1024, 1024, ())


def test_what_was_never_written_reads_as_outside_and_missing(group: Path) -> None:
    found = open_mosaic(group)
    assert (found.quality_flags == 1).all()
    assert (found.observations == 0).all()
    assert np.isnan(found.last_observed).all()
    assert np.isnan(found.salinity).all()


def test_only_shards_with_data_have_files(group: Path) -> None:
    write_region(tile(), group, Region((64, 96), (96, 128)), period_index=1)
    files = {p.relative_to(group).as_posix() for p in group.glob("*/c/*/*/*") if p.is_file()}
    layers = {layer.name for layer in MOSAIC_LAYERS} - {"disagreement"}
    assert files == {f"{name}/c/1/2/3" for name in layers}


def test_xarray_opens_a_mosaic_plainly(group: Path) -> None:
    write_region(tile(), group, Region((0, 32), (0, 32)), period_index=0)
    found = xr.open_zarr(group)
    assert found.salinity.dims == ("period", "y", "x")
    assert str(found.period.values[1])[:10] == "2024-01-01"
    assert str(found.period_bounds.values[0, 1])[:10] == "2023-12-31"
    assert found.last_observed.values[0, 0, 0] == 19844  # 2024-05-01


def test_metadata_is_consolidated(group: Path) -> None:
    consolidated = json.loads((group / "zarr.json").read_text())["consolidated_metadata"]
    assert set(consolidated["metadata"]) >= {layer.name for layer in MOSAIC_LAYERS} | {"x", "y"}


def test_layers_say_what_they_are(group: Path) -> None:
    found = open_mosaic(group)
    assert found.salinity.attrs["units"] == "dS m-1"
    assert found.salinity.attrs["ec_method"] == "EC 1:2"
    assert found.quality_flags.attrs["flag_masks"][:3] == [1, 2, 4]
    assert len(found.quality_flags.attrs["flag_meanings"].split()) == len(
        found.quality_flags.attrs["flag_masks"]
    )
    assert found.quality_flags.dtype == np.uint16


def test_shards_and_chunks_are_as_asked(group: Path) -> None:
    found = open_mosaic(group).salinity.encoding
    assert (found["chunks"], found["shards"]) == ((1, 16, 16), (1, 32, 32))


def test_opening_what_is_no_mosaic_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a Zarr group"):
        open_mosaic(tmp_path)


def test_filled_shards_are_those_with_something_measured(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    names = [add_small(store, "a"), add_small(store, "b", column=90)]
    layout = build(store, {Period.all(): names}).layout
    measured = (open_mosaic(store).quality_flags.values[0] & QualityFlag.OUTSIDE) == 0
    filled = [region for tile in layout.tile_manifests() for region in layout.filled(tile)]
    for region in filled:
        part = measured[slice(*region.y), slice(*region.x)]
        assert part.any()
        part[...] = False
    assert not measured.any()
    assert sum(math.prod(region.shape) for region in filled) < measured.size
