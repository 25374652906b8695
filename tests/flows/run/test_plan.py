"""A plan: from the catalogue's fields, whatever the number of scenes; what it says of memory."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.items import to_item
from catalog.local import add_items
from catalog.search import Query, search, select
from deepsalt.grid import MosaicGrid
from deepsalt.scenes.base import read_acquisition
from deepsalt.scenes.enmap import reader as enmap
from deepsalt.types import Acquisition
from flows.config import Compute, RunConfig, Selection
from flows.run.memory import memory_of, worker_memory
from flows.run.plan import make_plan
from flows.run.selection import find_scenes
from tests.benchmarks.scale.continent import continent
from tests.flows.conftest import Scenes, deepsalt

NUMBER = 300


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue over Africa; no Item has files behind it."""
    folder = tmp_path_factory.mktemp("wide")
    add_items(folder, (to_item(scene) for scene in continent(NUMBER)))
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hrefs of the rasters that are opened."""
    found: list[str] = []
    real = enmap.open_raster

    def counted(href: str) -> Any:
        found.append(href)
        return real(href)

    monkeypatch.setattr(enmap, "open_raster", counted)
    return found


@pytest.mark.parametrize(
    ("block_px", "threads", "measured_mb"),
    [(256, 1, 783), (256, 2, 926), (256, 4, 1225), (512, 1, 861), (512, 2, 1085), (512, 4, 1482)],
)
def test_memory_is_predicted_within_a_fifth_of_what_was_measured(
    block_px: int, threads: int, measured_mb: float
) -> None:
    scene = replace(next(continent(1)), block_shape=(block_px, block_px))
    assert abs(worker_memory([scene], threads) / 1e6 / measured_mb - 1) < 0.2


def config(catalogue: Path, out: Path, **compute: Any) -> RunConfig:
    scene = {"compute": Compute(**compute)}
    return RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(out), scene=scene)


def test_a_plan_over_a_continent_opens_no_file_and_counts_all(
    wide: Path, tmp_path: Path, opened: list[str]
) -> None:
    plan = make_plan(config(wide, tmp_path / "store"))
    scenes = list(continent(NUMBER))
    tiles = {tile for scene in scenes for tile in MosaicGrid().tiles_over(scene.grid)}
    assert (plan.scenes, plan.tiles, plan.refused) == (NUMBER, len(tiles), {})
    assert plan.scene_pixels == sum(scene.grid.height * scene.grid.width for scene in scenes)
    assert opened == []


def test_a_plan_counts_scenes_whose_local_files_are_gone(scenes: Scenes, tmp_path: Path) -> None:
    away = tmp_path / scenes.prisma.name
    shutil.copy(scenes.prisma, away)
    found = [to_item(read_acquisition(path)) for path in (scenes.west, away)]
    add_items(tmp_path / "catalogue", found)
    args = ("plan", "--catalogue", tmp_path / "catalogue", "--out", tmp_path / "store")
    assert "do not exist" not in deepsalt(*args).stdout
    away.unlink()
    said = deepsalt(*args).stdout
    assert f"missing   local files of 1 scenes do not exist, such as {away}" in said


def test_one_header_is_sampled_per_collection_and_version(
    scenes: Scenes, opened: list[str]
) -> None:
    west = replace(read_acquisition(scenes.west), block_shape=None)
    opened.clear()
    many = [
        replace(west, acquisition_id=f"{version}-{number}", version=version)
        for version in ("01.04.02", "01.05.02")
        for number in range(20)
    ]
    known = worker_memory([read_acquisition(scenes.west)], 1)
    opened.clear()
    assert worker_memory(many, 1) == known
    assert opened == [west.asset("image").href] * 2


def test_a_header_that_cannot_be_asked_counts_as_large_blocks(wide: Path) -> None:
    scene = next(continent(1))
    guessed = worker_memory([replace(scene, block_shape=None)], 2)
    assert guessed == worker_memory([replace(scene, block_shape=(512, 512))], 2)


def test_memory_depends_on_chunk_and_threads_not_on_the_number_of_scenes() -> None:
    scene = next(continent(1))
    assert worker_memory([scene] * 1000, 2) == worker_memory([scene], 2)
    assert worker_memory([scene], 4) > worker_memory([scene], 2)
    assert worker_memory([scene], 2, "cuda") > worker_memory([scene], 2)
    large = replace(scene, block_shape=(512, 512))
    assert worker_memory([scene, large], 2) == worker_memory([large], 2) > worker_memory([scene], 2)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_what_does_not_fit_a_worker_is_refused_before_anything_is_made(
    verb: str, catalogue: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    result = deepsalt(verb, "--catalogue", catalogue, "--out", store, "--memory", "400MB")
    assert getattr(result.exception, "exit_code", None) == 2
    assert "but has 0.4 GB" in str(result.exception)
    assert not store.exists()


def test_a_complete_store_needs_no_memory_for_chunks(catalogue: Path, mapped: Path) -> None:
    args = ("--catalogue", catalogue, "--out", mapped, "--threads", 1, "--json")
    assert json.loads(deepsalt("plan", *args).stdout)["worker_memory_bytes"] == worker_memory([], 1)


@pytest.mark.parametrize(
    ("compute", "share"),
    [({}, 1), ({"workers": 2}, 2), ({"workers": 3, "threads": 1}, 3)],
    ids=["threads", "2 workers", "3 workers"],
)
def test_workers_share_what_the_machine_has(compute: dict[str, int], share: int) -> None:
    whole = memory_of(Compute())
    assert whole is not None
    assert memory_of(Compute(**compute)) == whole // share


def test_memory_given_is_that_of_each_worker() -> None:
    assert memory_of(Compute.model_validate({"workers": 2, "memory": "4GB"})) == 4_000_000_000


def test_scenes_share_equal_tables(tmp_path: Path) -> None:
    first = next(continent(1))
    again = [replace(first, scene_id=f"s{n}", acquisition_id=f"a{n}") for n in range(3)]
    add_items(tmp_path, (to_item(scene) for scene in again))
    found = find_scenes(Selection(catalogue=str(tmp_path))).scenes
    assert len({id(scene.bands) for scene in found}) == 1


def test_an_item_that_cannot_be_used_does_not_stop_the_others(tmp_path: Path) -> None:
    scenes = list(continent(3))
    add_items(tmp_path, (to_item(scene) for scene in scenes))
    path = next(path for path in tmp_path.rglob("*.json") if scenes[1].scene_id in path.name)
    document = json.loads(path.read_text())
    next(iter(document["assets"].values()))["href"] = "<VRTDataset/>"
    path.write_text(json.dumps(document))
    found = find_scenes(Selection(catalogue=str(tmp_path)))
    assert len(found.scenes) == 2
    assert "VRTDataset" in found.refused[scenes[1].scene_id]


def test_the_newest_version_is_that_of_the_larger_numbers(tmp_path: Path) -> None:
    first = next(continent(1))
    versions = [replace(first, scene_id=v, version=v) for v in ("1.10", "1.9")]
    add_items(tmp_path, (to_item(scene) for scene in versions))
    found = find_scenes(Selection(catalogue=str(tmp_path))).scenes
    assert [scene.version for scene in found] == ["1.10"]


def test_select_goes_in_the_order_of_search(wide: Path) -> None:
    query = Query(limit=20, bbox=(0.0, -20.0, 40.0, 20.0))
    ids = select(wide, query, lambda document, _: document["id"])
    assert ids == [item.id for item in search(wide, query)]
    assert len(ids) == 20


def _acquisitions(number: int) -> list[Acquisition]:
    return list(continent(number, seed=number))


@pytest.mark.parametrize("resolution_m", [30.0, 500.0])
def test_a_sparse_edge_names_the_tiles_of_the_whole_edge(resolution_m: float) -> None:
    small = MosaicGrid(resolution_m=resolution_m, chunk_px=16, shard_px=256, tile_shards=1)
    settled = 0
    for scene in _acquisitions(30):
        every, _ = small._tiles_along(scene.grid, 1, slack=1.0)
        settled += small._tiles_along(scene.grid, 16, slack=2.0)[1]
        assert set(small.tiles_over(scene.grid)) == every
    assert settled > 0
