"""Freed memory is kept by the process: pages are not asked for again and again."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.config import Compute
from flows.engines.allocator import allocator_environment
from flows.engines.opening import client_of

CHURN = """
import resource, sys, threading
from flows.engines.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
import numpy as np

def work():
    for _ in range(20):
        [np.ones(2**19) for _ in range(6)]

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

needs_glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)


def pages(how: str, **environment: str) -> int:
    """Return how many pages a process is given that takes and frees 24 MB again and again."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", CHURN, how]
    done = subprocess.run(
        command, env=own | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@needs_glibc
def test_freed_memory_is_used_again() -> None:
    assert pages("keep") * 10 < pages("as it is")


@needs_glibc
def test_what_the_environment_says_stands() -> None:
    set_by_hand = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "131072"}
    assert pages("keep", **set_by_hand) > pages("keep") * 10


def test_local_workers_start_with_the_same_settings() -> None:
    with client_of(Compute(workers=1, threads=1)) as client:
        for name, value in allocator_environment().items():
            assert client.submit(os.environ.get, name).result() == value


def test_the_image_sets_the_same_allocator_as_a_worker() -> None:
    text = (Path(__file__).parents[3] / "infra" / "Containerfile").read_text()
    for name, value in allocator_environment().items():
        assert f"{name}={value}" in text.split()
