"""`map_scene` and `build_mosaic` as a library: an acquisition, a store and a context, no more."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepsalt import Context, Store, build_mosaic, map_scene, open_mosaic, read_acquisition
from deepsalt.effort import NO_WORK, Meter
from deepsalt.errors import DeviceError, StoppedError, StoreMismatchError
from deepsalt.grid import MosaicGrid
from deepsalt.model.load import model_ref
from deepsalt.model.platform import platform
from deepsalt.mosaic import Builder, period_tiles_of
from deepsalt.mosaic.tile import Composer
from deepsalt.products import ProductMarker, find_marker, product_name
from deepsalt.progress import Silent
from deepsalt.store import Period, keep_to_platform
from deepsalt.types import Acquisition
from deepsalt.versions import Job
from tests.made.enmap import write_enmap
from tests.model.devices import Fake, stand_in

_stores = itertools.count()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Acquisition:
    return read_acquisition(write_enmap(tmp_path_factory.mktemp("scene")))


@pytest.fixture
def store() -> Store:
    place = f"memory://mapping-{next(_stores)}"
    return Store.create(place, grid=MosaicGrid(), model=model_ref().digest)


@pytest.fixture
def context() -> Iterator[Context]:
    with Context.local(threads=2) as context:
        yield context


def test_two_calls_make_a_mosaic_of_a_scene(
    scene: Acquisition, store: Store, context: Context
) -> None:
    report = map_scene(scene, store, context)
    built = build_mosaic(store, context)
    assert (report.status, report.pixels) == ("written", 70 * 90)
    assert (built.added, built.held) == (1, False)
    seen = open_mosaic(store).observations.values
    assert int((seen > 0).sum()) > 0


def test_a_scene_that_is_there_is_not_mapped_again(
    scene: Acquisition, store: Store, context: Context
) -> None:
    first, second = (map_scene(scene, store, context) for _ in range(2))
    assert (second.status, second.by_flag) == ("present", first.by_flag)


def test_what_is_announced_is_written_before_the_product_counts(
    scene: Acquisition, store: Store, context: Context
) -> None:
    heard: list[tuple[str, bool]] = []

    def announce(marker: ProductMarker) -> None:
        heard.append((marker.name, find_marker(store, marker.name) is None))

    map_scene(scene, store, context, announce=announce)
    assert heard == [(product_name(scene, context.model), True)]


def test_a_product_says_what_computed_it(
    scene: Acquisition, store: Store, context: Context
) -> None:
    marker = find_marker(store, map_scene(scene, store, context).product)
    assert marker is not None
    assert marker.attrs["computed_on"] == platform("cpu")


def test_a_store_of_another_model_takes_no_product(scene: Acquisition, context: Context) -> None:
    other = Store.create(f"memory://mapping-{next(_stores)}", grid=MosaicGrid(), model="0" * 64)
    with pytest.raises(StoreMismatchError, match="not of"):
        map_scene(scene, other, context)


def test_scenes_in_many_threads_are_mapped_one_at_a_time_and_written_beside(
    scene: Acquisition, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads ask: one scene in the threads of the pool, one on its way out."""
    from deepsalt import mapping

    lock, now, most = threading.Lock(), {"map": 0, "write": 0}, {"map": 0, "write": 0}

    def counted(stage: str, work: object) -> object:
        def call(*args: object, **more: object) -> object:
            with lock:
                now[stage] += 1
                most[stage] = max(most[stage], now[stage])
            try:
                return work(*args, **more)  # type: ignore[operator]
            finally:
                with lock:
                    now[stage] -= 1

        return call

    monkeypatch.setattr(mapping, "open_scene", counted("map", mapping.open_scene))
    monkeypatch.setattr(mapping, "write_product", counted("write", mapping.write_product))
    model = context.model.digest
    places = [f"memory://mapping-{next(_stores)}" for _ in range(6)]
    stores = [Store.create(place, grid=MosaicGrid(), model=model) for place in places]
    with ThreadPoolExecutor(6) as threads:
        reports = list(threads.map(lambda store: map_scene(scene, store, context), stores))
    assert {report.status for report in reports} == {"written"}
    assert most == {"map": 1, "write": 1}


def test_a_scene_is_given_up_when_the_work_is_stopped(scene: Acquisition, store: Store) -> None:
    class Stopping(Silent):
        def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
            context.stopped.set()

    with Context.local(threads=1, progress=Stopping()) as context, pytest.raises(StoppedError):
        map_scene(scene, store, context)
    assert find_marker(store, product_name(scene, context.model)) is None


@pytest.mark.parametrize("block", [32, 128], ids=["chunks", "one-chunk"])
def test_all_chunks_of_a_scene_are_told(block: int, store: Store, tmp_path: Path) -> None:
    class Counting(Silent):
        total = done = 0

        def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
            self.total += total

        def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
            self.done += units

    scene = read_acquisition(write_enmap(tmp_path, block=block))
    heard = Counting()
    with Context.local(threads=1, progress=heard) as context:
        map_scene(scene, store, context)
    assert heard.done == heard.total > 0


