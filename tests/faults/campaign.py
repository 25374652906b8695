"""A campaign of faults: `make faults`.

Every trial disturbs a run of three small simulated scenes into a folder or a bucket, mends what was
broken outside the store, and runs again; the store then has to hold what an undisturbed run gives,
bit for bit.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from random import Random

import tests.faults.imported  # noqa: F401  (loaded before the forks, so that a run starts at once)
from tests.faults.fault import Fault
from tests.faults.faults import FAULTS
from tests.faults.kinds import servers
from tests.faults.stages import Count, in_a_month, watch
from tests.faults.world import USER, Place, Trial, World, contents, differences, named, simulate
from tests.servers.s3 import serving_s3

_BUCKET = "faults"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the trials of a fault.

    Parameters
    ----------
    fault, where
        Its name, and what the stores were.
    trials, survived
        Trials, and those after which the next run was like an undisturbed one.
    lost, wrong
        Things that were missing or surplus, and those with other values, over all trials.
    codes
        How often the disturbed command ended with which exit code.
    seconds
        How long a trial took.
    problems
        What went wrong.
    """

    fault: str
    where: str
    trials: int
    survived: int
    lost: int
    wrong: int
    codes: dict[str, int]
    seconds: float
    problems: tuple[str, ...]


def try_fault(fault: Fault, world: World, folder: Path, *, trials: int, seed: int) -> Outcome:
    """Disturb `trials` runs and compare what the runs after them give."""
    survived = lost = wrong = 0
    problems: list[str] = []
    codes: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(trials):
        rng = Random(f"{seed} {fault.name} {fault.where} {number}")
        name = f"{fault.name}-{number}".replace(" ", "-").replace(":", "")
        work = folder / f"{fault.where}-{name}"
        work.mkdir()
        trial = Trial(world, _place(fault.where, world, work, rng, name), work, rng)
        problem = fault.disturb(trial)
        codes.update(_code(each.code) for each in trial.ended)
        problem = problem or trial.leaks()
        if again := trial.run().fault(0):
            problem = problem or f"the run after it ended with {again}"
        missing, differing = differences(contents(trial), world.wanted)
        problem = problem or (f"lost or surplus: {named(missing)}" if missing else "")
        problem = problem or (f"other values: {named(differing)}" if differing else "")
        problem = problem or _checked(trial)
        survived += not problem
        lost, wrong = lost + len(missing), wrong + len(differing)
        if problem:
            problems.append(f"trial {number}: {problem}")
        shutil.rmtree(work)
    took = (time.monotonic() - began) / max(trials, 1)
    return Outcome(
        fault.name, fault.where, trials, survived, lost, wrong, dict(codes), took, tuple(problems)
    )


def _place(where: str, world: World, work: Path, rng: Random, name: str) -> Place:
    if where == "folder":
        return Place.folder(work / "store")
    # One group that changes in place, or a prefix for each version.
    export = rng.choice((".zarr", ""))
    prefix = f"s3://{_BUCKET}/{name.lower()}"
    return Place(f"{prefix}/store", f"{prefix}/export{export}", world.server)


def _code(code: int) -> str:
    return "killed" if code == -9 else str(code)


def _checked(trial: Trial) -> str:
    """Return what `deepsalt check` finds; "" where it finds nothing."""
    return trial.wait(trial.command("check", trial.place.uri)).fault(0)


@contextmanager
def made_world(folder: Path, *, bucket: bool) -> Iterator[World]:
    """Simulate scenes, start a server, and run undisturbed wherever runs will be disturbed."""
    world = simulate(folder)
    with serving_s3(folder / "s3", _BUCKET, {USER: ["Admin"]}) if bucket else _nothing() as server:
        world = replace(world, server=server)
        world = _with_stages(world, folder / "counted")
        work = folder / "undisturbed"
        work.mkdir()
        trial = Trial(world, Place.folder(work / "store"), work, Random(0))
        if wrong := trial.run().fault(0):
            raise RuntimeError(f"the undisturbed run ended with {wrong}")
        world = replace(world, wanted=contents(trial), seconds=trial.ended[0].seconds)
        yield _with_requests(world, folder / "requests") if bucket else world


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _with_stages(world: World, work: Path) -> World:
    """Run and prune undisturbed, and count the stages."""
    work.mkdir()
    told = work / "run.json"
    Trial(world, Place.folder(work / "first"), work, Random(0)).run(
        before=lambda: watch(Count(told))
    )
    stages = json.loads(told.read_text())
    trial = Trial(world, Place.folder(work / "second"), work, Random(0))
    trial.run("--limit", "1")
    trial.run()

    def before() -> None:
        in_a_month()
        watch(Count(told))

    if wrong := trial.prune(before=before).fault(0):
        raise RuntimeError(f"the undisturbed prune ended with {wrong}")
    return replace(world, stages={**json.loads(told.read_text()), **stages})


def _with_requests(world: World, work: Path) -> World:
    """Run undisturbed into the bucket, which has to give the same, and count its requests."""
    work.mkdir()
    place = _place("bucket", world, work, Random(0), "undisturbed")
    trial = Trial(world, place, work, Random(0))
    wrong, requests = servers.requests_of(trial)
    lost, other = differences(contents(trial), world.wanted)
    if wrong or lost or other:
        raise RuntimeError(f"a bucket gives something else than a folder: {wrong}{lost}{other}")
    return replace(world, requests=requests)


