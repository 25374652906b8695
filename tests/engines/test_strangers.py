"""Workers that would give other bits, and schedulers that mean something else, are refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.errors import StoreMismatchError
from tests.engines.clusters import Cluster, cluster
from tests.engines.runs import command, run_on


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def kinds(folder: Path) -> Iterator[Cluster]:
    """A scheduler and a worker of this machine's instruction set."""
    with cluster(folder / "kinds", workers=1) as made:
        yield made


@pytest.mark.slow
def test_workers_of_two_instruction_sets_are_refused(
    catalogue: Path, kinds: Cluster, tmp_path: Path
) -> None:
    old = kinds.worker(ATEN_CPU_CAPABILITY="default")
    kinds.wait_for(2)
    ended = command(catalogue, tmp_path / "store", "--scheduler", kinds.address)
    old.kill()
    assert ended.code == 1
    assert "which round otherwise; give workers of one kind" in ended.sentence
    assert not (tmp_path / "store" / "scenes").exists()


@pytest.mark.slow
def test_a_store_is_not_mixed_unless_allowed(
    catalogue: Path, folder: Path, kinds: Cluster, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with cluster(folder / "old", workers=1, ATEN_CPU_CAPABILITY="default") as old:
        run_on(old.address, catalogue, store)
        computed_on = kinds_of(store)
        (store / "scenes").rename(tmp_path / "scenes")  # so that there is something to do
        (store / "records" / "done").rename(tmp_path / "done")
        with pytest.raises(StoreMismatchError, match="with other roundings; take the same"):
            run_on(kinds.address, catalogue, store)
        assert not (store / "scenes").exists()
        run_on(kinds.address, catalogue, store, mixed=True)
    assert len(computed_on) == 1
    assert len(kinds_of(store)) == 1
    assert kinds_of(store) != computed_on


def kinds_of(store: Path) -> set[str]:
    """Return what products and their markers say they were computed on."""
    found = {
        json.loads(path.read_text())["attributes"]["computed_on"]
        for path in (store / "scenes").glob("*/zarr.json")
    }
    assert found
    return found
