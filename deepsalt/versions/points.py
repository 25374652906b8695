"""Points of a lazy array that is not a Dask array, read chunk by chunk.

A mosaic is a vast array: millions of chunks, few of them written. Zarr reads slices of it at once,
but for points it counts over all chunks, which takes half a minute and gigabytes. Here only the
chunks with points are read.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

_AT_ONCE = 16
"""Number of chunks read at a time."""


def by_chunk(layer: xr.DataArray, chunk_px: int) -> xr.DataArray:
    """Return a lazy layer (period, ..., y, x) whose points are read chunk by chunk.

    Parameters
    ----------
    layer
        Backed by Zarr, without Dask.
    chunk_px
        Edge of its chunks, pixels; they hold one period, and all of what lies between.
    """
    data = indexing.LazilyIndexedArray(_ByChunk(layer.variable, chunk_px))
    return layer.copy(data=data)


class _ByChunk(BackendArray):
    """Reads blocks directly, and points by the chunks that contain them."""

    def __init__(self, variable: xr.Variable, chunk_px: int) -> None:
        self.shape = variable.shape
        self.dtype = variable.dtype
        self._variable = variable
        self._chunk_px = chunk_px

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):
            return self._points(key.tuple)
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._block
        )

    def _block(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(self._variable[key].values)

    def _points(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the values at index arrays that broadcast; slices become the last dimensions."""
        places = np.broadcast_arrays(*_as_arrays(key, self.shape))
        shape = places[0].shape
        flat = np.stack([place.ravel() for place in places])
        edges = np.array([1, *self.shape[1:-2], self._chunk_px, self._chunk_px])
        chunks, of_point = np.unique(flat // edges[:, None], axis=1, return_inverse=True)
        of_point = of_point.ravel()  # NumPy 2.0 gives it two dimensions
        order = np.argsort(of_point, kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(of_point))[:-1]) if order.size else []
        values = np.empty(flat.shape[1], self.dtype)

        def read(group: NDArray[np.intp]) -> None:
            inside = flat[:, group]
            first = inside.min(axis=1)
            window = tuple(map(slice, first.tolist(), (inside.max(axis=1) + 1).tolist()))
            values[group] = self._block(window)[tuple(inside - first[:, None])]

        with ThreadPoolExecutor(min(_AT_ONCE, max(1, chunks.shape[1])), "point") as pool:
            list(pool.map(read, groups))
        return values.reshape(shape)


def _as_arrays(key: tuple[Any, ...], shape: tuple[int, ...]) -> list[NDArray[np.intp]]:
    arrays = [part for part in key if not isinstance(part, slice)]
    dims = max(part.ndim for part in arrays)
    slices = len(key) - len(arrays)
    found = []
    seen = 0
    for part, size in zip(key, shape, strict=True):
        if isinstance(part, slice):
            seen += 1
            found.append(np.arange(*part.indices(size)).reshape((-1,) + (1,) * (slices - seen)))
        else:
            wide = np.where(part < 0, part + size, part)
            found.append(wide.reshape((1,) * (dims - part.ndim) + part.shape + (1,) * slices))
    return found
