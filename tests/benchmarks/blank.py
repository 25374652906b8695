"""A reader without I/O: what is left of a scene's time is deepsalt's own and the scheduler's."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepsalt.scenes.base import WindowRequest
from deepsalt.types import Acquisition


@lru_cache(maxsize=4)
def _window(bands: int, height: int, width: int) -> NDArray[np.int16]:
    numbers = np.linspace(1500, 3500, bands).astype(np.int16)[:, None, None]
    return np.broadcast_to(numbers, (bands, height, width)).copy()


class Reader:
    """See `deepsalt.scenes.base.SceneReader`; every pixel is the same bright soil."""

    by_band = False

    def __init__(self, acquisition: Acquisition) -> None:
        self._bands = len(acquisition.bands)
        self.block_shape = acquisition.block_shape or (256, 256)

    def read_window(
        self, row: int, column: int, height: int, width: int, wanted: WindowRequest | None = None
    ) -> NDArray[np.int16]:
        """Return a window that was prepared."""
        return _window(self._bands, height, width)

    def read_quality(self, row: int, column: int, height: int, width: int) -> NDArray[np.uint16]:
        """Return no remark."""
        return np.zeros((height, width), np.uint16)

    def close(self) -> None:
        """Nothing is open."""
