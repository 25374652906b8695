"""Copies of the published mosaic: whole, old or new, and only what changed is sent."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import icechunk
import pytest
import xarray as xr
import zarr

from deepsalt.errors import StoreError, UsageError
from deepsalt.grid import MosaicGrid
from deepsalt.mosaic import all_sets
from deepsalt.push import open_mosaic, push
from deepsalt.push.push import entries_of, open_target
from deepsalt.store import Period, Store, current_version, history, prune
from deepsalt.store.lease import exclusive
from tests.s3 import serving_s3
from tests.store.builders import GRID, add_small, build, make_store, roll_back

ALL = Period.all()
TINY = MosaicGrid(GRID.crs, anchor=GRID.anchor, chunk_px=16, shard_px=16, tile_shards=1)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_s3(tmp_path_factory.mktemp("s3"), "salt") as url:
        yield url


@pytest.fixture(
    params=[
        "file",
        "icechunk+file",
        pytest.param("s3", marks=pytest.mark.slow),
        pytest.param("icechunk+s3", marks=pytest.mark.slow),
    ]
)
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if "s3" not in request.param:
        return f"{request.param}://{tmp_path / 'target'}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "open-sesame",
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return f"{request.param}://salt/{tmp_path.name}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with {a} and then {a, b} published, and a product c that no version has."""
    store = make_store(tmp_path_factory.mktemp("base") / "store", TINY)
    a = add_small(store, "a")
    build(store, {ALL: [a]})
    build(store, {ALL: [a, add_small(store, "b", column=20)]})
    add_small(store, "c", column=25)
    return store.path


@pytest.fixture
def store(base: Path, tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(base, tmp_path / "store", symlinks=True))


def read(place: str | Path) -> xr.Dataset:
    return open_mosaic(place).load()


def grow(store: Store) -> None:
    build(store, all_sets(store))


class Interrupted(BaseException):
    """Ctrl-C, or a kill."""


class Interrupting:
    """A listener that interrupts a push after so many objects."""

    def __init__(self, after: int) -> None:
        self.left = after

    def start(self, stage: str, total: int) -> None:
        pass

    def advance(self, stage: str, units: int = 1) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Interrupted


def test_what_readers_open_is_the_published_mosaic(store: Store, uri: str) -> None:
    done = push(store, uri)
    assert done.sent == done.objects > 0
    assert read(uri).identical(read(store.path))


def test_the_same_push_again_sends_nothing(store: Store, uri: str) -> None:
    push(store, uri)
    assert push(store, uri).sent == 0


def test_a_new_version_sends_what_changed(store: Store, uri: str) -> None:
    first = push(store, uri)
    grow(store)
    done = push(store, uri)
    assert 0 < done.sent < first.sent
    assert read(uri).identical(read(store.path))


def test_a_mosaic_that_is_open_stays_the_old_one(store: Store, uri: str) -> None:
    push(store, uri)
    opened, old = open_mosaic(uri), read(store.path)
    grow(store)
    push(store, uri)
    assert opened.load().identical(old)
    assert not read(uri).identical(old)


def test_a_version_rolled_back_to_is_what_readers_see(store: Store, uri: str) -> None:
    push(store, uri)
    roll_back(store, history(store)[0].version)
    push(store, uri)
    assert read(uri).identical(read(store.path))


@pytest.mark.parametrize("after", [1, 7, 30])
def test_an_interrupted_push_leaves_the_old_and_repeating_finishes(
    after: int, store: Store, uri: str
) -> None:
    push(store, uri)
    old = read(store.path)
    grow(store)
    with pytest.raises(Interrupted):
        push(store, uri, Interrupting(after))
    assert read(uri).identical(old)
    push(store, uri)
    assert read(uri).identical(read(store.path))


def test_older_versions_go_when_a_push_keeps_fewer(store: Store, uri: str) -> None:
    push(store, uri)
    grow(store)
    assert push(store, uri, keep=2).removed == 0
    opened, kept = open_mosaic(uri), read(store.path)
    version = current_version(store)
    assert version is not None
    build(store, {ALL: [version.products[-1]]})
    assert push(store, uri, keep=2).removed == 1
    assert opened.load().identical(kept)
    assert push(store, uri, keep=1).removed == 1
    assert push(store, uri, keep=1).removed == 0
    assert read(uri).identical(read(store.path))
    grow(store)
    push(store, uri)
    assert read(uri).identical(read(store.path))


def test_what_an_interrupted_push_left_goes_with_the_older_versions(
    store: Store, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path / 'target'}"
    with pytest.raises(Interrupted):
        push(store, uri, Interrupting(7))
    grow(store)
    assert push(store, uri, keep=1).removed == 1
    assert len([*(tmp_path / "target" / "versions").iterdir()]) == 1


def test_what_is_newer_than_what_readers_see_may_be_under_way_and_stays(
    store: Store, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path / 'target'}"
    push(store, uri)
    under_way = tmp_path / "target" / "versions" / "abc.zarr" / "zarr.json"
    under_way.parent.mkdir()
    under_way.write_bytes(b"{}")
    later = time.time() + 60
    os.utime(under_way, (later, later))
    assert push(store, uri, keep=1).removed == 0
    assert under_way.exists()


