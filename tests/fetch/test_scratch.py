"""Scratch space: bounded, and gone with its process, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.errors import ReadError, StoreError
from deepsalt.fetch.scratch import ScratchSpace

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from deepsalt.fetch.scratch import ScratchSpace
space = ScratchSpace(Path(sys.argv[1]), 1000)
(space.take(10, "scene A") / "file").write_bytes(b"0123456789")
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a scratch folder below `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_what_a_killed_process_left_is_removed_by_the_next(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert files(tmp_path) == ["file"]
    ScratchSpace(tmp_path, 1000)
    assert not list(tmp_path.iterdir())


def test_what_a_living_process_holds_is_left_alone(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    ScratchSpace(tmp_path, 1000)
    assert files(tmp_path) == ["file"]


def test_what_a_process_with_our_number_left_is_removed(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path, 1000)
    space.take(10, "scene A")
    (own,) = tmp_path.iterdir()
    space.close()
    leftover = own.with_name(own.name.rpartition("~")[0] + "~00000000")
    leftover.mkdir()
    ScratchSpace(tmp_path, 1000)
    assert not leftover.exists()


def test_two_spaces_of_one_process_do_not_clear_each_other(tmp_path: Path) -> None:
    first = ScratchSpace(tmp_path, 1000)
    folder = first.take(10, "scene A")
    second = ScratchSpace(tmp_path, 1000)
    second.take(10, "scene B")
    second.close()
    assert folder is not None
    assert folder.is_dir()
    first.close()
    assert not list(tmp_path.iterdir())


def test_other_files_of_the_folder_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "deepsalt-notes").mkdir()
    ScratchSpace(tmp_path, 1000).close()
    assert (tmp_path / "deepsalt-notes").is_dir()


def test_there_is_no_room_beyond_the_bound_until_some_is_given_back(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path, 100)
    folder = space.take(60, "scene A")
    assert folder is not None
    assert space.take(60, "scene B") is None
    space.give_back(folder, 60)
    assert space.take(60, "scene B") is not None


def test_more_than_the_bound_is_refused_with_the_option_that_raises_it(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"scene A has 3 GB .* at most 2; raise --scratch-gb"):
        ScratchSpace(tmp_path, 2 * 10**9).take(3 * 10**9, "scene A")


def test_a_disk_without_room_is_found_before_it_is_full(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path, 10**19)
    with pytest.raises(StoreError, match=r"GB free, but .* --scratch"):
        space.take(10**18, "scene A")
    assert space.take(10**3, "scene B") is not None


def test_space_is_free_at_once_although_a_reader_holds_the_file_open(tmp_path: Path) -> None:
    space = ScratchSpace(tmp_path, 1000)
    folder = space.take(10, "scene A")
    assert folder is not None
    (folder / "file").write_bytes(b"0123456789")
    with (folder / "file").open("rb") as reader:
        space.give_back(folder, 10)
        assert os.fstat(reader.fileno()).st_size == 0
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="give another folder"):
        ScratchSpace(tmp_path / "file" / "scratch", 1000).take(10, "scene A")
