"""All bands of a raster, by window: only wanted parts of file blocks become planes.

Deflated GeoTIFF blocks are inflated here, and stay in file order until the wanted pixels are known,
whereas GDAL reorders every block as a whole. GDAL reads everything else, and all odd or damaged
blocks, so that nothing changes in what it accepts or refuses.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Self
from weakref import finalize

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Compression, Interleaving
from rasterio.io import DatasetReader
from rasterio.windows import Window

from deepsalt.inputs import open_regular
from deepsalt.scenes.base import WindowRequest
from deepsalt.scenes.geotiff import MAX_BLOCK_BYTES, read_raster

_LITTLE_ENDIAN = (b"II*\0", b"II+\0")
_WHOLE_BITS = {"uint8", "int16", "uint16", "float32"}
_DIFFERENCES = {"uint8", "int16", "uint16"}
"""Types whose predictor 2 is a running sum of samples."""

_SMALLEST_BYTES = 2**14
"""Smaller blocks, such as strips of a few rows of one band, are faster in GDAL."""

_SPARE_BYTES = 4096
"""Bytes that a deflated block may have beyond twice its size."""

_ROWS = 2
"""Rows of a pixel-interleaved block to reorder at a time, within a core's own cache."""


class Cube:
    """All bands of an open raster.

    Parameters
    ----------
    raster
        The raster; the caller closes it.
    """

    def __init__(self, raster: DatasetReader) -> None:
        self._raster = raster
        self._blocks = Blocks.of(raster)
        # Many bands per call of GDAL: each call has a cost.
        self.by_band = self._blocks is not None and not self._blocks.together

    def read(self, window: Window, wanted: WindowRequest) -> NDArray[Any]:
        """Return wanted bands of a window in the stored type (band, y, x).

        Pixels that are not wanted may hold anything.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """
        if self._blocks:
            shape = (int(wanted.bands.sum()), window.height, window.width)
            planes = np.empty(shape, self._raster.dtypes[0])
            try:
                for part in self._blocks.meeting(window, wanted):
                    part.turn(planes)
            except _OddError:
                pass
            else:
                return planes
        return self._by_gdal(window, wanted)

    def find(
        self, value: int, window: Window, wanted: WindowRequest
    ) -> tuple[NDArray[np.intp], ...]:
        """Return wanted band, row and column of each such value, at least in the wanted pixels.

        Raises
        ------
        ReadError
            The file is truncated or has vanished.
        """
        if self._blocks:
            try:
                found = [part.find(value) for part in self._blocks.meeting(window, wanted)]
            except _OddError:
                pass
            else:
                nowhere = (np.empty(0, np.intp),) * 3
                return tuple(np.concatenate(axis) for axis in zip(nowhere, *found, strict=True))
        return _positions(self._by_gdal(window, wanted) == value)

    def _by_gdal(self, window: Window, wanted: WindowRequest) -> NDArray[Any]:
        if self._raster.interleaving == Interleaving.band:
            return read_raster(self._raster, window, (np.flatnonzero(wanted.bands) + 1).tolist())
        planes = read_raster(self._raster, window)
        return planes if wanted.bands.all() else planes[wanted.bands]

    def close(self) -> None:
        """Release resources other than the raster."""
        if self._blocks:
            self._blocks.close()


class _OddError(Exception):
    """A block is not where or what it should be; GDAL has to read it."""