def test_a_store_keeps_to_one_kind_of_machine(store: Store) -> None:
    keep_to_platform(store, "x86_64 AVX2")
    keep_to_platform(store, "x86_64 AVX2")
    with pytest.raises(StoreMismatchError, match="computed on x86_64 AVX2"):
        keep_to_platform(store, "cuda NVIDIA H200")
    keep_to_platform(store, "x86_64 AVX2")


def test_a_store_is_mixed_when_that_is_asked_for(store: Store) -> None:
    keep_to_platform(store, "x86_64 AVX2")
    keep_to_platform(store, "x86_64 AVX512", mixed=True)
    with pytest.raises(StoreMismatchError):
        keep_to_platform(store, "x86_64 AVX2")


def test_the_library_needs_neither_catalogue_nor_orchestration(tmp_path: Path) -> None:
    code = """
import sys
from deepsalt import Context, map_scene, build_mosaic
with Context.local(threads=1):
    pass
rooms = {name.split(".")[0] for name in sys.modules}
print(sorted(rooms & {"catalog", "flows", "pystac", "prefect", "typer"}))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip() == "[]"


def test_tiles_composed_ahead_are_not_composed_again(
    scene: Acquisition, store: Store, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    compose = Composer.__call__

    def counted(self: Composer, into: Any, job: Job) -> Any:
        calls.append(job.tile.id)
        return compose(self, into, job)

    monkeypatch.setattr(Composer, "__call__", counted)
    plain = Store.create(
        f"memory://mapping-{next(_stores)}", grid=MosaicGrid(), model=context.model.digest
    )
    product = map_scene(scene, store, context).product
    map_scene(scene, plain, context)
    period_tiles = period_tiles_of(store, [product], Period.all())
    with Builder(store, context.executor) as builder:
        assert builder.ahead(period_tiles, known=[product], tiles=len(period_tiles)) == len(
            period_tiles
        )
        build_mosaic(store, context, period_tiles=period_tiles, builder=builder)
    assert sorted(calls) == sorted(tile.id for _, tile in period_tiles)
    build_mosaic(plain, context)
    for name, layer in open_mosaic(store).items():
        np.testing.assert_array_equal(layer.values, open_mosaic(plain)[name].values)


def test_a_report_says_what_a_scene_took(
    scene: Acquisition, store: Store, context: Context
) -> None:
    first, second = (map_scene(scene, store, context).work for _ in range(2))
    assert min(first.map_s, first.write_s) > 0
    assert (first.fetched_bytes, first.gpu_s) == (0, 0)  # a local scene, on the CPU
    assert second == NO_WORK


def test_a_meter_of_the_caller_knows_what_a_failed_scene_took(
    scene: Acquisition, store: Store, context: Context
) -> None:
    meter = Meter()
    context.stopped.set()
    with pytest.raises(StoppedError):
        map_scene(scene, store, context, meter=meter)
    assert meter.work.map_s > 0
    assert meter.work.write_s == 0


def test_a_scene_holds_a_gpu_while_it_is_mapped(
    scene: Acquisition, store: Store, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsalt.mapping.platform", lambda _: "cuda NVIDIA H200")
    work = map_scene(scene, store, context).work
    assert work.gpu_s == work.map_s > 0


def test_a_scene_whose_device_is_lost_is_abandoned(scene: Acquisition, store: Store) -> None:
    why = r"abandoned because the device failed \(out of memory\) and the CPU rounds differently"
    with stand_in(Fake(gone_after=1)), Context.local(threads=1, device="cuda") as context:
        for _ in range(2):  # nor is the next scene mapped by the CPU
            with pytest.raises(DeviceError, match=why):
                map_scene(scene, store, context)
    assert find_marker(store, product_name(scene, context.model)) is None


def test_the_cpu_takes_over_from_a_lost_device_where_a_store_may_be_mixed(
    scene: Acquisition, store: Store
) -> None:
    with (
        stand_in(Fake(gone_after=1)),
        Context.local(threads=1, device="cuda", mixed=True) as context,
    ):
        report = map_scene(scene, store, context)
    marker = find_marker(store, report.product)
    assert marker is not None
    assert marker.attrs["computed_on"] == f"cuda stand-in, in part {platform('cpu')}"
    with pytest.raises(StoreMismatchError, match=r"computed on cuda stand-in, in part"):
        keep_to_platform(store, "cuda stand-in")


def test_a_lost_device_does_not_keep_a_run_from_the_cpu(
    scene: Acquisition, store: Store, context: Context
) -> None:
    with stand_in(Fake(gone_after=1)), Context.local(threads=1, device="cuda") as on_device:
        with pytest.raises(DeviceError):
            map_scene(scene, store, on_device)
        report = map_scene(scene, store, context)
    assert report.status == "written"


def test_a_device_that_others_hold_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy() -> str:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCompile")

    with stand_in(Fake()):
        monkeypatch.setattr("torch.cuda.get_device_name", busy)
        with pytest.raises(DeviceError, match=r"busy or unavailable\); free it for this process"):
            platform("cuda")
