"""The device that the checks use: the machine's own, or in a rehearsal the CPU in its place."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from deepsalt.model.device import BATCH_PX, Cuda, Device
from tests.model import devices
from tests.model.devices import Fake, stand_in

REHEARSAL = "DEEPSALT_GPU_REHEARSAL"
"""Environment variable: ``right`` or ``wrong`` is how a rehearsal's device answers."""


def exhaust_memory() -> None:
    """Let the device have no memory for another batch."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)


def break_context() -> None:
    """Read out of bounds on the device: all later calls of this process fail, as if lost."""
    torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")].cpu()


LOSSES = {"memory": exhaust_memory, "context": break_context}
"""How a device is taken away."""


@dataclass(frozen=True)
class Gpu:
    """The first CUDA device.

    Parameters
    ----------
    device
        What predictions use.
    batch_px
        Pixels of its batches.
    """

    device: Device
    batch_px: int = BATCH_PX

    def about(self) -> dict[str, str]:
        """Return what it is, with the software that drives it."""
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            driver = "unknown"
        size = torch.cuda.get_device_properties(0).total_memory
        return {
            "device": f"{torch.cuda.get_device_name()}, {size / 1e9:.0f} GB",
            "driver": driver.splitlines()[0],
            "torch": f"{torch.__version__}, CUDA {torch.version.cuda}",
            "cores": str(os.cpu_count()),
        }

    def touch(self) -> None:
        """Have CUDA take what it takes of this process before any work."""
        some = torch.ones(64, 64, device="cuda")
        self.device.pinned(1, 1)
        (some @ some).cpu()

    def wait(self) -> None:
        """Wait until it is idle."""
        torch.cuda.synchronize()

    def peak_bytes(self) -> int:
        """Return the most memory that this process ever took of it, beside CUDA's own."""
        return torch.cuda.max_memory_reserved()

    def lose(self, how: str) -> None:
        """Take it away; see `LOSSES`."""
        LOSSES[how]()


class Rehearsal(Gpu):
    """The CPU in its place."""

    def about(self) -> dict[str, str]:
        return {
            "device": "none: REHEARSAL on the CPU, which proves nothing of a GPU",
            "torch": torch.__version__,
            "cores": str(os.cpu_count()),
        }

    def touch(self) -> None:
        """There is nothing to touch."""

    def wait(self) -> None:
        """It is never busy."""

    def peak_bytes(self) -> int:
        return 0

    def lose(self, how: str) -> None:
        assert isinstance(self.device, Fake)
        self.device.fails = True


class Wrong(Fake):
    """Answers a twentieth too much."""

    def get(self, tensor: Tensor) -> Tensor:
        return torch.cat([tensor[:4] * 1.05, tensor[4:]])


@contextmanager
def the_device() -> Iterator[Gpu | None]:
    """Use the device until the block ends; None if there is none."""
    answers = os.environ.get(REHEARSAL)
    if not answers:
        yield Gpu(Cuda()) if torch.cuda.is_available() else None
        return
    fake = Wrong() if answers == "wrong" else Fake()
    with stand_in(fake):
        yield Rehearsal(fake, devices.BATCH_PX)
