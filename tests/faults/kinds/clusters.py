"""Faults of clusters: SIGKILL of driver, worker or scheduler when a worker comes to a stage.

Scheduler and workers are forked like everything here; each has a working directory, `HOME` and
`TMPDIR` of its own.
"""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.faults.kinds.providers import served_soundly
from tests.faults.stages import (
    CHUNK,
    COMMIT,
    DECODE,
    FETCH,
    MARKER,
    PREDICT,
    TILE,
    Shot,
    watch,
)
from tests.faults.world import FAILED, Ended, Trial, forked

STAGES = (FETCH, DECODE, PREDICT, CHUNK, MARKER, TILE, COMMIT)
VICTIMS = ("driver", "worker", "scheduler")
_HITS = 2
_WORKERS = 2
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Shots:
    """SIGKILL one kind of process in a stage, up to twice; others do what it should have done.

    Parameters
    ----------
    victim
        ``driver``, ``worker`` or ``scheduler``.
    stage
        Where some worker is then; the driver, where it commits.
    trials
        Of a full campaign: ten hits and more.
    """

    victim: str
    stage: str
    trials: int = 10

    def __call__(self, trial: Trial) -> str:
        hits = trial.work / "hits"
        hits.mkdir()
        with ExitStack() as opened:
            catalogue = opened.enter_context(served_soundly(trial)) if self.stage == FETCH else None
            while len(list(hits.iterdir())) < _HITS:
                before = len(list(hits.iterdir()))
                with _cluster(trial, self, hits) as cluster:
                    ended = cluster.run(catalogue)
                if wrong := self._wrong(ended):
                    return wrong
                if len(list(hits.iterdir())) == before:
                    return f"nothing came to {self.stage!r}"
                if ended.code == 0:
                    break
        return ""

    def shot(self, trial: Trial, hits: Path, pids: Path) -> Shot:
        """Return the next shot."""
        count, longest = trial.world.stages.get(self.stage, (8, 0.01))
        nth = trial.rng.randint(1, max(1, count // 8))
        after_s = max(0.0, trial.rng.uniform(-0.5, 1.0) * min(longest, 0.5))
        is_self = self.victim == ("driver" if self.stage == COMMIT else "worker")
        victim = None if is_self else pids / self.victim
        return Shot(self.stage, nth, after_s, victim, hits, _HITS)

    def _wrong(self, ended: Ended) -> str:
        if self.victim == "driver":
            return "" if ended.code in (0, -signal.SIGKILL) else f"{ended.code}: {ended.said}"
        if self.victim == "worker":
            return ended.fault(0)
        return ended.fault(0, FAILED, says="no longer reachable")


@dataclass
class _Cluster:
    """A scheduler and workers, of which there are always two."""

    trial: Trial
    shots: Shots
    hits: Path
    folder: Path
    pids: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        told = self.folder / "scheduler.json"
        self._fork("scheduler", partial(_scheduler, told))
        _until(lambda: bool(_address(told)), "the scheduler does not start")
        address = _address(told)
        for number in range(_WORKERS):
            self._worker(address, number)

    def run(self, catalogue: str | None) -> Ended:
        """Run to the end; workers that die come again."""
        address = _address(self.folder / "scheduler.json")
        before = None
        if self.shots.stage == COMMIT:
            before = partial(watch, self.shots.shot(self.trial, self.hits, self.folder))
        driver = self.trial.start("--scheduler", address, catalogue=catalogue, before=before)
        (self.folder / "driver").write_text(str(driver))
        until = time.monotonic() + 3 * _PATIENCE_S
        number = _WORKERS
        while not self.trial.is_over(driver) and time.monotonic() < until:
            for name, pid in list(self.pids.items()):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self.pids[name]
                    if name != "scheduler" and "scheduler" in self.pids:
                        self._worker(address, number)
                        number += 1
            time.sleep(0.02)
        return self.trial.wait(driver)

    def _worker(self, address: str, number: int) -> None:
        shot = None
        if self.shots.stage != COMMIT:
            shot = self.shots.shot(self.trial, self.hits, self.folder)
        self._fork(f"worker-{number}", partial(_worker, address, shot))
        (self.folder / "worker").write_text(str(self.pids[f"worker-{number}"]))

    def _fork(self, name: str, work: "partial[int]") -> None:
        home = self.folder / f"{name}.files"
        home.mkdir()
        self.pids[name] = forked(partial(_at_home, home, work), self.folder / f"{name}.log")
        (self.folder / name).write_text(str(self.pids[name]))

    def close(self) -> None:
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextmanager
def _cluster(trial: Trial, shots: Shots, hits: Path) -> Iterator[_Cluster]:
    cluster = _Cluster(trial, shots, hits, Path(tempfile.mkdtemp(dir=trial.work)))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def _at_home(home: Path, work: "partial[int]") -> int:
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    tempfile.tempdir = None
    return work()


def _scheduler(told: Path) -> int:
    from distributed.cli.dask_scheduler import main

    options = ["--host=127.0.0.1", "--port=0", "--no-dashboard", "--no-show"]
    main([*options, f"--scheduler-file={told}"], standalone_mode=False)
    return 0


def _worker(address: str, shot: Shot | None) -> int:
    from distributed.cli.dask_worker import main

    if shot is not None:
        watch(shot)
    main([address, "--nthreads=1", "--no-nanny", "--no-dashboard"], standalone_mode=False)
    return 0


def _address(told: Path) -> str:
    """Return the address that a scheduler wrote; "" while it has not."""
    try:
        return str(json.loads(told.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""


def _until(true: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.01)
