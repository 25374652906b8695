"""What must hold on a machine with a CUDA device, and what it takes there.

A scene is SIMULATED. The tolerance is that between any two platforms, `TOLERANCE_DS_M`: 0.01 dS/m
absolute plus 1 % relative, which `tests/model/test_platform.py` holds between instruction sets.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepsalt.model.platform import TOLERANCE_DS_M, platform
from deepsalt.products import find_marker, open_product
from deepsalt.store import Store
from tests.benchmarks.scenes import simulate
from tests.gpu.device import LOSSES, REHEARSAL

pytestmark = pytest.mark.gpu
SIZE_PX = 300 if os.environ.get(REHEARSAL) else 1200
DEVICE_BYTES = 500_000_000
"""Bound on the memory of a GPU, beside CUDA's own: by torch's counts on the CPU a batch takes 0.15
GB at most, the one beside it 0.05 GB, and the weights less; the allocator rounds up."""
FLAGS_DIFFER = 1e-4
"""Share of pixels whose advice may differ: their score lies at a threshold."""

Figures = dict[str, str]


def python(module: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a module of these in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.gpu.{module}", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def layers(store: Path, product: str) -> xr.Dataset:
    """Return the layers of a product."""
    return open_product(Store.open(store), product).load()


def computed_on(store: Path, product: str) -> str:
    """Return what a product says that it was computed on."""
    marker = find_marker(Store.open(store), product)
    assert marker is not None
    return str(marker.attrs["computed_on"])


def difference(found: xr.Dataset, wanted: xr.Dataset, name: str) -> float:
    """Return the largest difference of a layer, relative to one plus itself."""
    ours, theirs = found[name].values, wanted[name].values
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    return float(np.nanmax(np.abs(ours - theirs) / (1 + np.abs(theirs))))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="session")
def scene(folder: Path) -> Path:
    return simulate(folder, SIZE_PX)


@pytest.fixture(scope="session")
def mapped(scene: Path, folder: Path) -> dict[str, Any]:
    """What mapping the scene on the device took."""
    return python("scene", scene, folder / "cuda")


@pytest.fixture(scope="session")
def on_cpu(scene: Path, folder: Path) -> dict[str, Any]:
    """What mapping the scene on the CPU took."""
    return python("scene", scene, folder / "cpu", "--cpu")


@pytest.fixture(scope="session")
def wanted(on_cpu: dict[str, Any], folder: Path) -> xr.Dataset:
    """The layers of the CPU."""
    return layers(folder / "cpu", on_cpu["product"])


def test_the_device_alone_maps_a_scene(
    mapped: dict[str, Any], on_cpu: dict[str, Any], folder: Path, figures: Figures
) -> None:
    work = mapped["work"]
    assert computed_on(folder / "cuda", mapped["product"]).startswith("cuda ")
    assert ", in part" not in computed_on(folder / "cuda", mapped["product"])
    assert work["gpu_s"] == work["map_s"] > 0
    for where, took in (("on the device", mapped), ("on the CPU", on_cpu)):
        for stage in ("fetch", "map", "write"):
            figures[f"a scene {where}: {stage}"] = f"{took['work'][f'{stage}_s']:.2f} s"
        figures[f"a scene {where}, imports left out"] = f"{SIZE_PX**2 / took['wall_s']:,.0f} px/s"


@pytest.mark.parametrize("name", ["salinity", "salinity_lower", "salinity_upper"])
def test_the_device_differs_from_the_cpu_by_less_than_the_tolerance(
    name: str, mapped: dict[str, Any], wanted: xr.Dataset, folder: Path, figures: Figures
) -> None:
    largest = difference(layers(folder / "cuda", mapped["product"]), wanted, name)
    figures[f"{name}: largest difference over 1 + itself"] = f"{largest:.1e}"
    assert largest < TOLERANCE_DS_M


def test_the_device_gives_the_advice_of_the_cpu(
    mapped: dict[str, Any], wanted: xr.Dataset, folder: Path, figures: Figures
) -> None:
    found = layers(folder / "cuda", mapped["product"])["quality_flags"].values
    share = float((found != wanted["quality_flags"].values).mean())
    figures["pixels whose flags differ"] = f"{share:.1e}"
    assert share <= FLAGS_DIFFER


def test_the_memory_of_the_process_stays_within_the_plan(
    mapped: dict[str, Any], figures: Figures
) -> None:
    """Beside what CUDA itself takes, which `plan` does not know."""
    figures["memory of the process"] = f"{mapped['peak_bytes'] / 1e6:.0f} MB"
    figures["of it CUDA's own, before any work"] = f"{mapped['of_cuda_bytes'] / 1e6:.0f} MB"
    figures["memory by `plan`"] = f"{mapped['plan_bytes'] / 1e6:.0f} MB"
    assert 0 < mapped["peak_bytes"] - mapped["of_cuda_bytes"] < 1.2 * mapped["plan_bytes"]


def test_the_memory_of_the_device_is_bounded(mapped: dict[str, Any], figures: Figures) -> None:
    figures["memory of the device, beside CUDA's own"] = f"{mapped['device_bytes'] / 1e6:.0f} MB"
    assert mapped["device_bytes"] < DEVICE_BYTES


@pytest.mark.parametrize("how", LOSSES)
def test_a_scene_whose_device_is_lost_is_handed_back(how: str, scene: Path, folder: Path) -> None:
    found = python("scene", scene, folder / how, "--lose", how)
    assert found["batches"] >= 2
    assert "was abandoned because the device failed" in found["said"]
    assert not list((folder / how / "records").glob("done/*"))


@pytest.mark.parametrize("how", LOSSES)
def test_the_cpu_takes_over_where_a_store_may_be_mixed(
    how: str, scene: Path, wanted: xr.Dataset, folder: Path
) -> None:
    out = folder / f"{how}-mixed"
    found = python("scene", scene, out, "--mixed", "--lose", how)
    assert computed_on(out, found["product"]).endswith(f", in part {platform('cpu')}")
    assert difference(layers(out, found["product"]), wanted, "salinity") < TOLERANCE_DS_M


def test_without_a_visible_device_the_cpu_maps_the_scene(
    scene: Path, wanted: xr.Dataset, folder: Path
) -> None:
    found = python("scene", scene, folder / "none", CUDA_VISIBLE_DEVICES="", **{REHEARSAL: ""})
    assert computed_on(folder / "none", found["product"]) == platform("cpu")
    xr.testing.assert_equal(layers(folder / "none", found["product"]), wanted)


def test_the_speeds_of_the_student_and_of_each_step_before_it_are_told(
    scene: Path, figures: Figures, machine: Figures
) -> None:
    found = python("student", scene)
    machine |= found.pop("about")
    names = {
        "student_px_s": "the student on the device, by itself",
        "transfer_px_s": "spectra to the device and answers back, by itself",
        "feed_px_s": "scaled by all threads, moved and answered",
        "cpu_thread_px_s": "the student on one thread of the CPU",
    }
    for key, name in names.items():
        assert found[key] > 0
        figures[name] = f"{found[key]:,.0f} px/s"
    figures["decoding and masking a scene with all threads, by itself"] = (
        f"{found['decode_s']:.2f} s"
    )
