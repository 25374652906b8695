"""Objects as files: what a kill, a power cut, a full disk and links leave."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from deepsalt.errors import StoreError
from deepsalt.objects import Objects


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return Objects.of(tmp_path / "store")


def keys(store: Objects) -> list[str]:
    return sorted(entry.key for entry in store.list())


WRITER = """
import sys, os
from deepsalt.objects import Objects
store = Objects.of(sys.argv[1])
print(flush=True)
number = 0
while True:
    number += 1
    store.create(f"new/{number}", bytes(2**16))
    store.write("same", bytes([number % 256]) * 2**16)
"""


def test_a_killed_writer_leaves_whole_objects_only(store: Objects) -> None:
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05)  # it writes all the time; any moment will do
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    entries = [*store.list()]
    assert entries
    assert {entry.size for entry in entries} == {2**16}
    assert not any("#" in entry.key for entry in entries)
    if "same" in keys(store):
        assert len({*store.read("same")}) == 1


@pytest.mark.parametrize("name", ["a#1", "a#730114", "b#1"])
def test_what_a_killed_writer_left_is_no_object_and_in_nobodys_way(
    name: str, store: Objects
) -> None:
    store.write("a", b"1")
    (store.path / name).write_bytes(b"half")
    assert keys(store) == ["a"]
    assert store.create("b", b"2")
    store.write("a", b"3")
    obstore.put(LocalStore(store.path), "a", b"4")
    assert keys(store) == ["a", "b"]


def test_bytes_and_names_are_on_disk_when_a_verb_returns(
    store: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.partition("#")[0])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    store.create("x/y/a", b"1")
    assert synced[-2:] == ["a", "y"]  # its bytes before its name
    assert {"x", "store", store.path.parent.name} <= {*synced}  # and folders that were made
    synced.clear()
    store.write("x/y/a", b"2")
    assert synced == ["a", "y"]


def test_settling_syncs_what_zarr_wrote(store: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.path / "scenes/p/c").mkdir(parents=True)
    for name in ("zarr.json", "c/0"):
        (store.path / "scenes/p" / name).write_bytes(b"1")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
    )
    store.settle("scenes/p")
    assert synced == ["zarr.json", "p", "0", "c", "p", "scenes", "store"] or {*synced} == {
        "zarr.json",
        "0",
        "c",
        "p",
        "scenes",
        "store",
    }


def test_a_store_and_its_parts_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = Objects.of(tmp_path / "store")
    (tmp_path / "other disk").mkdir()
    (store.path / "scenes").symlink_to(tmp_path / "other disk")
    store.write("scenes/a", b"1")
    assert keys(store) == ["scenes/a"]


def test_links_in_a_ring_are_entered_once(store: Objects) -> None:
    store.write("a/b", b"1")
    (store.path / "a/ring").symlink_to(store.path)
    (store.path / "a/nowhere").symlink_to(store.path / "none")
    assert "a/b" in keys(store)
    assert len(keys(store)) < 5


def test_folders_that_are_empty_go_and_the_store_stays(store: Objects) -> None:
    store.write("a/b/c", b"1")
    store.write("a/d", b"1")
    store.delete(["a/b/c"])
    assert [*store.path.iterdir()] == [store.path / "a"]
    assert not (store.path / "a/b").exists()
    store.delete(["a/d"])
    assert [*store.path.iterdir()] == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Objects]:
    """A store on a file system of 64 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield Objects.of(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("verb", ["write", "create"])
def test_a_full_disk_is_a_sentence_and_leaves_what_was(verb: str, tiny: Objects) -> None:
    tiny.write("a", b"1")
    with pytest.raises(StoreError, match="the disk is full; free space and run again, finished"):
        getattr(tiny, verb)("b", bytes(2**20))
    assert keys(tiny) == ["a"]
    assert tiny.create("b", b"2")


def test_a_full_disk_under_zarr_is_the_same_sentence(tiny: Objects) -> None:
    import numpy as np
    import zarr

    group = zarr.open_group(tiny.zarr_store("g", read_only=False), mode="w")
    data = np.random.default_rng(0).integers(0, 255, 2**20, dtype="u1")
    with pytest.raises(StoreError, match="the disk is full; free space and run again, finished"):
        group.create_array("x", data=data)