def test_a_push_keeps_at_least_what_it_pushes(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 versions"):
        push(store, f"file://{tmp_path / 'target'}", keep=0)


def test_a_damaged_shard_is_not_carried_on(store: Store, uri: str) -> None:
    push(store, uri)
    old = read(uri)
    grow(store)
    version = current_version(store)
    assert version is not None
    fresh = [
        p
        for p in version.layout.group.glob("salinity/c/**/*")
        if p.is_file() and p.stat().st_nlink == 1
    ]
    fresh[0].write_bytes(fresh[0].read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="damaged"):
        push(store, uri)
    assert read(uri).identical(old)


def test_a_push_that_was_overtaken_says_so_and_leaves_the_other(store: Store, uri: str) -> None:
    if uri.startswith(("file", "icechunk+file")):
        pytest.skip("folders are locked instead")
    push(store, uri)
    grow(store)
    target, newer = open_target(uri), read(store.path)
    command = [Path(sys.executable).with_name("deepsalt"), "mosaic", "push", store.path, uri]
    overtaken: list[int] = []
    first = threading.Lock()

    def sent(key: str, size: int) -> None:
        if first.acquire(blocking=False):
            overtaken.append(subprocess.run(command, check=False, capture_output=True).returncode)

    version = current_version(store)
    assert version is not None
    with pytest.raises(StoreError, match="another run pushed"):
        target.write("0" * 12, target.shown(), entries_of(version), {}, sent, ready=lambda: None)
    assert overtaken == [0]
    assert read(uri).identical(newer)


@pytest.mark.parametrize(
    ("kind", "lock"), [("file", "target/.push.lock"), ("icechunk+file", "target.lock")]
)
def test_a_folder_takes_one_push_at_a_time(
    kind: str, lock: str, store: Store, tmp_path: Path
) -> None:
    with (
        exclusive(tmp_path / lock, "is pushing"),
        pytest.raises(StoreError, match="is pushing"),
    ):
        push(store, f"{kind}://{tmp_path / 'target'}")


def test_a_target_that_another_store_filled_is_filled_anew(
    store: Store, uri: str, tmp_path: Path
) -> None:
    push(store, uri)
    other = make_store(tmp_path / "other", TINY)
    build(other, {ALL: [add_small(other, "z", column=3)]})
    push(other, uri)
    assert read(uri).identical(read(other.path))
    push(store, uri)
    assert read(uri).identical(read(store.path))


def test_an_empty_target_is_one_sentence_and_stays_empty(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no mosaic"):
        open_mosaic(uri)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://key:open-sesame@bucket/x", "takes no credentials"),
        ("s3://bucket/x?X-Amz-Signature=open-sesame", "takes no credentials"),
        ("gopher://bucket/x", "is no place"),
        ("s3:key:open-sesame@bucket/x", "takes no credentials"),
        ("s3://bucket/x#1", "fragment"),
        ("s3://[bucket/x", "is not written so"),
        ("s3://", "is no place"),
        ("s3:///x", "is no place"),
        ("icechunk+s3:///x", "is no place"),
        ("file://data/x", "three slashes"),
        ("icechunk://bucket", "is no place"),
    ],
)
def test_a_uri_that_cannot_be_a_place_is_refused(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        open_target(uri)
    assert "open-sesame" not in str(raised.value)


def test_a_folder_without_permission_is_one_sentence(store: Store) -> None:
    for kind in ("file", "icechunk+file"):
        with pytest.raises(StoreError, match="cannot be read or written"):
            push(store, f"{kind}:///proc/none/target")


def test_what_changed_since_it_was_looked_at_is_left_alone(store: Store, uri: str) -> None:
    push(store, uri)
    published = read(store.path)
    version = current_version(store)
    assert version is not None
    target = open_target(uri)

    def nobody(key: str, size: int) -> None:
        pass

    with pytest.raises(StoreError, match="another run pushed"):
        target.write(
            "0" * 12, "1" * 12, entries_of(version), {}, lambda *_: None, ready=lambda: None
        )
    assert read(uri).identical(published)


def test_equal_versions_of_other_bytes_do_not_mix(store: Store, uri: str, tmp_path: Path) -> None:
    push(store, uri)
    opened, old = open_mosaic(uri), read(store.path)
    other = Store.open(shutil.copytree(store.path, tmp_path / "other", symlinks=True))
    version = current_version(other)
    assert version is not None
    description = version.layout.group / "zarr.json"
    description.unlink()
    shutil.copy(store.mosaic / "zarr.json", description)
    text = description.read_text()
    description.write_text(text.replace("CF-1.11", "CF-1.10"))
    push(other, uri)
    assert opened.load().identical(old)
    assert read(uri).attrs != old.attrs


def test_objects_that_went_missing_are_sent_again(store: Store, tmp_path: Path) -> None:
    uri = f"file://{tmp_path / 'target'}"
    push(store, uri)
    lost = next(path for path in (tmp_path / "target").glob("**/salinity/c/**/*") if path.is_file())
    lost.unlink()
    assert push(store, uri).sent == 1
    assert read(uri).identical(read(store.path))


def test_a_truncated_object_is_not_copied_on(store: Store, tmp_path: Path) -> None:
    uri = f"file://{tmp_path / 'target'}"
    push(store, uri)
    for path in (tmp_path / "target").glob("**/salinity/c/**/*"):
        if path.is_file():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data[:10])
    grow(store)
    push(store, uri)
    assert read(uri).identical(read(store.path))


def test_a_repository_of_somebody_else_is_left_alone(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "target"
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)))
    session = repository.writable_session("main")
    zarr.create_group(session.store).attrs["mine"] = True
    session.commit("mine")
    with pytest.raises(StoreError, match="not of deepsalt"):
        push(store, f"icechunk+file://{place}")
    assert zarr.open_group(repository.readonly_session("main").store, mode="r").attrs["mine"]


def test_a_version_that_lacks_its_description_is_not_pushed(store: Store, uri: str) -> None:
    (store.mosaic / "salinity" / "zarr.json").unlink()
    with pytest.raises(StoreError, match=r"lacks salinity/zarr\.json"):
        push(store, uri)


def test_prune_waits_for_a_push(store: Store) -> None:
    with store.pushing(), pytest.raises(StoreError, match="is pushing"):
        prune(store, keep=1)
