"""A campaign of faults: `make faults`.

Every trial disturbs a run of three small simulated scenes, mends what was broken outside the
store, and runs again; the store then has to hold what an undisturbed run gives, bit for bit.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch  # noqa: F401

import flows.cli  # noqa: F401  (loaded before the forks, so that a run starts at once)
from tests.faults.faults import FAULTS, Fault
from tests.faults.world import World, digests, make_world


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the trials of a fault.

    Parameters
    ----------
    fault
        Its name.
    trials, survived
        Trials, and those after which the second run was like an undisturbed one.
    lost, wrong
        Arrays that were missing or surplus, and those with other values, over all trials.
    remarks
        What was odd.
    """

    fault: str
    trials: int
    survived: int
    lost: int
    wrong: int
    remarks: tuple[str, ...]


def try_fault(fault: Fault, world: World, folder: Path, *, trials: int, seed: int) -> Outcome:
    """Disturb `trials` runs and compare what the runs after them give."""
    survived = lost = wrong = 0
    remarks: list[str] = []
    for trial in range(trials):
        store = folder / f"store-{trial}"
        remark = fault.disturb(world, store, Random(f"{seed} {fault.name} {trial}"))
        kept = store.with_name(f"{store.name}.kept")
        store = kept if kept.exists() else store
        if code := world.run(store, *fault.again):
            remark = remark or f"the run after it ended with {code}: {_last_words(store)}"
        found = digests(store)
        missing = len(set(found) ^ set(world.wanted))
        both = set(found) & set(world.wanted)
        differing = sum(found[name] != world.wanted[name] for name in both)
        survived += not (remark or missing or differing)
        lost, wrong = lost + missing, wrong + differing
        if remark:
            remarks.append(f"trial {trial}: {remark}")
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return Outcome(fault.name, trials, survived, lost, wrong, tuple(remarks))


def _last_words(store: Path) -> str:
    log = store.with_name(f"{store.name}.log")
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""


def main() -> None:
    """Run the campaign, print its table, and exit with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the damage")
    parser.add_argument("--minutes", type=float, default=40.0, help="no fault begins after them")
    parser.add_argument("--quick", action="store_true", help="one trial of each fault")
    parser.add_argument("--only", help="faults whose name holds this text")
    parser.add_argument("--out", type=Path, default=Path("build/faults.json"))
    args = parser.parse_args()
    chosen = [fault for fault in FAULTS if not args.only or args.only in fault.name]
    deadline = time.monotonic() + 60.0 * args.minutes
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        print(f"an undisturbed run takes {world.seconds:.1f} s, {len(world.wanted)} arrays")
        print(f"{'fault':<32}{'trials':>7}{'survived':>9}{'lost':>6}{'wrong':>6}", flush=True)
        trials = Path(folder, "trials")
        trials.mkdir()
        for fault in chosen:
            if time.monotonic() > deadline:
                print(f"{fault.name:<32} not begun: the time is over")
                continue
            count = 1 if args.quick else fault.trials
            done = try_fault(fault, world, trials, trials=count, seed=args.seed)
            outcomes.append(done)
            print(
                f"{done.fault:<32}{done.trials:>7}{done.survived:>9}{done.lost:>6}{done.wrong:>6}"
            )
            print(*(f"  {remark}" for remark in done.remarks), sep="\n", end="", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    whole = len(outcomes) == len(chosen) and all(o.survived == o.trials for o in outcomes)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
