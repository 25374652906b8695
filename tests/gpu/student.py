"""The student by itself on the device, and what is before it: prints JSON."""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_valid
from deepsalt.model.device import Feed
from deepsalt.model.folded import fold
from deepsalt.model.load import load_student, model_ref
from deepsalt.scenes.base import open_reader, read_acquisition
from tests.gpu.device import Gpu, the_device

REPEATS = 20


def measure(scene: Path, gpu: Gpu) -> dict[str, Any]:
    """Return pixels per second of each step, each by itself, and seconds of decoding a scene."""
    acquisition = read_acquisition(scene)
    folded = fold(
        load_student(model_ref()), acquisition.bands, acquisition.gain, acquisition.offset
    )
    block, nodata = _middle(acquisition), acquisition.nodata
    prepared, _ = folded.prepare(block, nodata)
    host = gpu.device.pinned(folded.used.size, gpu.batch_px)
    host[:] = torch.from_numpy(prepared)[:, torch.arange(gpu.batch_px) % prepared.shape[1]]
    moved = folded.moved(gpu.device.put)
    there = gpu.device.put(host)
    threads = os.cpu_count() or 1
    feed = Feed(gpu.device, batch_px=gpu.batch_px).student(folded)

    def through_the_feed() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: feed.estimate(block, nodata), range(2 * threads)))

    with torch.inference_mode():
        answer = moved.answer(there)
        on_device_s = _seconds(lambda: moved.answer(there), gpu)
    transfer_s = _seconds(lambda: (gpu.device.put(host), gpu.device.get(answer)), gpu)
    feed_s = _seconds(through_the_feed, gpu, 1)
    cpu_s = _seconds(lambda: folded.estimate(block, nodata), gpu, 1)
    return {
        "about": gpu.about(),
        "student_px_s": gpu.batch_px / on_device_s,
        "transfer_px_s": gpu.batch_px / transfer_s,
        "feed_px_s": 2 * threads * block.shape[1] / feed_s,
        "cpu_thread_px_s": block.shape[1] / cpu_s,
        "decode_s": _decode_s(scene),
    }


def _middle(acquisition: Any) -> Any:
    """Return the numbers of a block in the middle of a scene (band, s)."""
    grid = acquisition.grid
    rows, columns = (min(size, 256) for size in (grid.height, grid.width))
    reader = open_reader(acquisition)
    try:
        corner = (grid.height - rows) // 2, (grid.width - columns) // 2
        block = reader.read_window(*corner, rows, columns)
    finally:
        reader.close()
    return block.reshape(block.shape[0], -1)


def _seconds(work: Callable[[], Any], gpu: Gpu, repeats: int = REPEATS) -> float:
    """Return the seconds of one call, after one that is not timed."""
    work()
    gpu.wait()
    began_s = time.perf_counter()
    for _ in range(repeats):
        work()
    gpu.wait()
    return (time.perf_counter() - began_s) / repeats


def _decode_s(scene: Path) -> float:
    """Return the seconds of reading and masking a scene with all threads, and no more."""
    cube = mark_valid(open_scene(read_acquisition(scene)))
    began_s = time.perf_counter()
    cube["quality_flags"].data.compute(scheduler="threads")  # of all bands of each block
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    args = parser.parse_args()
    with the_device() as gpu:
        if gpu is None:
            raise SystemExit("there is no CUDA device")
        print(json.dumps(measure(args.scene, gpu)))


if __name__ == "__main__":
    main()
