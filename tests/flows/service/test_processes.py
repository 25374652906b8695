"""A process of the service is started again when it dies, and leaves nothing behind."""

import os
import signal
import sys
from pathlib import Path

from flows.service.processes import Process
from tests.waiting import wait_until

# Starts a child that outlives it, says so twice, and waits.
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(f'child {child.pid}')\n"
    "print('ready', flush=True)\n"
    "print('more', flush=True)\n"
    "time.sleep(600)\n"
)


def started(folder: Path) -> Process:
    command = [sys.executable, "-c", PARENT]
    process = Process("parent", command, dict(os.environ), folder / "parent.log", "ready")
    process.start()
    wait_until(lambda: process.is_ready, "it did not start", patience_s=30)
    return process


def child_of(process: Process) -> int:
    lines = process.log.read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("child")][-1]


def is_there(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_process_that_was_ready_before_is_not_ready_yet(tmp_path: Path) -> None:
    (tmp_path / "parent.log").write_text("ready\n")
    process = Process("parent", [], {}, tmp_path / "parent.log", "ready")
    assert not process.is_ready


def test_children_of_a_process_end_with_it(tmp_path: Path) -> None:
    process = started(tmp_path)
    child = child_of(process)
    process.stop()
    wait_until(lambda: not is_there(child), "its child is left behind", patience_s=10)


def test_children_of_one_that_died_before_end_as_well(tmp_path: Path) -> None:
    process = started(tmp_path)
    orphan = child_of(process)
    os.kill(os.getpgid(orphan), signal.SIGKILL)
    wait_until(lambda: process.revive() is not None, "its death was not seen", patience_s=10)
    assert is_there(orphan)
    process.stop()
    wait_until(lambda: not is_there(orphan), "an orphan is left behind", patience_s=10)