class Blocks:
    """Blocks of a GeoTIFF that are inflated here."""

    def __init__(self, raster: DatasetReader, descriptor: int, *, differences: bool) -> None:
        self._raster = raster
        self._descriptor = descriptor
        # Readers end with their threads, which nothing closes.
        self.close = finalize(self, os.close, descriptor)
        self.together = raster.interleaving == Interleaving.pixel
        self.differences = differences
        rows, columns = raster.block_shapes[0]
        samples = raster.count if self.together else 1
        self._buffer = np.empty((rows, columns, samples), raster.dtypes[0])

    @classmethod
    def of(cls, raster: DatasetReader) -> Self | None:
        """Return the blocks of a raster; None if GDAL has to read them."""
        if raster.driver != "GTiff" or raster.compression != Compression.deflate:
            return None
        kinds = set(raster.dtypes)
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        predictor = structure.get("PREDICTOR", "1")
        if (
            raster.interleaving not in (Interleaving.pixel, Interleaving.band)
            or len(kinds) != 1
            or not kinds <= (_DIFFERENCES if predictor == "2" else _WHOLE_BITS)
            or predictor not in ("1", "2")
            or "NBITS" in raster.tags(1, ns="IMAGE_STRUCTURE")
        ):
            return None
        rows, columns = raster.block_shapes[0]
        samples = raster.count if raster.interleaving == Interleaving.pixel else 1
        size = rows * columns * samples * np.dtype(raster.dtypes[0]).itemsize
        if not _SMALLEST_BYTES <= size <= MAX_BLOCK_BYTES:
            return None
        try:
            with open_regular(raster.name) as file:
                if file.read(4) not in _LITTLE_ENDIAN:
                    return None
                descriptor = os.dup(file.fileno())
        except OSError:
            return None
        return cls(raster, descriptor, differences=predictor == "2")

    def meeting(self, window: Window, wanted: WindowRequest) -> Iterator["_BlockPart"]:
        """Yield the parts of a window that lie in one block each; those with a wanted pixel.

        Use each before the next: all share the same memory.
        """
        height, width, _ = self._buffer.shape
        top = int(window.row_off)
        left = int(window.col_off)
        within = _moved(wanted.box[0], top), _moved(wanted.box[1], left)
        bands = [0] if self.together else np.flatnonzero(wanted.bands).tolist()
        for row, column in product(
            *(
                range(part.start // size, -(-part.stop // size))
                for part, size in zip(within, (height, width), strict=True)
            )
        ):
            rows, columns = (
                slice(max(part.start, at * size), min(part.stop, (at + 1) * size))
                for part, at, size in zip(within, (row, column), (height, width), strict=True)
            )
            in_window = _moved(rows, -top), _moved(columns, -left)
            pixels = wanted.pixels[in_window]
            if not pixels.any():
                continue
            in_block = _moved(rows, -row * height), _moved(columns, -column * width)
            for plane, band in enumerate(bands):
                self._inflate(row, column, band)
                yield _BlockPart(self, self._buffer, in_block, in_window, pixels, wanted, plane)

    def _inflate(self, row: int, column: int, band: int) -> None:
        """Fill the memory with a block as it is stored.

        Raises
        ------
        _OddError
            It is not in the file, or has the wrong length.
        """
        where = f"{column}_{row}"
        begin, length = (
            self._raster.get_tag_item(f"{name}_{where}", "TIFF", bidx=band + 1)
            for name in ("BLOCK_OFFSET", "BLOCK_SIZE")
        )
        rows, columns, samples = self._buffer.shape
        flat = self._buffer.reshape(-1).view(np.uint8)
        if not (begin and length) or int(length) > 2 * flat.size + _SPARE_BYTES:
            raise _OddError  # left out because it is empty, or longer than anything deflated is
        try:
            packed = os.pread(self._descriptor, int(length), int(begin))
            found = imagecodecs.deflate_decode(packed, out=flat.data)
        except (OSError, OverflowError, imagecodecs.DeflateError):
            raise _OddError from None
        # The last strip of a raster may end with its last row.
        left = min(rows, self._raster.height - row * rows)
        if len(found) not in (flat.size, left * columns * samples * self._buffer.itemsize):
            raise _OddError


@dataclass(frozen=True, slots=True, eq=False)
class _BlockPart:
    """The intersection of a window and a block.

    Parameters
    ----------
    blocks
        Blocks of its origin.
    block
        The block as it is stored (y, x, sample).
    in_block, in_window
        Rows and columns in the block and in the window.
    pixels
        Those that are wanted (y, x) of this part.
    wanted
        Of the whole window.
    plane
        Of its band among the wanted ones, where bands lie apart.
    """

    blocks: Blocks
    block: NDArray[Any]
    in_block: tuple[slice, slice]
    in_window: tuple[slice, slice]
    pixels: NDArray[np.bool_]
    wanted: WindowRequest
    plane: int

    def turn(self, planes: NDArray[Any]) -> None:
        """Write it to its place in the window (band, y, x), only around wanted pixels."""
        rows, columns = self.in_block
        into = planes[(slice(None), *self.in_window)]
        if not self.blocks.together:
            into[self.plane] = self._summed(rows, columns.stop)[:, columns.start :, 0]
            return
        height = rows.stop - rows.start
        for first in range(0, height, _ROWS):
            some = slice(first, min(first + _ROWS, height))
            across = np.flatnonzero(self.pixels[some].any(axis=0))
            if not across.size:
                continue
            span = slice(int(across[0]), int(across[-1]) + 1)
            stored = self._summed(_moved(some, rows.start), columns.start + span.stop)
            stored = stored[:, columns.start + span.start :]
            plane = 0
            for run in self.wanted.runs():
                run_planes = slice(plane, plane + run.stop - run.start)
                into[run_planes, some, span] = stored[..., run].transpose(2, 0, 1)
                plane = run_planes.stop

    def find(self, value: int) -> tuple[NDArray[np.intp], ...]:
        """Return wanted band, row and column in the window of each such value."""
        rows, columns = self.in_block
        stored = self._summed(rows, columns.stop)[:, columns.start :]
        row, column, band = _positions(stored == value)
        if self.blocks.together:
            asked = self.wanted.bands[band]
            row, column = row[asked], column[asked]
            band = (np.cumsum(self.wanted.bands) - 1)[band[asked]]
        else:
            band = band + self.plane
        return band, row + self.in_window[0].start, column + self.in_window[1].start

    def _summed(self, rows: slice, end: int) -> NDArray[Any]:
        """Return some rows (y, x, sample) up to a column; sums them up, so it is asked once."""
        stored = self.block[rows, :end]
        if self.blocks.differences:
            stored = imagecodecs.delta_decode(stored, axis=1, out=stored)
        return stored


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _positions(marked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    # Flat: `numpy.nonzero` takes ten times as long on several axes.
    return np.unravel_index(np.flatnonzero(marked), marked.shape)
