"""One scene mapped in this process, which is then asked what it took: prints JSON."""

import argparse
import json
import re
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from deepsalt.effort import Meter
from deepsalt.errors import DeviceError
from deepsalt.model import device as of_process
from deepsalt.model.device import Feed
from deepsalt.scenes.base import read_acquisition
from flows.config import Compute, SceneConfig
from flows.engines.opening import threads_per_worker
from flows.run.memory import worker_memory
from flows.run.single_scene import map_one
from tests.gpu.device import LOSSES, Gpu, the_device

LOST_AT = 2
"""The batch in which a device is taken away."""


@dataclass
class Losing:
    """A device that is taken away in the middle of a scene."""

    gpu: Gpu
    how: str
    batches: int = field(default=0, init=False)

    def pinned(self, rows: int, columns: int) -> Tensor:
        return self.gpu.device.pinned(rows, columns)

    def put(self, host: Tensor) -> Tensor:
        if host.shape[-1] == self.gpu.batch_px:
            self.batches += 1
            if self.batches == LOST_AT:
                self.gpu.lose(self.how)
        return self.gpu.device.put(host)

    def get(self, tensor: Tensor) -> Tensor:
        return self.gpu.device.get(tensor)


def map_it(
    scene: Path, out: Path, compute: Compute, gpu: Gpu | None, *, mixed: bool, lose: str
) -> dict[str, Any]:
    """Map a scene; return what was said and what it took."""
    before = _bytes("VmRSS")
    if gpu is not None:
        gpu.touch()
    of_cuda = _bytes("VmRSS") - before
    losing = Losing(gpu, lose) if gpu is not None and lose else None
    if losing is not None:
        of_process.feeds[:] = [Feed(losing, batch_px=losing.gpu.batch_px)]
    acquisition, meter, said, product = read_acquisition(scene), Meter(), "", ""
    began_s = time.perf_counter()
    try:
        config = SceneConfig(compute=compute, allow_mixed=mixed)
        product = map_one(acquisition, str(out), config, meter=meter).product
    except DeviceError as error:
        said = str(error)
    return {
        "wall_s": time.perf_counter() - began_s,
        "said": said,
        "product": product,
        "batches": losing.batches if losing else 0,
        "work": asdict(meter.work),
        "of_cuda_bytes": of_cuda,
        "peak_bytes": _bytes("VmHWM"),
        "plan_bytes": worker_memory([acquisition], threads_per_worker(compute), compute.device),
        "device_bytes": gpu.peak_bytes() if gpu is not None else 0,
    }


def _bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cpu", action="store_true", help="predict on the CPU")
    parser.add_argument("--mixed", action="store_true", help="the CPU may take over")
    parser.add_argument("--lose", choices=LOSSES, default="", help="take the device away")
    args = parser.parse_args()
    compute = Compute(device="cpu" if args.cpu else "cuda")
    with nullcontext() if args.cpu else the_device() as gpu:
        found = map_it(args.scene, args.out, compute, gpu, mixed=args.mixed, lose=args.lose)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
