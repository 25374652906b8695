"""Points of a mosaic without Dask: the values that Dask gives, from the chunks that have points."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deepsalt.versions import open_mosaic
from deepsalt.versions.points import by_chunk
from tests.versions.test_read import made
from tests.versions.world import somewhere


def along(*dims: str, of: Any) -> xr.DataArray:
    return xr.DataArray(of, dims=dims)


SELECTIONS: dict[str, dict[str, Any]] = {
    "a path": {"y": along("i", of=[0, 9, 3, -1]), "x": along("i", of=[5, 7, -2, 0])},
    "of one period": {"period": 0, "y": along("i", of=[0, 9]), "x": along("i", of=[5, 7])},
    "twice the same": {"y": along("i", of=[4, 4]), "x": along("i", of=[2, 2])},
    "a field of points": {"y": along("a", "b", of=[[1, -2], [3, 4]]), "x": along("b", of=[5, -6])},
    "points with a slice": {"y": along("i", of=[1, 8]), "x": slice(3, 8)},
    "periods with points": {"period": along("i", of=[0, 0]), "y": along("i", of=[1, 8])},
    "rows by columns": {"y": [1, -1], "x": [2, -2, 0]},
    "a block": {"y": slice(2, 9, 3), "x": 4},
    "nothing": {"y": along("i", of=np.zeros(0, int)), "x": along("i", of=np.zeros(0, int))},
}


@pytest.fixture(scope="module")
def both() -> tuple[xr.Dataset, xr.Dataset]:
    mosaic = made(somewhere())
    return open_mosaic(mosaic, chunks=None), open_mosaic(mosaic)


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_a_selection_without_dask_is_that_of_dask(
    selection: dict[str, Any], both: tuple[xr.Dataset, xr.Dataset]
) -> None:
    xr.testing.assert_identical(*(ds.isel(selection).compute() for ds in both))


def test_points_read_the_chunks_that_they_lie_in_and_no_others() -> None:
    read: list[tuple[Any, ...]] = []

    class Counted(BackendArray):
        shape, dtype = (2, 3, 100, 100), np.dtype(int)

        def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
            read.append(key.tuple)
            return np.arange(60_000).reshape(2, 3, 100, 100)[key.tuple]

    dims = ("period", "threshold", "y", "x")
    layer = xr.DataArray(indexing.LazilyIndexedArray(Counted()), dims=dims)
    counted = by_chunk(layer, 10)
    points = counted.isel(y=along("i", of=[3, 5, 98]), x=along("i", of=[4, 1, 99]))
    assert points.load().isel(period=1, threshold=2).values.tolist() == [50_304, 50_501, 59_899]
    # A chunk holds one period, all thresholds, and 10 x 10 pixels.
    places = [(slice(3, 6, 1), slice(1, 5, 1)), (slice(98, 99, 1), slice(99, 100, 1))]
    assert sorted(read, key=str) == [
        (slice(period, period + 1, 1), slice(0, 3, 1), *place)
        for period in range(2)
        for place in places
    ]
