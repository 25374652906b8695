"""Faults of processes: runs that are killed in a stage or anywhere, stopped, or two at once."""

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.stages import COLLECTION, EXPORT, Strike, in_a_month, watch
from tests.faults.world import FAILED, GRACE_S, PARTIAL, Ended, Trial


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL inside a stage, on its way or when it is done and nobody knows."""

    stage: str

    def __call__(self, trial: Trial) -> str:
        again = self.stage == EXPORT and trial.rng.random() < 0.5
        if again:
            # Into an export that is there already, of which less is written.
            trial.run("--limit", "1")
        strike = _strike(trial, self.stage, share=0.5 if again else 1.0)
        return _killed(trial.run(before=partial(watch, strike)))


def kill_collection(trial: Trial) -> str:
    """SIGKILL a prune that expires versions and collects what only they refer to."""
    trial.run("--limit", "1")
    trial.run()
    strike = _strike(trial, COLLECTION)

    def before() -> None:
        in_a_month()
        watch(strike)

    return _killed(trial.prune(before=before)) or trial.prune(before=in_a_month).fault(0)


def _strike(trial: Trial, stage: str, *, share: float = 1.0) -> Strike:
    """Choose the moment: one of the times that a run comes to a stage, a third at its beginning."""
    count, longest = trial.world.stages[stage]
    nth = trial.rng.randrange(max(1, int(count * share))) + 1
    return Strike(stage, nth, max(0.0, trial.rng.uniform(-0.5, 1.0) * longest))


def _killed(ended: Ended) -> str:
    code = ended.code
    return "" if code == -signal.SIGKILL else f"it was not killed, exit code {code}: {ended.said}"


def _moment(trial: Trial) -> None:
    time.sleep(trial.rng.uniform(0.0, 1.1 * trial.world.seconds))


def kill_driver(trial: Trial) -> str:
    """SIGKILL the whole run at a random moment."""
    pid = trial.start()
    _moment(trial)
    signal_group(pid, signal.SIGKILL)
    trial.wait(pid)
    return ""


def kill_worker(trial: Trial) -> str:
    """SIGKILL one worker process at a random moment; the run itself may go on."""
    return _kill_child(trial, max_memory=False)


def kill_largest_worker(trial: Trial) -> str:
    """SIGKILL the worker with most memory, as the kernel does where memory is short."""
    return _kill_child(trial, max_memory=True)


def _kill_child(trial: Trial, *, max_memory: bool) -> str:
    pid = trial.start("--workers", "2")
    time.sleep(trial.rng.uniform(1.0, 6.0))
    children = _workers(pid)
    if children:
        chosen = max(children, key=_memory) if max_memory else trial.rng.choice(children)
        _signal(chosen, signal.SIGKILL)
    return trial.wait(pid).fault(0, FAILED, PARTIAL)


def terminate(trial: Trial) -> str:
    """SIGTERM, as a scheduler sends it; the run has to end within its grace period."""
    pid = trial.start()
    _moment(trial)
    _signal(pid, signal.SIGTERM)
    begin = time.monotonic()
    ended = trial.wait(pid)
    took = time.monotonic() - begin
    # -SIGTERM: the signal came before the command had its handlers.
    if wrong := ended.fault(0, 130, -signal.SIGTERM):
        return wrong
    return f"ended after {took:.0f} s" if took > GRACE_S else ""


def two_runs(trial: Trial) -> str:
    """Two runs into one store at once; of two exports one may say that the other goes on."""
    first = trial.start()
    time.sleep(trial.rng.uniform(0.0, trial.world.seconds / 2))
    second = trial.start()
    ends = [trial.wait(second), trial.wait(first)]
    wrong = [end.fault(0, FAILED, says="another export") for end in ends]
    if all(end.code for end in ends):
        return "neither ended well: " + "; ".join(end.said.strip()[-400:] for end in ends)
    return "".join(wrong)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and all it started."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # It has not made its group yet.
        _signal(pid, number)


def _workers(pid: int) -> list[int]:
    """Return the processes below a run that compute, not those that watch over them."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        for child in below.get(left.pop(), []):
            found.append(child)
            left.append(child)
    return [each for each in found if _memory(each) > 50_000_000]


def _memory(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
