"""A reader that waits, as one of a far archive does, and takes no processor."""

import time

import numpy as np
from numpy.typing import NDArray

from deepsalt.scenes.base import Wanted
from tests.benchmarks import blank

_wait_s = 0.0


def wait(seconds: float) -> None:
    """Let scenes of this process be read from here, each of their windows after a while."""
    from deepsalt.scenes import base

    global _wait_s
    _wait_s = seconds
    base._SENSORS["generic"] = __name__


class Reader(blank.Reader):
    """See `deepsalt.scenes.base.SceneReader`."""

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: Wanted | None = None
    ) -> NDArray[np.int16]:
        """Return a window, late."""
        time.sleep(_wait_s)
        return super().read_window(row, column, height, width)
