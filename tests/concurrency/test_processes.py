"""Processes of our own: where calls are made, and what becomes of them when one is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepsalt.concurrency import in_order
from deepsalt.concurrency.processes import Processes


def die_elsewhere(home: int) -> int:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def session_and_process() -> tuple[int, int]:
    return os.getsid(0), os.getpid()


def test_calls_are_made_in_other_processes_and_answered_in_order() -> None:
    with Processes(2) as processes:
        assert processes.submit(os.getpid).result() != os.getpid()
        assert list(in_order(processes, str, range(20), ahead=4)) == [str(n) for n in range(20)]


def test_what_is_printed_is_no_answer() -> None:
    with Processes(1) as processes:
        assert processes.submit(print, "7").result() is None


def test_a_process_does_not_belong_to_the_session_that_ctrl_c_ends() -> None:
    with Processes(1) as processes:
        session, process = processes.submit(session_and_process).result()
    assert session == process != os.getsid(0)


def test_what_a_call_raises_is_raised_for_its_caller() -> None:
    with Processes(1) as processes, pytest.raises(ValueError, match="invalid literal"):
        processes.submit(int, "seven").result()


def test_calls_of_a_process_that_is_lost_are_made_here() -> None:
    with Processes(1) as processes:
        assert processes.submit(die_elsewhere, os.getpid()).result() == os.getpid()
        assert processes.submit(os.getpid).result() == os.getpid()


def test_the_processes_end_when_the_block_is_left() -> None:
    with Processes(1) as processes:
        process = processes.submit(os.getpid).result()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_the_processes_end_with_one_that_is_killed() -> None:
    script = (
        "import os, time\n"
        "from deepsalt.concurrency.processes import Processes\n"
        "print(Processes(1).submit(os.getpid).result(), flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as ours:
        assert ours.stdout is not None
        process = int(ours.stdout.readline())
        ours.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()
