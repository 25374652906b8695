"""The run: union of scenes, resuming, quarantine, exit codes, equal arrays on every way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr

from catalog.publish.products import MODELS, MOSAICS, PRODUCTS
from deepsalt.cube import load
from deepsalt.errors import StoreError
from deepsalt.products import ProductMarker, write
from deepsalt.progress import Silent
from deepsalt.reading import open_mosaic
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.types import REJECTING, Acquisition
from flows import publication
from flows.config import RunConfig, Selection
from flows.run.run import run
from tests.flows.conftest import WEST_DAY, Scenes, deepsalt
from tests.waiting import wait_until


def arrays(store: Path | str) -> dict[str, np.ndarray]:
    """Return all layers of a mosaic as stored."""
    mosaic = open_mosaic(store)
    return {str(name): layer.values for name, layer in mosaic.data_vars.items()}


def assert_same(left: Path | str, right: Path | str) -> None:
    a, b = arrays(left), arrays(right)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_run_writes_the_layout_that_the_design_promises(mapped: Path) -> None:
    assert {path.name for path in mapped.iterdir()} == {
        "catalog.json",
        "collections",
        "models",
        "mosaic",
        "mosaic.lock",
        "mosaic.zarr",
        "quicklook.png",
        "records",
        "scenes",
        "store.json",
    }
    assert open_mosaic(mapped).salinity.dims == ("period", "y", "x")


def test_plain_xarray_opens_the_mosaic(mapped: Path) -> None:
    mosaic = xr.open_zarr(mapped / "mosaic.zarr")
    assert mosaic.salinity.attrs["units"] == "dS m-1"
    assert mosaic.last_observed.attrs["units"] == "d"


def test_every_cell_is_estimated_or_masked_with_a_reason(mapped: Path) -> None:
    mosaic = open_mosaic(mapped)
    estimated = np.isfinite(mosaic.salinity.values)
    rejected = (mosaic.quality_flags.values & np.uint16(REJECTING)) != 0
    assert estimated.sum() > 10_000
    np.testing.assert_array_equal(estimated, ~rejected)


def test_the_same_run_again_does_nothing_and_changes_nothing(catalogue: Path, store: Path) -> None:
    before = arrays(store)
    result = deepsalt("run", "--catalogue", catalogue, "--out", store, "--json")
    outcome = json.loads(result.stdout)
    assert {scene["status"] for scene in outcome["scenes"]} == {"present"}
    assert outcome["mosaic"]["composed"] == 0
    np.testing.assert_equal(arrays(store), before)


@pytest.mark.slow
def test_runs_over_parts_end_in_the_arrays_of_one_run(
    catalogue: Path, mapped: Path, tmp_path: Path
) -> None:
    for collection in ("prisma-l2d", "enmap-l2a"):
        result = deepsalt(
            "run", "--catalogue", catalogue, "--collection", collection, "--out", tmp_path / "store"
        )
        assert result.exit_code == 0, result.output
    assert_same(tmp_path / "store", mapped)


@pytest.mark.slow
def test_single_scenes_and_a_build_end_in_the_arrays_of_a_run(
    scenes: Scenes, mapped: Path, tmp_path: Path
) -> None:
    for path in scenes.all:
        assert deepsalt("scene", path, "--out", tmp_path / "store").exit_code == 0
    assert deepsalt("mosaic", "build", tmp_path / "store").exit_code == 0
    assert_same(tmp_path / "store", mapped)


def test_a_scene_is_written_while_the_next_one_is_mapped(
    catalogue: Path, mapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the second scene lets the first be written; one after the other they would wait."""
    opened, order = [threading.Event() for _ in range(3)], []

    def open_scene(acquisition: Acquisition) -> xr.Dataset:
        opened[len(order)].set()
        order.append(acquisition.scene_id)
        return really_open(acquisition)

    def write_product(*args: Any, **more: Any) -> ProductMarker:
        if len(order) < len(opened):
            assert opened[1].wait(timeout=60), "the next scene is not mapped meanwhile"
        return write.write_product(*args, **more)

    really_open = load.open_scene
    monkeypatch.setattr("deepsalt.mapping.open_scene", open_scene)
    monkeypatch.setattr("deepsalt.mapping.write_product", write_product)
    result = deepsalt("run", "--catalogue", catalogue, "--out", tmp_path / "store")
    assert result.exit_code == 0, result.output
    assert len(order) == 3
    assert_same(tmp_path / "store", mapped)


