"""A device that is the CPU behind the interface of a GPU, for machines without one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from deepsalt.model import device as module
from deepsalt.model.device import Feed

BATCH_PX = 4096
"""Small, so that a small scene takes several batches."""


class Fake:
    """Copies instead of transfers; counts them, can be held up and can fail.

    Parameters
    ----------
    gone_after
        Batches after which every call fails, as on a GPU that is lost. Default: never.
    batch_px
        Pixels of a batch.
    """

    def __init__(self, gone_after: int | None = None, batch_px: int = BATCH_PX) -> None:
        self.sent: list[torch.Size] = []
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.fails = False
        self._gone_after = gone_after
        self._batch_px = batch_px

    def pinned(self, rows: int, columns: int) -> Tensor:
        return torch.empty(rows, columns)

    def put(self, host: Tensor) -> Tensor:
        self.asked.set()
        self.go.wait()
        if self.fails or self.batches(self._batch_px) == self._gone_after:
            raise RuntimeError("out of memory\n  at some address")
        self.sent.append(host.shape)
        return host.clone()

    def get(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def batches(self, batch_px: int) -> int:
        return sum(shape[-1:] == (batch_px,) for shape in self.sent)


@contextmanager
def stand_in(fake: Fake, name: str = "stand-in") -> Iterator[None]:
    """Let this process have a CUDA device of this name until the block ends."""
    with (
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.cuda, "get_device_name", lambda: name),
        patch.object(module, "feeds", [Feed(fake, batch_px=BATCH_PX)]),
    ):
        try:
            yield
        finally:
            module.failures.clear()
