"""Students on a GPU: one thread per process uses the device, fed by all threads of a worker.

    threads of chunks  scale numbers to reflectance, part by part
      -> queue         bounded: who asks waits while the device is behind
      -> batch         requests of any chunks side by side in pinned memory
      -> device        the student, the whole batch at once, while the next is being filled
      -> who asked

Only `Cuda` touches CUDA. If the device fails, the CPU takes over, with a warning; a scene that must
not mix both is abandoned then (`deepsalt.mapping`).
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.errors import UsageError
from deepsalt.model.folded import FoldedStudent
from deepsalt.model.student import ROWS, Estimates

DEVICES = ("cpu", "cuda")
"""Devices for predictions."""

BATCH_PX = 65_536
"""Pixels of a batch; the last is padded, so that a pixel's bits do not depend on its neighbours."""

REQUEST_PX = 4096
"""Pixels per request."""

WAITING = 16
"""Maximum parts waiting for the device; 52 MB for EnMAP."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
A = TypeVar("A")


class Device(Protocol):
    """Operations of a GPU."""

    def pinned(self, rows: int, columns: int) -> Tensor:
        """Return float32 memory of the host that the device can read directly."""

    def put(self, host: Tensor) -> Tensor:
        """Return a copy on the device; may still be in progress."""

    def get(self, tensor: Tensor) -> Tensor:
        """Return a copy on the host, once everything before it is done."""


class Cuda:
    """The first CUDA device that the process sees."""

    def pinned(self, rows: int, columns: int) -> Tensor:
        """Return page-locked memory (rows, columns)."""
        return torch.empty(rows, columns, pin_memory=True)

    def put(self, host: Tensor) -> Tensor:
        """Start a copy to the device."""
        return host.to("cuda", non_blocking=True)

    def get(self, tensor: Tensor) -> Tensor:
        """Wait for a copy to the host."""
        return tensor.cpu()


class Estimator(Protocol):
    """A student that answers: on the CPU or on a device."""

    def estimate(self, numbers: NDArray[np.generic], nodata: float | None = None) -> Estimates:
        """Return the estimates for spectra by column, as `FoldedStudent.estimate`."""


failures: list[str] = []
"""What the device failed with when the CPU first took over in this process; empty before."""


def on_device(folded: FoldedStudent, name: str) -> Estimator:
    """Return the student for a device; without the device for the CPU, with a warning.

    Parameters
    ----------
    folded
        The student.
    name
        One of `DEVICES`.

    Raises
    ------
    UsageError
        The kind of device is unknown.
    """
    if name not in DEVICES:
        raise UsageError(f"unknown device {name!r}; give one of {', '.join(DEVICES)}")
    if name == "cpu":
        return folded
    feed = _feed()
    return folded if feed is None else feed.student(folded)


_lock = threading.Lock()
feeds: "list[Feed | None]" = []
"""The feed of this process's CUDA device, None if there is none; empty until it was looked for."""