def commit_here() -> str:
    """Return which commit is tried."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return told.stdout.strip()


def table(outcomes: Sequence[Outcome], *, commit: str, seed: int, seconds: float) -> str:
    """Return what a campaign found, for `docs/faults.md`."""
    trials, survived = (sum(getattr(o, name) for o in outcomes) for name in ("trials", "survived"))
    lines = [
        "# Faults",
        "",
        f"{trials} trials, {survived} survived; {datetime.now(UTC):%Y-%m-%d}, commit {commit}, "
        f"seed {seed}, {seconds / 60:.0f} minutes, {platform.system()}.",
        "",
        "Each trial disturbs a run over three small simulated scenes, into a folder or into a "
        "bucket of a real S3 server (SeaweedFS), and runs again without the fault. It survived if "
        "the disturbed command ended with one sentence and an exit code that fits, if the next run "
        "ended with 0, and if the store then held what an undisturbed run gives: the bytes of all "
        "scene products, their index and markers, what each tile is made of, all layers of mosaic "
        "and export, and the Items that the catalogue links. *Lost* counts what was missing or "
        "there twice, *wrong* what had other values. Faults of a bucket come from an HTTP proxy in "
        "front of the server, which both clients (obstore and Icechunk) go through. Exit codes are "
        "those of all commands before the last run. Not tried: "
        "servers of Google and Azure, power cuts, bits that flip in memory or on their way.",
        "",
        "`make faults` writes this table.",
        "",
        "| fault | store | trials | survived | lost | wrong | exit codes |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for each in outcomes:
        codes = ", ".join(f"{code} ({n}x)" for code, n in sorted(each.codes.items()))
        lines.append(
            f"| {each.fault} | {each.where} | {each.trials} | {each.survived} | {each.lost} | "
            f"{each.wrong} | {codes} |"
        )
    problems = [
        f"- {each.fault} ({each.where}), {text}" for each in outcomes for text in each.problems
    ]
    return "\n".join([*lines, *(["", "What went wrong:", "", *problems] if problems else []), ""])


def try_all(
    faults: Sequence[Fault], folder: Path, *, trials: int | None, seed: int, until: float
) -> Iterator[Outcome]:
    """Try faults one after the other, in a world of their own; none begins after a moment."""
    with made_world(folder, bucket=any(f.where == "bucket" for f in faults)) as world:
        print(
            f"an undisturbed run takes {world.seconds:.1f} s; in a bucket it makes "
            f"{world.requests} requests; {len(world.wanted)} things are compared"
        )
        (folder / "trials").mkdir()
        for fault in faults:
            if time.monotonic() > until:
                print(f"{fault.name:<40} not begun: the time is over")
                continue
            count = trials or fault.trials
            yield try_fault(fault, world, folder / "trials", trials=count, seed=seed)


def in_parts(jobs: int, arguments: Sequence[str], folder: Path) -> list[Outcome]:
    """Run parts of the campaign at once, each in a process with a world of its own."""
    outs = [folder / f"{part}.json" for part in range(jobs)]
    module = [sys.executable, "-m", "tests.faults.campaign", *arguments]
    parts = [
        subprocess.Popen([*module, "--jobs=1", f"--part={part + 1}/{jobs}", f"--out={out}"])
        for part, out in enumerate(outs)
    ]
    for each in parts:
        each.wait()
    found = [json.loads(out.read_text()) for out in outs]
    lines = [line for row in zip_longest(*found) for line in row if line]
    return [Outcome(**{**line, "problems": tuple(line["problems"])}) for line in lines]


def main() -> None:
    """Run the campaign, print its table, and exit with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the damage")
    parser.add_argument("--minutes", type=float, default=60.0, help="no fault begins after them")
    parser.add_argument("--trials", type=int, help="of each fault, instead of its own number")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the faults")
    parser.add_argument("--part", default="1/1", help="every nth fault: 1/2 and 2/2 are all")
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--out", type=Path, default=Path("build/faults.json"))
    parser.add_argument("--table", type=Path, help="where the table is written to")
    args = parser.parse_args()
    part, parts = map(int, args.part.split("/"))
    chosen = [fault for fault in FAULTS[part - 1 :: parts] if args.only in fault.name]
    commit, began, outcomes = commit_here(), time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        if args.jobs > 1:
            shared = ("seed", "minutes", "trials", "only")
            given = [f"--{name}={value}" for name in shared if (value := getattr(args, name))]
            outcomes = in_parts(args.jobs, given, Path(folder))
        else:
            until = began + 60.0 * args.minutes
            for done in try_all(
                chosen, Path(folder), trials=args.trials, seed=args.seed, until=until
            ):
                outcomes.append(done)
                print(
                    f"{f'{done.fault} ({done.where})':<44}{done.survived:>3} of {done.trials:<3}"
                    f"lost {done.lost}, wrong {done.wrong}, {done.seconds:.1f} s, {done.codes}",
                    *(f"  {problem}" for problem in done.problems),
                    sep="\n",
                    flush=True,
                )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    if args.table:
        took = time.monotonic() - began
        args.table.write_text(table(outcomes, commit=commit, seed=args.seed, seconds=took))
    whole = len(outcomes) == len(chosen) and all(o.survived == o.trials for o in outcomes)
    print(f"{sum(o.trials for o in outcomes)} trials, {time.monotonic() - began:.0f} s")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