def test_a_product_that_cannot_be_written_ends_the_run(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_product(*_args: Any, **_more: Any) -> ProductMarker:
        raise StoreError("the disk is full; free space and run again")

    monkeypatch.setattr("deepsalt.mapping.write_product", write_product)
    result = deepsalt("run", "--catalogue", catalogue, "--out", tmp_path / "store")
    assert isinstance(result.exception, StoreError)
    assert "the disk is full" in str(result.exception)


@pytest.mark.slow
def test_worker_processes_end_in_the_same_arrays(
    catalogue: Path, mapped: Path, tmp_path: Path
) -> None:
    args = ["run", "--catalogue", catalogue, "--out", tmp_path / "store", "--workers", 1]
    command = [sys.executable, "-m", "flows", *map(str, args)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert_same(tmp_path / "store", mapped)


@pytest.mark.slow
def test_a_killed_scene_is_resumed_to_the_same_arrays(
    catalogue: Path, mapped: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    args = [sys.executable, "-m", "flows", "run", "--catalogue", catalogue, "--out", store]
    with subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # Killed as soon as the first product is complete: the second is under way.
        wait_until(lambda: [*store.glob("records/done/*.json")], "no product is complete")
        os.kill(process.pid, signal.SIGKILL)
    assert not (store / "mosaic.zarr").exists()
    assert deepsalt("run", "--catalogue", catalogue, "--out", store).exit_code == 0
    assert_same(store, mapped)


def test_what_a_killed_run_did_not_link_the_next_one_links(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = tmp_path / "store", ("run", "--catalogue", catalogue, "--limit", "1", "--out")

    def kill(*_: object, **__: object) -> None:
        raise StoreError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(publication, "publish_items", kill)
        assert isinstance(deepsalt(*run, store).exception, StoreError)
    assert deepsalt(*run, store).exit_code == 0
    linked = {
        item.collection_id
        for item in pystac.Catalog.from_file(store / "catalog.json").get_items(recursive=True)
    }
    assert linked == {"enmap-l2a", MODELS, PRODUCTS, MOSAICS}


def test_a_scene_with_a_flipped_bit_is_quarantined_and_the_rest_is_mapped(
    scenes: Scenes, tmp_path: Path
) -> None:
    """Neither GDAL nor HDF5 notices it: the cube of this product lies in its file as it is."""
    broken = Path(shutil.copy(scenes.prisma, tmp_path))
    deepsalt("ingest", broken, scenes.west, "--to", tmp_path / "catalogue")
    raw = bytearray(broken.read_bytes())
    raw[len(raw) // 2] ^= 64
    broken.write_bytes(raw)
    run = ("run", "--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store", "--json")
    result = deepsalt(*run)
    assert result.exit_code == 3
    reasons = [scene["reason"] for scene in json.loads(result.stdout)["scenes"]]
    assert sorted(reason is None for reason in reasons) == [False, True]
    assert "does not have the checksum in its catalogue" in str(reasons)


def test_a_truncated_scene_is_quarantined_and_the_rest_is_mapped(
    scenes: Scenes, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(scenes.west, tmp_path / scenes.west.name))
    deepsalt("ingest", broken, scenes.prisma, "--to", tmp_path / "catalogue")
    image = next(broken.glob("*SPECTRAL_IMAGE.TIF"))
    os.truncate(image, image.stat().st_size // 2)
    args = ("run", "--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store", "--json")
    first, second = deepsalt(*args), deepsalt(*args)
    for result in (first, second):
        assert result.exit_code == 3
        outcome = json.loads(result.stdout)
        bad = [scene for scene in outcome["scenes"] if scene["status"] == "quarantined"]
        assert [image.name in scene["reason"] for scene in bad] == [True]
        assert outcome["mosaic"]["tiles"] > 0


@pytest.mark.slow
def test_a_quarantined_scene_that_was_mended_is_mapped_when_asked_for(
    scenes: Scenes, mapped: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(scenes.west, tmp_path / scenes.west.name))
    deepsalt("ingest", moved, scenes.east, scenes.prisma, "--to", tmp_path / "catalogue")
    image = next(moved.glob("*SPECTRAL_IMAGE.TIF"))
    whole = image.read_bytes()
    os.truncate(image, len(whole) // 2)
    args = ("run", "--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store")
    assert deepsalt(*args).exit_code == 3
    image.write_bytes(whole)
    assert deepsalt(*args, "--retry-quarantined").exit_code == 0
    assert_same(tmp_path / "store", mapped)


def test_scenes_whose_files_are_gone_are_said_once_and_count_no_bytes(
    scenes: Scenes, tmp_path: Path
) -> None:
    class Counting(Silent):
        read = 0

        def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
            self.read += size_bytes

    away = tmp_path / "away"
    for path in (scenes.west, scenes.east):
        shutil.copytree(path, away / path.name)
    deepsalt("ingest", away, "--to", tmp_path / "catalogue")
    shutil.rmtree(away)
    counting, out = Counting(), str(tmp_path / "store")
    found = Selection(catalogue=str(tmp_path / "catalogue"))
    assert run(RunConfig(selection=found, out=out), counting).exit_code == 1
    assert counting.read == 0
    result = deepsalt("run", "--catalogue", tmp_path / "catalogue", "--out", out)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].endswith("(2 in all)")
    assert lines[1].startswith("missing      2 of 2 scenes, for the reasons listed; run")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--crs", "EPSG:32644"], "has a grid of EPSG:6933"),
        (["--resolution", "60"], "has a grid of EPSG:6933"),
        (["--datetime", "2024-01-01/2024-12-31"], "periods"),
    ],
    ids=["crs", "resolution", "period layout"],
)
def test_a_store_of_another_kind_is_refused(
    catalogue: Path, store: Path, options: list[str], sentence: str
) -> None:
    result = deepsalt("run", "--catalogue", catalogue, "--out", store, *options)
    assert getattr(result.exception, "exit_code", None) == 2
    assert sentence in str(result.exception)


def test_a_scene_that_the_grid_cannot_hold_is_quarantined_alone(
    scenes: Scenes, tmp_path: Path
) -> None:
    land = Landscape(5, 179.99, -17.0)
    torn = write_enmap(
        tmp_path, landscape=land, grid=utm_grid(179.99, -17.0, 120, 60), start=WEST_DAY, seed=4
    )
    deepsalt("ingest", torn, scenes.prisma, "--to", tmp_path / "catalogue")
    args = ("--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store", "--json")
    plan = json.loads(deepsalt("plan", *args).stdout)
    assert (plan["scenes"], list(plan["refused"])) == (1, [torn.name])
    result = deepsalt("run", *args)
    assert result.exit_code == 3
    outcome = json.loads(result.stdout)
    bad = [scene for scene in outcome["scenes"] if scene["status"] == "quarantined"]
    assert ["180 degree meridian" in scene["reason"] for scene in bad] == [True]
    assert outcome["mosaic"]["tiles"] > 0


@pytest.mark.slow
def test_a_product_that_is_away_is_mapped_when_it_is_back(scenes: Scenes, tmp_path: Path) -> None:
    product = Path(shutil.copytree(scenes.west, tmp_path / scenes.west.name))
    deepsalt("ingest", product, scenes.prisma, "--to", tmp_path / "catalogue")
    args = ("run", "--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store", "--json")
    away = product.rename(tmp_path / "away")
    first = deepsalt(*args)
    assert first.exit_code == 3
    assert "failed" in {scene["status"] for scene in json.loads(first.stdout)["scenes"]}
    away.rename(product)
    assert deepsalt(*args).exit_code == 0
