"""Runs on clusters, in this process or as commands, and what their stores hold."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.config import Compute, RunConfig, SceneConfig, Selection
from flows.run.result import RunResult
from flows.run.run import run
from tests.engines.clusters import ROOT
from tests.faults.contents import contents_of


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


_PRELOADED = (
    "from tests.engines import preload; preload.dask_setup(None); "
    "from flows.command import main; main()"
)


class Command:
    """The command `deepsalt` in a process of its own, which `DEEPSALT_TEST_PRELOAD` may trick."""

    def __init__(self, *arguments: object, cwd: Path = ROOT, **environment: str) -> None:
        self._began = time.monotonic()
        module = ("-c", _PRELOADED) if "DEEPSALT_TEST_PRELOAD" in environment else ("-m", "flows")
        self.popen = subprocess.Popen(
            [sys.executable, *module, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    @classmethod
    def run(cls, catalogue: Path | str, out: Path | str, *options: str, **more: Any) -> "Command":
        """Begin a run of all scenes."""
        return cls("run", "--catalogue", catalogue, "--out", out, *options, **more)

    def wait(self, timeout: float = 120.0) -> Ended:
        try:
            said, _ = self.popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            said, _ = self.popen.communicate()
            raise AssertionError(f"the command hangs: {said}") from None
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
        return Ended(self.popen.returncode, plain, time.monotonic() - self._began)


def command(catalogue: Path | str, out: Path | str, *options: str, **more: Any) -> Ended:
    """Run all scenes to the end."""
    return Command.run(catalogue, out, *options, **more).wait()


def contents(store: Path | str, export: str | None = None) -> dict[str, str]:
    """Return what a store holds, by name, all but moments: digests of all that is computed."""
    return contents_of(str(store), export or f"{store}/mosaic.zarr", ())
