"""Many workers at scenes whose reading waits: `python -m tests.benchmarks.scale.workers`.

Workers of one slot each, 32 in a process, map tiny SIMULATED scenes whose reader waits 20 s and
takes no processor, so that what is left is the driver's work and the scheduler's. Driver, scheduler
and workers are processes of their own. Each worker has four scenes; the first waits for a part of
the time, another part on each worker, so that they do not all end together. Throughput is steady:
of the scenes that end after the first quarter and before the last one. What the driver does is
counted over all. Mapping takes about 0.1 s of a core per scene, so 128 workers need most of one.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil

from tests.benchmarks.scale.continent import lattice
from tests.benchmarks.scale.growth import SCENE_PX, SPACING_PX
from tests.benchmarks.scale.waiting import wait

SIZES, WAIT_S = (1, 8, 32, 128), 20.0
QUICK, QUICK_WAIT_S = (1, 8), 1.0
ROUNDS = 4
"""Scenes per worker."""
PER_PROCESS = 32
Row = dict[str, Any]


def compare(sizes: Sequence[int], wait_s: float) -> list[Row]:
    """Return one row per number of workers, each measured from a process of its own."""
    rows: list[Row] = []
    for workers in sizes:
        command = [sys.executable, "-m", "tests.benchmarks.scale.workers"]
        command += ["--one", str(workers), str(wait_s)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout)
        alone = rows[0] if rows else row
        row["of_linear"] = row["scenes_per_s"] / alone["scenes_per_s"] / workers
        rows.append(
            {
                "name": f"ours, {workers} one-slot workers",
                "case": f"{ROUNDS} scenes per worker that wait {wait_s:g} s, SIMULATED",
                **{key: round(value, 3) for key, value in row.items()},
            }
        )
        print(line(rows[-1]), file=sys.stderr, flush=True)
    return rows


COLUMNS = (
    "workers",
    "wall_s",
    "scenes_per_s",
    "of_linear",
    "driver_ms",
    "scheduler_ms",
    "worker_ms",
    "bytes_out",
    "bytes_back",
)
HEADS = "".join(f"{name:>16}" for name in COLUMNS)


def line(row: Row) -> str:
    """Return a row as text."""
    return "".join(f"{row[name]:>16}" for name in COLUMNS)


def one(workers: int, wait_s: float) -> Row:
    """Drive so many workers from this process."""
    from distributed import Client

    from flows.engines.cluster import cluster_of
    from tests.benchmarks.mapping import drive, driver_of, task, warm_up

    memory = Path("/dev/shm")
    number = ROUNDS * workers
    scenes = list(lattice(number, size_px=SCENE_PX, spacing_px=SPACING_PX))
    with ExitStack() as opened:
        place = Path(
            opened.enter_context(
                tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
            )
        )
        address, *processes = opened.enter_context(started(workers))
        client = opened.enter_context(Client(address))
        client.wait_for_workers(workers)
        client.run(warm_up)
        client.run(wait, wait_s, workers)
        events: SimpleQueue[Any] = SimpleQueue()
        engine = opened.enter_context(cluster_of(client, task(place / "store"), 1, events))
        driver = driver_of(engine, events)
        driver.meet()
        traffic = opened.enter_context(_counted())
        before = [cpu_s_of(process) for process in processes]
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        done = drive(driver, scenes)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        used = [cpu_s_of(each) - at for each, at in zip(processes, before, strict=True)]
    return {
        "workers": workers,
        "scenes": number,
        "wall_s": wall_s,
        "scenes_per_s": (number - 2 * workers) / (done[-1 - workers] - done[workers - 1]),
        "driver_ms": 1000 * cpu_s / number,
        "scheduler_ms": 1000 * used[0] / number,
        "worker_ms": 1000 * sum(used[1:]) / number,
        "bytes_out": traffic["out"] / number,
        "bytes_back": traffic["back"] / number,
    }


def cpu_s_of(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


@contextmanager
def _counted() -> Iterator[dict[str, int]]:
    """Count the bytes of all connections of this process."""
    from tornado.iostream import IOStream

    count = {"out": 0, "back": 0}
    write, read = IOStream.write_to_fd, IOStream.read_from_fd

    def write_to_fd(self: IOStream, data: memoryview) -> int:
        size = write(self, data)
        count["out"] += size
        return size

    def read_from_fd(self: IOStream, buffer: bytearray | memoryview) -> int | None:
        size = read(self, buffer)
        count["back"] += size or 0
        return size

    IOStream.write_to_fd, IOStream.read_from_fd = write_to_fd, read_from_fd
    try:
        yield count
    finally:
        IOStream.write_to_fd, IOStream.read_from_fd = write, read


@contextmanager
def started(workers: int) -> Iterator[tuple[Any, ...]]:
    """Start a scheduler and workers; yield its address, its process and theirs."""
    command = [sys.executable, "-m", "tests.benchmarks.scale.workers"]
    with ExitStack() as opened:

        def start(*args: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen([*command, *args], stdout=subprocess.PIPE, text=True)
            opened.callback(process.wait)
            opened.callback(process.terminate)
            return process

        scheduler = start("--scheduler")
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()
        found = [scheduler.pid]
        for first in range(0, workers, PER_PROCESS):
            count = min(PER_PROCESS, workers - first)
            found.append(start("--workers", address, str(count)).pid)
        yield address, *found


async def _schedule() -> None:
    from distributed import Scheduler

    logging.getLogger("distributed").setLevel(logging.ERROR)
    async with Scheduler(
        host="127.0.0.1", port=0, dashboard=False, dashboard_address=":0"
    ) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()


async def _work(address: str, count: int) -> None:
    from distributed import Worker

    logging.getLogger("distributed").setLevel(logging.ERROR)
    async with AsyncExitStack() as opened:
        workers = [
            await opened.enter_async_context(
                Worker(address, nthreads=1, memory_limit=0, dashboard=False, dashboard_address=":0")
            )
            for _ in range(count)
        ]
        for worker in workers:
            await worker.finished()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("WORKERS", "WAIT"), help="run one here")
    parser.add_argument("--scheduler", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workers", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few workers, short waits")
    parser.add_argument("--out", type=Path, default=Path("build/workers.json"))
    args = parser.parse_args()
    if args.scheduler:
        return asyncio.run(_schedule())
    if args.workers:
        return asyncio.run(_work(args.workers[0], int(args.workers[1])))
    if args.one:
        print(json.dumps(one(int(args.one[0]), float(args.one[1]))))
        return
    print(HEADS, file=sys.stderr)
    rows = compare(*((QUICK, QUICK_WAIT_S) if args.quick else (SIZES, WAIT_S)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
