"""What the benchmark compares is comparable: the same pixels, masks and estimates in each row."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import zarr

from deepsalt.predict.cube import RESULT
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.types import Acquisition, QualityFlag
from tests.benchmarks import rows
from tests.benchmarks.mapping import on_threads
from tests.benchmarks.measure import measure
from tests.benchmarks.others.floor import fetched, floor
from tests.benchmarks.others.loaders import map_cube, odc_cubes, odc_load, vrt_stack
from tests.benchmarks.others.published import map_published
from tests.benchmarks.run import prepare, summary, turns
from tests.benchmarks.scenes import AS_REAL, BAND, LAYOUTS, PIXEL, on_server
from tests.benchmarks.serve import serving

SIZE_PX = 64
# odc-geo calls what shapely and affine have deprecated.
odc_warns = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def scenes(root) -> dict[str, Acquisition]:
    return {layout: read_acquisition(pair[1]) for layout, pair in prepare(root, 16).items()}


@pytest.fixture(scope="module")
def ours(scenes, tmp_path_factory) -> dict[str, np.ndarray]:
    """The layers that stage 1 writes."""
    out = tmp_path_factory.mktemp("ours")
    with on_threads() as run:
        run(scenes[PIXEL], out)
    (product,) = (out / "scenes").glob("*.zarr")
    return layers(product)


def layers(path: Path) -> dict[str, np.ndarray]:
    group = zarr.open_group(path, mode="r")
    return {name: group[name][...] for name in RESULT.names}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert np.isfinite(expected["salinity"]).any()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_floor_writes_the_bits_that_we_do(layout, scenes, ours, tmp_path):
    floor(scenes[layout], tmp_path / "out")
    assert_same(layers(tmp_path / "out"), ours)


@pytest.mark.parametrize("layout", AS_REAL)
def test_the_floor_reads_all_of_a_clouded_scene_and_writes_our_bits(layout, scenes, tmp_path):
    floor(scenes[layout], tmp_path / "floor")
    with on_threads() as run:
        run(scenes[layout], tmp_path / "ours")
    (product,) = (tmp_path / "ours" / "scenes").glob("*.zarr")
    assert_same(layers(tmp_path / "floor"), layers(product))


def test_a_scene_as_real_ones_are_is_partly_padding_partly_cloud_partly_green(scenes):
    reader = open_reader(scenes[AS_REAL[0]])
    quality = reader.read_quality(0, 0, SIZE_PX, SIZE_PX)
    reader.close()
    outside, cloud = ((quality & int(bit)) > 0 for bit in (QualityFlag.OUTSIDE, QualityFlag.CLOUD))
    assert outside.mean() == pytest.approx(1 / 3, abs=0.02)
    assert 0.2 < cloud[~outside].mean() < 0.8


@odc_warns
def test_odc_stac_in_front_of_the_student_gives_the_same_bits(scenes, ours, tmp_path):
    map_cube(scenes[PIXEL], tmp_path / "out")
    assert_same(layers(tmp_path / "out"), ours)


@odc_warns
def test_odc_stac_reads_the_digital_numbers_of_the_file(scenes):
    image, _ = odc_cubes(scenes[BAND], rows.Window(16, 8, 32, 40))
    reader = open_reader(scenes[BAND])
    numbers = reader.read_window(16, 8, 32, 40)
    reader.close()
    differs = image.compute(scheduler="sync") != numbers
    assert differs.mean() < 1e-3  # our reader has put nodata where a band is defective
    assert (numbers[differs] == scenes[BAND].nodata).all()


@odc_warns
def test_odc_stac_reads_bands_of_their_own(scenes):
    loaded = odc_load(scenes[PIXEL], rows.whole(scenes[PIXEL]), ["image.1", "image.8"])
    image, _ = odc_cubes(scenes[PIXEL], rows.whole(scenes[PIXEL]))
    expected = image.compute(scheduler="sync")
    np.testing.assert_array_equal(loaded["image.8"].data[0].compute(scheduler="sync"), expected[7])


def test_stackstac_reads_the_first_bands_of_the_file(scenes):
    reader = open_reader(scenes[PIXEL])
    numbers = reader.read_window(0, 0, SIZE_PX, SIZE_PX)[: rows.SOME_BANDS]
    reader.close()
    good = numbers != scenes[PIXEL].nodata
    # In a process of its own, as in a benchmark: where deepsalt opened a raster there are no VRTs.
    with get_context("spawn").Pool(1) as pool:
        stacked = pool.apply(vrt_numbers, (scenes[PIXEL],))
    np.testing.assert_array_equal(stacked[good], numbers[good])


def vrt_numbers(acquisition: Acquisition) -> np.ndarray:
    return vrt_stack(acquisition).compute(scheduler="sync")


def test_the_published_student_estimates_the_pixels_that_ours_does(scenes, ours, tmp_path):
    map_published(scenes[PIXEL], tmp_path / "out")
    found = layers(tmp_path / "out")
    np.testing.assert_array_equal(np.isfinite(found["salinity"]), np.isfinite(ours["salinity"]))


def test_a_scene_fetched_in_ranges_is_the_scene(root, scenes, tmp_path):
    with serving(root, 0.0) as url:
        local = fetched(on_server(scenes[BAND], root, url), tmp_path)
    for role in ("image", "defective_pixel_mask", "quality_cloud"):
        expected = Path(scenes[BAND].asset(role).href).read_bytes()
        assert Path(local.asset(role).href).read_bytes() == expected


def test_the_server_answers_a_range_after_the_latency(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with serving(tmp_path, 0.1) as url:
        started = time.perf_counter()
        with urlopen(Request(f"{url}/file", headers={"Range": "bytes=10-19"})) as answer:
            assert (answer.status, answer.read()) == (206, bytes(range(10, 20)))
            assert answer.headers["Content-Range"] == "bytes 10-19/100"
    assert time.perf_counter() - started >= 0.1


class Busy(rows.Row):
    """A row whose child works for a while."""

    @contextmanager
    def start(self) -> Iterator[rows.Run]:
        spin = "import time\nwhile time.process_time() < 0.6: pass"
        yield lambda *_: subprocess.run([sys.executable, "-c", spin], check=True) and None


def test_the_work_of_child_processes_counts(scenes):
    assert measure(Busy("", ""), scenes[PIXEL], scenes[PIXEL])["cpu_s"] >= 0.5


def test_what_ran_on_a_part_is_extrapolated(scenes):
    full = measure(Busy("", ""), scenes[PIXEL], scenes[PIXEL])
    part = measure(Busy("", "", times=lambda _: 100.0), scenes[PIXEL], scenes[PIXEL])
    assert part["cpu_s"] > 50 * full["cpu_s"]
    assert rows.parts(scenes[PIXEL]) == 224 / rows.SOME_BANDS


def test_a_row_has_its_ratio_to_the_floor_of_its_own_case():
    def runs(*walls: float) -> list[dict[str, float]]:
        return [{"wall_s": wall, "cpu_s": wall, "peak_rss_mb": 1.0} for wall in walls]

    found = {
        (rows.FLOOR, "a"): runs(2.0, 9.0, 1.0),
        (rows.FLOOR, "b"): runs(100.0),
        ("ours, threads", "a"): runs(3.0, 3.0, 50.0),
    }
    row = summary("ours, threads", "a", 10, found)
    assert (row["wall_s"], row["ratio"], row["pixels_per_s"]) == (3.0, 1.5, 33)
    names = {"name", "case", "wall_s", "cpu_s", "peak_rss_mb", "pixels_per_s", "ratio"}
    assert names <= json.loads(json.dumps(row)).keys()


def test_rows_take_turns_and_slow_ones_run_once_per_case():
    order = list(turns(3, quick=False))
    assert [name for *_, name in order[-2:]] == [rows.FLOOR, rows.STAGE1]
    for case in rows.CASES:
        for name, row in rows.ROWS.items():
            wanted = 3 if row.repeated else 1
            there = row.everywhere or case == rows.CASES[0]
            if case in rows.REAL_CASES:
                there = name in (rows.FLOOR, rows.STAGE1)
            assert order.count((*case, name)) == (wanted if there else 0)


def test_a_quick_run_still_has_every_row():
    order = list(turns(1, quick=True))
    assert {name for *_, name in order} == set(rows.ROWS)
    assert {(layout, place) for layout, place, _ in order} == set(rows.QUICK_CASES)


HERE = Path(__file__).parent
BENCHMARKS = [path.relative_to(HERE).with_suffix("") for path in sorted(HERE.rglob("*.py"))]


@pytest.mark.parametrize("path", BENCHMARKS, ids=str)
def test_every_benchmark_can_be_imported(path: Path) -> None:
    name = ".".join(("tests.benchmarks", *path.parts)).removesuffix(".__init__")
    assert import_module(name).__file__ == str(HERE / path.with_suffix(".py"))


@pytest.mark.parametrize("name", rows.ROWS)
def test_every_row_finds_its_functions(name: str) -> None:
    row = rows.ROWS[name]
    assert all(callable(row.find(each)) for each in (row.name, row.before) if each)
