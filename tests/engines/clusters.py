"""Dask clusters on loopback: a scheduler and workers, each a process of its own.

Workers load `tests.engines.preload` where a test wants something to happen inside them.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A process and what it says.

    Parameters
    ----------
    name
        Of the process.
    popen
        The process.
    log
        Its output.
    home
        Its working directory, `HOME`, and what else is its own.
    """

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    home: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive():
            self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL it with all that it started."""
        if self.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()


@dataclass
class Cluster:
    """A scheduler, and workers that come and go.

    Parameters
    ----------
    folder
        For what its processes leave.
    scheduler
        The scheduler.
    address
        Of the scheduler.
    environment
        Of all processes.
    options
        Of all workers.
    """

    folder: Path
    scheduler: Process
    address: str
    environment: Mapping[str, str]
    options: tuple[str, ...] = ()
    workers: list[Process] = field(default_factory=list)
    client_options: Mapping[str, Any] = field(default_factory=dict)

    def worker(self, *options: str, preload: object = None, **environment: str) -> Process:
        """Start a worker of one thread, without a nanny unless asked for; see `preload`."""
        name = f"worker-{len(self.workers)}"
        if preload is not None:
            environment["DEEPSALT_TEST_PRELOAD"] = json.dumps(preload)
        nanny = () if "--nanny" in options else ("--no-nanny",)
        process = start(
            self.folder / name,
            "distributed.cli.dask_worker",
            self.address,
            "--nthreads=1",
            "--no-dashboard",
            f"--name={name}",
            "--preload=tests.engines.preload",
            *nanny,
            *self.options,
            *options,
            environment={**self.environment, **environment},
        )
        self.workers.append(process)
        return process

    def wait_for(self, workers: int) -> None:
        """Wait until so many workers are there."""
        from distributed import Client

        with Client(self.address, set_as_default=False, **self.client_options) as client:
            wait_until(
                lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == workers,
                f"there are not {workers} workers: {[each.said[-400:] for each in self.workers]}",
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.signal(signal.SIGCONT)
            process.kill()


@contextmanager
def cluster(
    folder: Path,
    *options: str,
    workers: int = 0,
    preload: object = None,
    worker_options: tuple[str, ...] = (),
    **environment: str,
) -> Iterator[Cluster]:
    """Start a scheduler and workers that are alike; all end with the block."""
    told = folder / "scheduler.json"
    folder.mkdir(parents=True, exist_ok=True)
    if preload is not None:
        environment["DEEPSALT_TEST_PRELOAD"] = json.dumps(preload)
    scheduler = start(
        folder / "scheduler",
        "distributed.cli.dask_scheduler",
        "--host=127.0.0.1",
        "--port=0",
        "--no-dashboard",
        "--no-show",
        "--preload=tests.engines.preload",
        f"--scheduler-file={told}",
        *options,
        environment=environment,
    )
    environment.pop("DEEPSALT_TEST_PRELOAD", None)
    try:
        wait_until(lambda: _address(told), "no scheduler starts", alive=scheduler.is_alive)
        made = Cluster(folder, scheduler, _address(told), environment, worker_options)
    except BaseException:
        scheduler.kill()
        raise
    try:
        for _ in range(workers):
            made.worker()
        yield made
    finally:
        made.close()


def _address(told: Path) -> str:
    """Return the address that a scheduler wrote; "" while it has not."""
    try:
        return str(json.loads(told.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""


def start(home: Path, module: str, *arguments: str, environment: Mapping[str, str]) -> Process:
    """Start a module with a working directory, `HOME` and scratch of its own."""
    for each in ("cwd", "home", "tmp"):
        (home / each).mkdir(parents=True)
    log = home / "log"
    own = {"HOME": str(home / "home"), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as stream:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=home / "cwd",
            env={**os.environ, "OMP_NUM_THREADS": "1", **own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    return Process(home.name, popen, log, home)
