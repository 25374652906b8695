"""Runs on clusters, in this process or as commands, and what their stores hold."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from flows.config import Compute, RunConfig, SceneConfig, Selection
from flows.run.run import RunResult, run
from tests.engines.clusters import ROOT


def config(catalogue: Path | str, out: Path | str, *, mixed: bool = False, **compute: object):
    """Return a run of all scenes."""
    computes = Compute.model_validate(compute)
    scene = SceneConfig(compute=computes, allow_mixed=mixed)
    return RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(out), scene=scene)


def run_on(
    address: str | None, catalogue: Path | str, out: Path | str, **more: object
) -> RunResult:
    """Run in this process; without an address with its threads."""
    return run(config(catalogue, out, scheduler=address, **more))


@dataclass
class Ended:
    """How a command ended: its exit code, what it said, and how long it took."""

    code: int
    said: str
    seconds: float

    @property
    def sentence(self) -> str:
        """The one sentence that it ended with."""
        (line,) = [each for each in self.said.splitlines() if each.startswith("deepsalt: ")]
        assert "Traceback" not in self.said, self.said
        return line


class Command:
    """The command `deepsalt run` in a process of its own."""

    def __init__(self, catalogue: Path | str, out: Path | str, *options: str, **environment: str):
        self._began = time.monotonic()
        self.popen = subprocess.Popen(
            [
                *(sys.executable, "-m", "flows", "run", "--catalogue", str(catalogue)),
                *("--out", str(out), *options),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait(self, timeout: float = 120.0) -> Ended:
        try:
            said, _ = self.popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            said, _ = self.popen.communicate()
            raise AssertionError(f"the command hangs: {said}") from None
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
        return Ended(self.popen.returncode, plain, time.monotonic() - self._began)


def command(catalogue: Path | str, out: Path | str, *options: str, **environment: str) -> Ended:
    """Run the command to its end."""
    return Command(catalogue, out, *options, **environment).wait()


def products(store: Path) -> dict[str, str]:
    """Return the digest of each file of the scene products of a store in a folder."""
    return {
        str(path.relative_to(store)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((store / "scenes").rglob("*"))
        if path.is_file()
    }
