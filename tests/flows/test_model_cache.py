"""A run's own model on the disks of its workers: fetched once, verified, mended."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepsalt.errors import ModelError, StoreError
from deepsalt.model.card import CARD_FILE, MAX_CARD_BYTES, WEIGHTS_FILE
from deepsalt.model.load import model_ref
from deepsalt.objects import Objects
from deepsalt.types import ModelRef
from flows.model_cache import cached_model, model_prefix, put_model
from tests.model.students import write_tiny


@pytest.fixture
def own(tmp_path: Path) -> ModelRef:
    folder = tmp_path / "own"
    write_tiny(folder)
    return model_ref(folder)


@pytest.fixture
def objects(own: ModelRef, tmp_path: Path) -> Objects:
    made = Objects.of(tmp_path / "store")
    put_model(made, own)
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each object was read."""
    counts = Counter[str]()
    read = Objects.read

    def counted(objects: Objects, key: str) -> bytes:
        counts[key.rpartition("/")[2]] += 1
        return read(objects, key)

    monkeypatch.setattr(Objects, "read", counted)
    return counts


def test_a_model_is_fetched_once_for_all_who_share_the_cache(
    own: ModelRef, objects: Objects, reads: Counter[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(cached_model, objects, own.digest, cache) for _ in range(8)]
        found = {call.result() for call in calls}
    assert reads == {CARD_FILE: 1, WEIGHTS_FILE: 1}
    (ref,) = found
    assert (ref.digest, ref.family) == (own.digest, own.family)
    assert model_ref(ref.path).digest == own.digest
    assert not list(cache.glob(".*.tmp"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize("harm", [cut, Path.unlink], ids=["cut", "gone"])
@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_damaged_copy_is_fetched_again(
    name: str, harm: Callable[[Path], None], own: ModelRef, objects: Objects, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    harm(Path(cached_model(objects, own.digest, cache).path, name))
    again = cached_model(objects, own.digest, cache)
    assert model_ref(again.path).digest == own.digest


def swap(folder: Path) -> None:
    write_tiny(folder, seed=9)


def bloat(folder: Path) -> None:
    (folder / CARD_FILE).write_bytes(b" " * (MAX_CARD_BYTES + 1))


def empty(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()


def garble(folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes(b"import os")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (swap, "is not the one of this run: its digest is .*; restore models/"),
        (bloat, "has a card.json of 16777217 bytes, more than any model's"),
        (empty, "is not complete; restore models/"),
        (garble, "cannot be used: the card in .* belongs to weights with SHA-256"),
    ],
)
def test_a_model_that_is_not_the_runs_is_refused_and_not_kept(
    harm: Callable[[Path], None], why: str, own: ModelRef, objects: Objects, tmp_path: Path
) -> None:
    harm(objects.path / model_prefix(own.digest))
    cache = tmp_path / "cache"
    with pytest.raises(ModelError, match=why):
        cached_model(objects, own.digest, cache)
    assert [each.name for each in cache.iterdir()] == [f"{own.digest}.lock"]


def test_a_cache_that_cannot_be_written_is_refused(
    own: ModelRef, objects: Objects, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StoreError, match="cannot be read or written"):
        cached_model(objects, own.digest, tmp_path / "cache")


def test_a_cache_that_holds_the_model_needs_no_store_and_is_not_written(
    own: ModelRef, objects: Objects, reads: Counter[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cached_model(objects, own.digest, cache)
    reads.clear()
    before = sorted(path.stat().st_mtime_ns for path in cache.rglob("*"))
    cached_model(objects, own.digest, cache)
    assert not reads
    assert sorted(path.stat().st_mtime_ns for path in cache.rglob("*")) == before
