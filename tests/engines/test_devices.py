"""Workers with a GPU of their own, which is the CPU behind its interface."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.errors import DeviceError
from deepsalt.model.platform import platform
from tests.engines.clusters import Cluster, cluster
from tests.engines.runs import run_on
from tests.engines.test_strangers import recorded

pytestmark = pytest.mark.slow
GPU = {"gpu": ["GPU"]}
LOST = {"gpu": ["GPU", 1]}
"""A GPU that is gone after its first batch."""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path / "cluster") as made:
        yield made


def test_each_worker_predicts_on_its_own_device(
    catalogue: Path, empty: Cluster, tmp_path: Path
) -> None:
    workers = [empty.worker(preload=GPU) for _ in range(2)]
    empty.wait_for(2)
    run_on(empty.address, catalogue, tmp_path / "store", device="cuda")
    assert recorded(tmp_path / "store") == {"cuda GPU"}
    assert all("predicting on the CPU" not in worker.said for worker in workers)


def test_scenes_of_a_worker_that_lost_its_device_are_mapped_by_another(
    catalogue: Path, empty: Cluster, tmp_path: Path
) -> None:
    for preload in (LOST, GPU):
        empty.worker(preload=preload)
    empty.wait_for(2)
    done = run_on(empty.address, catalogue, tmp_path / "store", device="cuda")
    assert done.begun_again > 0
    assert recorded(tmp_path / "store") == {"cuda GPU"}


def test_a_run_whose_only_device_is_lost_ends_with_a_sentence(
    catalogue: Path, empty: Cluster, tmp_path: Path
) -> None:
    empty.worker(preload=LOST)
    empty.wait_for(1)
    with pytest.raises(DeviceError, match=r"the device failed \(out of memory\) .* --allow-mixed"):
        run_on(empty.address, catalogue, tmp_path / "store", device="cuda")
    assert not list((tmp_path / "store" / "records").glob("done/*"))


def test_a_lost_device_is_written_down_where_a_store_may_be_mixed(
    catalogue: Path, empty: Cluster, tmp_path: Path
) -> None:
    empty.worker(preload=LOST)
    empty.wait_for(1)
    run_on(empty.address, catalogue, tmp_path / "store", device="cuda", mixed=True)
    assert recorded(tmp_path / "store") == {f"cuda GPU, in part {platform('cpu')}"}
