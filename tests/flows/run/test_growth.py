"""Cost, tasks and memory per scene do not grow with the number of scenes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from dask.callbacks import Callback

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_valid
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import predict_cube
from deepsalt.scenes import base
from tests.benchmarks.scale.continent import lattice
from tests.benchmarks.scale.growth import SCENE_PX, SPACING_PX, map_scenes

BLOCK_PX = 32


@pytest.fixture(autouse=True)
def _without_io(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base.SENSORS, "generic", ("tests.benchmarks.blank", "Reader"))


def grown(number: int, folder: Path) -> dict[str, Any]:
    scenes = lattice(number, size_px=SCENE_PX, spacing_px=SPACING_PX)
    add_items(folder / f"catalogue{number}", (to_item(scene) for scene in scenes))
    return map_scenes(folder / f"catalogue{number}", folder / f"store{number}")


class _Alive(Callback):
    """Most chunks of a size that Dask held at a time."""

    def __init__(self, chunk_bytes: int) -> None:
        super().__init__(posttask=self._look)
        self._bytes, self.most = chunk_bytes, 0

    def _look(self, key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
        held = (each for each in state["cache"].values() if isinstance(each, np.ndarray))
        bases = (each if each.base is None else each.base for each in held)
        large = {id(each) for each in bases if each.nbytes >= self._bytes}
        self.most = max(self.most, len(large))


@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_in_memory_are_as_many_as_threads_however_large_the_scene(threads: int) -> None:
    scene = next(lattice(1, size_px=6 * BLOCK_PX, spacing_px=1))
    scene = replace(scene, block_shape=(BLOCK_PX, BLOCK_PX))
    layers = predict_cube(mark_valid(open_scene(scene)), model_ref())
    alive = _Alive(BLOCK_PX**2 * len(scene.bands) * 2)
    with alive, dask.config.set(scheduler="threads", num_workers=threads):
        layers.compute()
    assert 0 < alive.most <= threads


def test_tasks_per_scene_do_not_depend_on_the_number_of_scenes(tmp_path: Path) -> None:
    one, three = grown(1, tmp_path), grown(3, tmp_path)
    assert one["tasks"] == three["tasks"] > 0


@pytest.mark.slow
def test_cost_per_scene_is_that_of_ten_scenes_at_a_hundred(tmp_path: Path) -> None:
    grown(1, tmp_path)  # imports, weights and fonts, once per process
    few, many = grown(10, tmp_path), grown(100, tmp_path)
    assert many["ms_per_scene"] < 1.3 * few["ms_per_scene"]
