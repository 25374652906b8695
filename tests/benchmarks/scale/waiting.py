"""A reader that waits, as one of a far archive does, and takes no processor."""

import time

import numpy as np
from numpy.typing import NDArray

from deepsalt.scenes.base import WindowRequest
from deepsalt.types import Acquisition
from tests.benchmarks import blank

_wait_s, _first = 0.0, 1


def wait(seconds: float, first: int) -> None:
    """Let scenes of this process be read from here, each of their windows after a while.

    The first of them wait between nothing and that, so that workers do not all end together.
    """
    from deepsalt.scenes import base

    global _wait_s, _first
    _wait_s, _first = seconds, first
    base.SENSORS["generic"] = (__name__, "Reader")


class Reader(blank.Reader):
    """See `deepsalt.scenes.base.SceneReader`."""

    def __init__(self, acquisition: Acquisition) -> None:
        super().__init__(acquisition)
        number = int(acquisition.acquisition_id[2:12])
        self._wait_s = _wait_s * min(1.0, number / _first)

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.int16]:
        """Return a window, late."""
        time.sleep(self._wait_s)
        return super().read_window(row, column, height, width)