def _feed() -> "Feed | None":
    """Return the feed of this process's CUDA device, or None; looked for once."""
    with _lock:
        if not feeds:
            available = torch.cuda.is_available()
            if not available:
                logger.warning("no CUDA device is available; predicting on the CPU")
            feeds.append(Feed(Cuda()) if available else None)
        return feeds[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    student: FoldedStudent
    spectra: NDArray[np.float32]
    answered: "Future[tuple[Future[NDArray[np.float32]], slice]]" = field(default_factory=Future)

    def answers(self) -> NDArray[np.float32]:
        """Wait for the answers; raises what the device raised for the batch."""
        batch, columns = self.answered.result()
        return batch.result()[:, columns]


class Feed:
    """Assembles batches for one device.

    Parameters
    ----------
    device
        The device.
    batch_px, waiting
        Pixels of a batch, and the maximum of waiting requests.

    Attributes
    ----------
    waiting
        The requests that wait for a batch.
    """

    def __init__(self, device: Device, *, batch_px: int = BATCH_PX, waiting: int = WAITING) -> None:
        self._device = device
        self._batch_px = batch_px
        self.waiting: queue.Queue[_Request] = queue.Queue(maxsize=waiting)
        self._next: _Request | None = None
        self._moved: tuple[FoldedStudent, FoldedStudent] | None = None
        self._pinned: list[Tensor] = []
        # An executor of one thread: the error of a call is raised to all that request its result.
        self._calls = ThreadPoolExecutor(1, "deepsalt-device")
        threading.Thread(target=self._run, name="deepsalt-batches", daemon=True).start()

    def student(self, folded: FoldedStudent) -> Estimator:
        """Return a student that answers on the device."""
        return _OnDevice(folded, self)

    def ask(self, request: _Request) -> None:
        """Queue a request; wait while too many are queued."""
        self.waiting.put(request)

    def _run(self) -> None:
        under_way: tuple[list[_Request], Future[Tensor]] | None = None
        while True:
            batch = self._assemble(wait=under_way is None)
            started = (batch, self._submit(self._start, batch)) if batch else None
            if under_way is not None:
                wait([self._hand_out(*under_way)])
            under_way = started

    def _submit(self, call: Callable[[A], T], argument: A) -> "Future[T]":
        try:
            return self._calls.submit(call, argument)
        except RuntimeError as error:  # the process is exiting, and threads are waiting for answers
            failed = Future[T]()
            failed.set_exception(error)
            return failed

    def _hand_out(
        self, batch: list[_Request], started: "Future[Tensor]"
    ) -> "Future[NDArray[np.float32]]":
        """Tell all requests of a batch where their answers will be."""
        answers = self._submit(self._finish, started)
        start = 0
        for request in batch:
            stop = start + request.spectra.shape[1]
            request.answered.set_result((answers, slice(start, stop)))
            start = stop
        return answers

    def _finish(self, started: "Future[Tensor]") -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._device.get(started.result()).numpy()
        return found

    def _assemble(self, *, wait: bool) -> list[_Request]:
        """Return requests of one student that fill a batch, or as many as there are."""
        batch: list[_Request] = []
        size = 0
        while True:
            try:
                request = self._next or self.waiting.get(block=wait and not batch)
            except queue.Empty:
                return batch
            self._next = None
            size += request.spectra.shape[1]
            if batch and (request.student is not batch[0].student or size > self._batch_px):
                self._next = request
                return batch
            batch.append(request)

    def _start(self, batch: list[_Request]) -> Tensor:
        folded = batch[0].student
        if self._moved is None or self._moved[0] is not folded:
            self._moved = folded, folded.moved(self._device.put)
            rows = folded.used.size
            self._pinned = [self._device.pinned(rows, self._batch_px) for _ in range(2)]
        # The other one may still be read by the device.
        self._pinned.reverse()
        memory = self._pinned[0]
        start = 0
        for request in batch:
            stop = start + request.spectra.shape[1]
            memory[:, start:stop] = torch.from_numpy(request.spectra)
            start = stop
        memory[:, start:] = 1.0
        with torch.inference_mode():
            return self._moved[1].answer(self._device.put(memory))


@dataclass(frozen=True, slots=True, eq=False)
class _OnDevice:
    folded: FoldedStudent
    feed: Feed

    def estimate(self, numbers: NDArray[np.generic], nodata: float | None = None) -> Estimates:
        """Return the estimates for spectra by column, as `FoldedStudent.estimate`."""
        size = numbers.shape[1]
        values = np.empty((ROWS, size), np.float32)
        flags = np.empty(size, np.uint16)
        asked: list[tuple[slice, NDArray[np.bool_], _Request]] = []
        for start in range(0, size, REQUEST_PX):
            columns = slice(start, start + REQUEST_PX)
            spectra, lost = self.folded.prepare(numbers[:, columns], nodata)
            request = _Request(self.folded, spectra)
            self.feed.ask(request)
            asked.append((columns, lost, request))
        try:
            for columns, lost, request in asked:
                answers = request.answers()
                values[:, columns] = np.where(lost, np.nan, answers[:ROWS])
                flags[columns] = np.where(lost, 0, answers[ROWS])
        except (RuntimeError, MemoryError) as error:  # torch's own are RuntimeErrors
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            logger.warning("the device failed (%s); predicting on the CPU", reason)
            if not failures:
                failures.append(reason)
            return self.folded.estimate(numbers, nodata)
        return Estimates.of(values, flags)
