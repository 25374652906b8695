"""Time, work and memory of one row in this process and its children."""

import gc
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from deepsalt.types import Acquisition
from tests.benchmarks.rows import Row


def measure(row: Row, scene: Acquisition, warm_up: Acquisition) -> dict[str, float]:
    """Return wall and CPU seconds and the largest process's peak memory of one row.

    A small scene first pays for imports, weights and connections.
    """
    with TemporaryDirectory() as folder, row.start() as run:
        row.prepare(warm_up, Path(folder) / "warm-up")
        run(warm_up, Path(folder) / "warm-up")
        row.prepare(scene, Path(folder) / "out")
        gc.collect()  # what starting left behind is not this scene's work
        wall, cpu = time.perf_counter(), cpu_s()
        run(scene, Path(folder) / "out")
        wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
        peak = peak_rss_mb()
    times = row.times(scene)
    return {"wall_s": wall * times, "cpu_s": cpu * times, "peak_rss_mb": peak}


def cpu_s() -> float:
    """Return the CPU seconds so far of this process and all below it, ended ones included."""
    used = os.times()
    own = used.user + used.system + used.children_user + used.children_system
    return own + sum(sum(process.cpu_times()[:4]) for process in _below())


def peak_rss_mb() -> float:
    """Return the largest resident size that this process or a living one below it ever had, MB."""
    return max(_peak_kb(pid) for pid in [os.getpid(), *(p.pid for p in _below())]) * 1024 / 1e6


def _below() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _peak_kb(pid: int) -> int:
    # Not ru_maxrss: a process inherits that from the one that started it.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
