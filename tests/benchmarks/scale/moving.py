"""A decoded scene moved between two workers, beside what it takes where it is: `--help`.

Would a GPU gain if other nodes decoded for it? Two Dask workers of one thread each, over TLS, in
processes of their own on one machine, so that the network is the loopback and costs no time of its
own. The first fetches and decodes a SIMULATED EnMAP scene block by block; then the second asks for
the blocks, as a task of Dask would, and predicts them on its CPU. CPU seconds are of the process
that the work is on, less what a worker takes that has nothing to do. Medians of some rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from distributed import wait
from numpy.typing import NDArray

from deepsalt.context import Context
from deepsalt.cube.quality import mark_chunk
from deepsalt.effort import Meter
from deepsalt.model.device import REQUEST_PX
from deepsalt.model.folded import fold
from deepsalt.model.load import load_student, model_ref
from deepsalt.predict.cube import predict_chunk
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.types import REJECTING, Acquisition
from flows.config import Access, Compute
from flows.engines.opening import client_of
from tests.benchmarks.mapping import warm_up
from tests.benchmarks.others.floor import scaling_of, windows
from tests.benchmarks.rows import LATENCY_S
from tests.benchmarks.scenes import band_interleaved, on_server, simulate
from tests.benchmarks.serve import serving

SIZE_PX, QUICK_PX = 1200, 512
ROUNDS = 3

Decoded = tuple[NDArray[Any], NDArray[np.uint16]]
Row = dict[str, float]


def fetch(acquisition: Acquisition) -> int:
    """Fetch the files of a scene from its server and drop them; return their bytes."""
    meter = Meter()
    with (
        Context.local(threads=1, reach=Access(networks=("loopback",)).reach) as context,
        context.fetcher.local(acquisition, meter),
    ):
        return meter.work.fetched_bytes


def decode(acquisition: Acquisition, window: tuple[int, int, int, int]) -> Decoded:
    """Return a block's numbers (band, y, x) and the flags of its pixels (y, x)."""
    reader = open_reader(acquisition)
    try:
        numbers, quality = reader.read_window(*window), reader.read_quality(*window)
    finally:
        reader.close()
    return numbers, mark_chunk(numbers, quality, **scaling_of(acquisition))


def received(decoded: Decoded) -> int:
    """Return how large a block is that has arrived."""
    return sum(part.nbytes for part in decoded)


def prepare(acquisition: Acquisition, decoded: Decoded) -> int:
    """Scale a block for a device, which is what remains for the CPU beside one."""
    folded = fold(
        load_student(model_ref()), acquisition.bands, acquisition.gain, acquisition.offset
    )
    numbers, flags = (part.reshape(*part.shape[:-2], -1) for part in decoded)
    chosen = np.flatnonzero((flags & int(REJECTING)) == 0)
    pixels = numbers.take(chosen, axis=1)
    parts = (
        folded.prepare(pixels[:, start : start + REQUEST_PX], acquisition.nodata)
        for start in range(0, chosen.size, REQUEST_PX)
    )
    return sum(spectra.nbytes for spectra, _ in parts)


def predict(acquisition: Acquisition, decoded: Decoded) -> int:
    """Predict a block on the CPU."""
    found = predict_chunk(*decoded, **scaling_of(acquisition), ref=model_ref())
    return int(found.nbytes)


def compare(size_px: int, rounds: int) -> dict[str, Row]:
    """Return wall seconds of each step, and CPU seconds of the first worker and the second."""
    found: dict[str, list[Row]] = {}
    with ExitStack() as opened:
        root = Path(opened.enter_context(TemporaryDirectory()))
        for name in ("pixel", "band"):
            (root / name).mkdir()
        scene = band_interleaved(simulate(root / "pixel", size_px), root / "band")
        url = opened.enter_context(serving(root, LATENCY_S))
        local = read_acquisition(scene)
        remote = on_server(local, root, url)
        blocks = list(windows(local))
        compute = Compute(workers=2, threads=1, tls=True)
        client = opened.enter_context(client_of(compute))
        client.run(warm_up)
        pids = client.run(lambda: psutil.Process().pid)
        first, second = pids
        processes = [psutil.Process(pids[each]) for each in (first, second)]

        def timed(name: str, work: Callable[..., Any], where: str, *parts: Any) -> list[Any]:
            """Have some work done on a worker, part by part; return its futures."""
            before, began_s = [_cpu_s(each) for each in processes], time.perf_counter()
            calls = [client.submit(work, *each, workers=[where], pure=False) for each in parts]
            wait(calls)  # their results stay where they are
            took_s = time.perf_counter() - began_s
            cpu = [_cpu_s(each) - at for each, at in zip(processes, before, strict=True)]
            row = dict(zip(("wall", "first", "second"), (took_s, *cpu), strict=True))
            found.setdefault(name, []).append(row)
            return calls

        for _ in range(rounds):
            timed("fetch", fetch, first, (remote,))
            decoded = timed("decode", decode, first, *((local, block) for block in blocks))
            moved = timed("move", received, second, *((each,) for each in decoded))
            size = sum(each.result() for each in moved)
            timed("prepare", prepare, second, *((local, each) for each in decoded))
            timed("predict", predict, second, *((local, each) for each in decoded))
            del decoded, moved
    medians = {
        name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
        for name, rows in found.items()
    }
    idle = medians["decode"]["second"] / medians["decode"]["wall"]
    for row in medians.values():
        for worker in ("first", "second"):
            row[worker] = round(max(0.0, row[worker] - idle * row["wall"]), 3)
    return {**medians, "moved": {"bytes": size}}


def _cpu_s(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small scene, once")
    parser.add_argument("--out", type=Path, default=Path("build/moving.json"))
    args = parser.parse_args()
    found = compare(*((QUICK_PX, 1) if args.quick else (SIZE_PX, ROUNDS)))
    for name, row in found.items():
        print(f"{name:<10}" + "".join(f"{key:>10} {value:<8g}" for key, value in row.items()))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
