"""Values that travel: what another process, a fork and a thread may do with them."""

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from deepsalt.errors import StoreError
from deepsalt.objects import Objects
from tests.objects.loopback import Loopback

ELSEWHERE = """
import pickle, sys
from deepsalt.errors import StoreError
thing = pickle.loads(bytes.fromhex(sys.argv[1]))
try:
    print(thing.read("a"))
except StoreError as error:
    print(error)
"""


def elsewhere(objects: Objects) -> str:
    """What another process finds."""
    command = [sys.executable, "-c", ELSEWHERE, pickle.dumps(objects).hex()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_folder_is_read_by_another_process(tmp_path: Path) -> None:
    objects = Objects.of(tmp_path)
    objects.write("a", b"1")
    assert elsewhere(objects) == "b'1'"


def test_a_bucket_is_read_by_another_process(loopback: Loopback) -> None:
    objects = Objects.of("s3://salt/store")
    objects.write("a", b"1")
    assert elsewhere(objects) == "b'1'"


def test_memory_is_not_read_by_another_process() -> None:
    objects = Objects.of("memory://here")
    objects.write("a", b"1")
    assert elsewhere(objects).startswith("memory://here is in the memory of another process")


def test_memory_is_shared_by_name_within_a_process() -> None:
    Objects.of("memory://shared/x").write("a", b"1")
    assert Objects.of("memory://shared").read("x/a") == b"1"
    assert pickle.loads(pickle.dumps(Objects.of("memory://shared"))).read("x/a") == b"1"
    assert not [*Objects.of("memory://other").list()]


def said(objects: Objects) -> str:
    try:
        return objects.read("a").decode()
    except StoreError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_is_told_to_be_none_instead_of_waiting_for_ever(
    loopback: Loopback, tmp_path: Path
) -> None:
    bucket, memory, folder = (
        Objects.of("s3://salt/store"),
        Objects.of("memory://fork"),
        Objects.of(tmp_path),
    )
    for objects in (bucket, memory, folder):
        objects.write("a", b"1")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        answers = [pool.submit(said, each).result(30) for each in (bucket, memory, folder)]
    assert "cannot be reached from a forked process" in answers[0]
    assert "memory of another process" in answers[1]
    assert answers[2] == "1"
