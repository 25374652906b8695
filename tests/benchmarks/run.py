"""Speed and memory of stage 1 beside its floor and beside others, in one run: `make bench`.

Each row runs in a process of its own, in turn, several times; medians are shown. The machine is
noisy, ratios to the floor of the same case are less so. Files are in the page cache.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deepsalt.scenes.base import read_acquisition
from tests.benchmarks.measure import measure
from tests.benchmarks.rows import (
    CASES,
    FLOOR,
    HTTP,
    LATENCY_S,
    QUICK_CASES,
    REAL_CASES,
    ROWS,
    STAGE1,
    STAGE2,
)
from tests.benchmarks.scenes import AS_REAL, LAYOUTS, band_interleaved, on_server, simulate
from tests.benchmarks.serve import serving

SIZE_PX, QUICK_PX, WARM_UP_PX = 1200, 256, 64
REPEATS = 3

Runs = dict[tuple[str, str], list[dict[str, float]]]


def turns(repeats: int, quick: bool) -> Iterator[tuple[str, str, str]]:
    """Return what runs in order: layout, place and row; slow rows once, or once at all if quick."""
    cases = QUICK_CASES if quick else CASES
    for turn in range(repeats):
        for layout, place in cases:
            foremost = (layout, place) == cases[0]
            real = (layout, place) in REAL_CASES
            first = turn == 0 and (not quick or foremost)
            for name, row in ROWS.items():
                there = name in (FLOOR, STAGE1) if real else foremost or row.everywhere
                if there and (first or row.repeated):
                    yield layout, place, name


def compare(size_px: int, order: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Return one row per way and case: medians, and ratios to the floor."""
    found: Runs = {}
    with TemporaryDirectory() as name:
        root = Path(name)
        scenes = prepare(root, size_px)
        with serving(root, LATENCY_S) as url:
            for layout, place, row in order:
                where = [str(root), url] if place == HTTP else []
                run = _in_own_process(row, scenes[layout], *where)
                found.setdefault((row, f"{layout}, {place}"), []).append(run)
    return [summary(row, case, size_px, found) for row, case in found]


def prepare(root: Path, size_px: int) -> dict[str, tuple[Path, Path]]:
    """Write the scene in each layout and a small one in the same; return both by layout."""
    pairs: dict[str, list[Path]] = {layout: [] for layout in (*LAYOUTS, *AS_REAL)}
    for size in (size_px, WARM_UP_PX):
        for as_real, (pixel, band) in ((False, LAYOUTS), (True, AS_REAL)):
            kind = f"{'real' if as_real else 'clear'}-{size}"
            folders = [root / f"{name}-{kind}" for name in ("pixel", "band")]
            for folder in folders:
                folder.mkdir()
            pairs[pixel].append(simulate(folders[0], size, as_real=as_real))
            pairs[band].append(band_interleaved(pairs[pixel][-1], folders[1]))
    return {layout: (large, small) for layout, (large, small) in pairs.items()}


def _in_own_process(row: str, scenes: tuple[Path, Path], *where: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.run", "--one", row, *map(str, scenes)]
    done = subprocess.run([*command, *where], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the row {row!r} failed, see above")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    shown = ", ".join(f"{key} {value:.1f}" for key, value in result.items())
    print(f"{row}: {shown}", file=sys.stderr, flush=True)
    return result


def summary(row: str, case: str, size_px: int, found: Runs) -> dict[str, Any]:
    """Return medians of a row, and their ratios to those of the floor in the same case."""
    medians, base = _medians(found[row, case]), _medians(found[FLOOR, case])
    return {
        "name": row,
        "case": f"EnMAP {size_px} x {size_px} x 224, {case}, simulated",
        **{key: round(value, 3) for key, value in medians.items()},
        "pixels_per_s": round(size_px**2 / medians["wall_s"]),
        "ratio": round(medians["wall_s"] / base["wall_s"], 3),
        "cpu_ratio": round(medians["cpu_s"] / base["cpu_s"], 3),
        "runs": len(found[row, case]),
        "note": ROWS[row].note,
    }


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text, case by case."""
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows):
        heads = ("wall s", "cpu s", "peak MB", "pixels/s", "wall/floor", "cpu/floor", "runs")
        lines += ["", case, f"{'':<26}" + "".join(f"{head:>11}" for head in heads)]
        for row in rows:
            if row["case"] == case:
                shown = (
                    f"{row['wall_s']:.2f}",
                    f"{row['cpu_s']:.2f}",
                    f"{row['peak_rss_mb']:.0f}",
                    row["pixels_per_s"],
                    f"{row['ratio']:.2f}",
                    f"{row['cpu_ratio']:.2f}",
                    row["runs"],
                )
                cells = "".join(f"{value:>11}" for value in shown)
                lines.append(f"{row['name']:<26}{cells}  {row['note']}".rstrip())
    by_name = {row["name"]: row for row in reversed(rows)}
    if STAGE2 in by_name:
        two, one = by_name[STAGE2], by_name[STAGE1]
        lines += ["", f"stage 2 takes {two['wall_s'] / one['wall_s']:.1%} of stage 1"]
    return "\n".join(lines)


def scaling() -> list[dict[str, Any]]:
    """Return rows of many workers and of many scenes, which take minutes."""
    from tests.benchmarks.scale import growth, workers

    print("", workers.HEADS, sep="\n", file=sys.stderr)
    rows = workers.compare(workers.SIZES, workers.WAIT_S)
    print(growth.HEADS)
    return [*rows, *growth.compare({"plan": growth.SIZES["plan"][-1:]})]


def one(row: str, scene: str, warm_up: str, root: str = "", url: str = "") -> None:
    """Run one row here and print what it took."""
    # In another process: where deepsalt opened a raster GDAL has no VRTs, which one row needs.
    with get_context("spawn").Pool(1) as elsewhere:
        scenes = elsewhere.map(read_acquisition, (scene, warm_up))
    if url:
        scenes = [on_server(acquisition, Path(root), url) for acquisition in scenes]
    print(json.dumps(measure(ROWS[row], *scenes)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help="edge of the scene, pixels")
    parser.add_argument("--repeats", type=int, help="how often all but the slow rows run")
    parser.add_argument("--quick", action="store_true", help="small scene, two cases, once")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    if args.one:
        return one(*args.one)
    size, repeats = (QUICK_PX, 1) if args.quick else (SIZE_PX, REPEATS)
    rows = compare(args.size or size, turns(args.repeats or repeats, args.quick))
    print(table(rows))
    if not args.quick:
        rows += scaling()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
