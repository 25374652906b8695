"""Scene products: named by content, written once, complete or not there."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deepsalt.errors import GridError, StoreError
from deepsalt.products import (
    complete_products,
    is_complete,
    newest_versions,
    open_product,
    product_key,
    product_name,
    read_marker,
    verify_product,
    write_product,
)
from deepsalt.types import QualityFlag
from tests.store.builders import REF, acquisition, add_product, layers, scene_grid

ACQUISITION = acquisition()


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return tmp_path / f"{add_product(tmp_path, ACQUISITION)}.zarr"


@pytest.mark.parametrize(
    "other",
    [
        product_name(acquisition("b"), REF),
        product_name(acquisition(version="2"), REF),
        product_name(ACQUISITION, replace(REF, digest="cd" * 32)),
        product_name(ACQUISITION, REF, "other configuration"),
    ],
    ids=["acquisition", "provider version", "model", "configuration"],
)
def test_whatever_changes_values_changes_the_name(other: str) -> None:
    assert other != product_name(ACQUISITION, REF)


def test_a_name_is_safe_as_a_file_name() -> None:
    name = product_name(replace(ACQUISITION, acquisition_id="../a b/\N{SNOWMAN}" + "x" * 300), REF)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert len(name) < 120


def test_what_is_written_is_read_back(product: Path) -> None:
    expected, found = layers(ACQUISITION.grid), open_product(product)
    for name in ("salinity", "salinity_lower", "salinity_upper", "quality_flags"):
        np.testing.assert_array_equal(found[name].values, expected[name].values)
        assert found[name].dtype == expected[name].dtype


def test_coordinates_are_pixel_centres(product: Path) -> None:
    found = open_product(product)
    assert (float(found.x[0]), float(found.y[0])) == (300030.0, 5800020.0)


def test_a_product_opens_lazily(product: Path) -> None:
    assert isinstance(open_product(product).salinity.data, da.Array)


def test_a_product_is_georeferenced_both_ways(product: Path) -> None:
    found = open_product(product)
    assert found.attrs["proj:code"] == "EPSG:32633"
    assert found.attrs["spatial:transform"] == list(ACQUISITION.grid.transform)
    assert "UTM zone 33N" in found.spatial_ref.attrs["crs_wkt"]
    assert found.spatial_ref.attrs["GeoTransform"] == "300015.0 30.0 0.0 5800035.0 0.0 -30.0"
    assert found.salinity.attrs["grid_mapping"] == "spatial_ref"


def test_the_marker_keeps_what_the_mosaic_needs(product: Path) -> None:
    marker = read_marker(product)
    assert marker.scene_key == ACQUISITION.key
    assert marker.grid == ACQUISITION.grid
    assert marker.footprint == ACQUISITION.footprint
    assert (marker.start, str(marker.day)) == (ACQUISITION.start, "2024-05-01")
    assert marker.label == {"ec_method": "EC 1:2"}
    assert marker.simulated


def test_the_report_counts_pixels(tmp_path: Path) -> None:
    ds = layers(ACQUISITION.grid)
    add_product(tmp_path, ACQUISITION, ds)
    report = complete_products(tmp_path)[0].report
    assert report.pixels == 40 * 50
    assert report.estimated == int(np.isfinite(ds.salinity).sum())
    assert dict(report.by_flag)["cloud"] == int(
        (ds.quality_flags & int(QualityFlag.CLOUD) != 0).sum()
    )


def test_layers_are_computed_once_and_a_complete_product_never_again(tmp_path: Path) -> None:
    runs: list[int] = []

    def block(values: np.ndarray) -> np.ndarray:
        runs.append(1)
        return values

    ds = layers(ACQUISITION.grid)
    lazy = ds.copy()
    lazy["salinity"] = ds.salinity.copy(
        data=da.from_array(ds.salinity.values).map_blocks(block, meta=np.array((), np.float32))
    )
    add_product(tmp_path, ACQUISITION, lazy)
    add_product(tmp_path, ACQUISITION, lazy)
    assert len(runs) == 1


def test_a_folder_without_marker_is_unfinished_and_written_anew(product: Path) -> None:
    (product / "complete.json").unlink()
    (product / "left-behind").write_text("")
    assert not is_complete(product)
    add_product(product.parent, ACQUISITION)
    verify_product(product)
    assert not (product / "left-behind").exists()


def test_an_unfinished_product_cannot_be_read(product: Path) -> None:
    (product / "complete.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        open_product(product)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 3}'])
def test_a_damaged_marker_is_named(product: Path, content: str) -> None:
    (product / "complete.json").write_text(content)
    with pytest.raises(StoreError, match=r"complete\.json"):
        read_marker(product)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepsalt.products.write.sync_tree", full)
    with pytest.raises(StoreError, match="disk is full"):
        add_product(tmp_path, ACQUISITION)
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    from deepsalt.store.files import process_mark

    host = process_mark().rpartition(".")[0]
    killed = tmp_path / f".{product_name(ACQUISITION, REF)}~{host}.4194305~abc"
    killed.mkdir()
    add_product(tmp_path, ACQUISITION)
    assert not killed.exists()


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_verify_names_the_damaged_file(product: Path, damage: str) -> None:
    shard = product / "salinity" / "c" / "0" / "0"
    if damage == "remove":
        shard.unlink()
    else:
        content = bytearray(shard.read_bytes())
        content[10] ^= 1
        shard.write_bytes(content)
    with pytest.raises(StoreError, match="salinity/c/0/0"):
        verify_product(product)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.drop_vars("quality_flags"), StoreError, "no layer quality_flags"),
        (lambda ds: ds.isel(x=slice(1, None)), GridError, "its grid is"),
        (lambda ds: ds.transpose("x", "y"), GridError, "its grid is"),
        (lambda ds: ds.assign(salinity=ds.salinity.astype("f8")), StoreError, "float64"),
    ],
    ids=["missing layer", "other shape", "transposed", "other type"],
)
def test_layers_that_do_not_fit_are_refused(
    tmp_path: Path, change: object, error: type[Exception], message: str
) -> None:
    ds: xr.Dataset = change(layers(ACQUISITION.grid))  # type: ignore[operator]  # lambdas in a table
    with pytest.raises(error, match=message):
        add_product(tmp_path, ACQUISITION, ds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [(1, 1), (256, 257), (1100, 300)], ids=str)
def test_any_size_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    acq = acquisition(grid=scene_grid(height=size[0], width=size[1]))
    path = tmp_path / f"{add_product(tmp_path, acq, layers(acq.grid, salinity=3.0))}.zarr"
    assert float(open_product(path).salinity.min()) == 3.0


@pytest.mark.parametrize(
    ("older", "newer"), [("1", "2"), ("9", "10"), ("V010303", "V010501"), ("01.03.09", "01.03.10")]
)
def test_the_newest_provider_version_counts(tmp_path: Path, older: str, newer: str) -> None:
    names = [add_product(tmp_path, acquisition(version=v)) for v in (newer, older)]
    other = add_product(tmp_path, acquisition("b"))
    kept = {marker.name for marker in newest_versions(complete_products(tmp_path))}
    assert kept == {names[0], other}


def test_the_same_version_made_with_a_newer_model_counts_once(tmp_path: Path) -> None:
    add_product(tmp_path, ACQUISITION)
    newer = add_product(tmp_path, ACQUISITION, ref=replace(REF, digest="cd" * 32))
    assert [m.name for m in newest_versions(complete_products(tmp_path))] == [newer]


def test_a_scene_without_a_date_can_be_written(tmp_path: Path) -> None:
    add_product(tmp_path, acquisition(day=None))
    assert complete_products(tmp_path)[0].day is None


def test_another_writer_that_was_faster_wins(tmp_path: Path) -> None:
    """A product of the same name appears while ours is being computed."""
    name, ds = product_name(ACQUISITION, REF), layers(ACQUISITION.grid)

    def race(values: np.ndarray) -> np.ndarray:
        add_product(tmp_path, ACQUISITION, ds)
        return values

    slow = ds.copy()
    slow["salinity"] = ds.salinity.copy(
        data=da.from_array(ds.salinity.values).map_blocks(race, meta=np.array((), np.float32))
    )
    key = product_key(ACQUISITION, REF)
    write_product(slow, tmp_path, name=name, key=key, acquisition=ACQUISITION, ref=REF)
    verify_product(tmp_path / f"{name}.zarr")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.zarr"]
