"""Workers that would give other bits, and schedulers that mean something else, are refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.errors import RunError, StoreMismatchError
from deepsalt.store import Store
from flows.engines import cluster as cluster_module
from flows.engines import opening
from tests.engines.clusters import Cluster, cluster
from tests.engines.runs import command, run_on
from tests.flows.conftest import Scenes, remote_items
from tests.servers.ranges import file_server
from tests.servers.stac import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def kinds(folder: Path) -> Iterator[Cluster]:
    """A scheduler and a worker of this machine's instruction set."""
    with cluster(folder / "kinds", workers=1) as made:
        yield made


def test_workers_of_two_instruction_sets_are_refused(
    catalogue: Path, kinds: Cluster, tmp_path: Path
) -> None:
    old = kinds.worker(ATEN_CPU_CAPABILITY="default")
    kinds.wait_for(2)
    ended = command(catalogue, tmp_path / "store", "--scheduler", kinds.address)
    old.kill()
    assert ended.code == 1
    assert "which rounds differently; give workers of one kind" in ended.sentence
    assert not (tmp_path / "store" / "scenes").exists()


def test_a_store_is_not_mixed_unless_allowed(
    catalogue: Path, folder: Path, kinds: Cluster, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with cluster(folder / "old", workers=1, ATEN_CPU_CAPABILITY="default") as old:
        run_on(old.address, catalogue, store)
    computed_on = recorded(store)
    (store / "scenes").rename(tmp_path / "scenes")  # so that there is something to do
    (store / "records" / "done").rename(tmp_path / "done")
    with pytest.raises(StoreMismatchError, match="which rounds differently; use the same"):
        run_on(kinds.address, catalogue, store)
    assert not (store / "scenes").exists()
    run_on(kinds.address, catalogue, store, mixed=True)
    assert len(computed_on) == len(recorded(store)) == 1
    assert recorded(store) != computed_on


def recorded(store: Path) -> set[str]:
    """Return what products and their markers say they were computed on."""
    products = [
        json.loads(path.read_text())["attributes"]["computed_on"]
        for path in (store / "scenes").glob("*/zarr.json")
    ]
    markers = [
        json.loads(path.read_text())["attrs"]["computed_on"]
        for path in (store / "records" / "done").glob("*.json")
    ]
    assert len(products) == len(markers) == 3
    return {*products, *markers}


@pytest.mark.parametrize(
    ("preload", "why"),
    [
        ({"version": ["9.9"]}, r"has deepsalt 9\.9, this run"),
        ({"algorithm": [99]}, "has algorithm 99, this run"),
        ({"device": ["cuda NVIDIA H200"]}, "or --device cpu if not all have the device"),
        ({"without_deepsalt": []}, "cannot load deepsalt"),
    ],
    ids=["version", "algorithm", "device", "none"],
)
def test_a_worker_that_differs_is_refused_with_what_differs(
    preload: object, why: str, catalogue: Path, kinds: Cluster, tmp_path: Path
) -> None:
    other = kinds.worker(preload=preload)
    kinds.wait_for(2)
    with pytest.raises(RunError, match=why):
        run_on(kinds.address, catalogue, tmp_path / "store", device="cuda")
    other.kill()
    kinds.wait_for(1)
    assert not (tmp_path / "store" / "scenes").exists()


def test_a_worker_with_too_little_memory_is_refused(
    catalogue: Path, kinds: Cluster, tmp_path: Path
) -> None:
    small = kinds.worker("--memory-limit=300MB")
    kinds.wait_for(2)
    with pytest.raises(RunError, match=r"has 0\.3 GB of memory, but a scene would need about"):
        run_on(kinds.address, catalogue, tmp_path / "store")
    small.kill()
    kinds.wait_for(1)


def test_a_worker_with_too_little_scratch_is_refused(
    scenes: Scenes, kinds: Cluster, tmp_path: Path
) -> None:
    full = kinds.worker(preload={"small_disk": [1000]})
    kinds.wait_for(2)
    with (
        file_server(scenes.west.parent) as files,
        serving(remote_items(scenes.all, files.url)) as api,
        pytest.raises(RunError, match=r"of scratch files, but a scene has .* free disk space"),
    ):
        run_on(kinds.address, api.url, tmp_path / "store")
    full.kill()
    kinds.wait_for(1)
    assert not files.asked


def test_a_worker_without_the_device_that_is_asked_for_says_that_it_is_a_cpu(
    catalogue: Path, kinds: Cluster, tmp_path: Path
) -> None:
    run_on(kinds.address, catalogue, tmp_path / "store", device="cuda")
    assert all(name.startswith("x86_64 ") for name in recorded(tmp_path / "store"))


def test_a_scheduler_of_another_version_is_refused(
    catalogue: Path, folder: Path, tmp_path: Path
) -> None:
    with (
        cluster(folder / "other", preload={"dask_version": ["2024.1.0"]}) as other,
        pytest.raises(RunError, match=r"has version 2024\.1\.0, this process"),
    ):
        run_on(other.address, catalogue, tmp_path / "store")


def test_a_scheduler_without_workers_is_refused(
    catalogue: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "WORKERS_WAIT_S", 0.5)
    with (
        cluster(folder / "empty") as empty,
        pytest.raises(RunError, match="has no workers; start some with `dask worker tcp://"),
    ):
        run_on(empty.address, catalogue, tmp_path / "store")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tls://127.0.0.1:9", "nowhere", "a:b:c"])
def test_an_address_without_a_scheduler_is_refused(
    address: str, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(RunError, match="no Dask scheduler answers at"):
        run_on(address, catalogue, tmp_path / "store")
    assert not Store.exists(tmp_path / "store") or not (tmp_path / "store" / "scenes").exists()
