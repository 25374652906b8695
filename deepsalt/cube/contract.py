"""Definition of a cube: names, dimensions and types that later steps rely on."""

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from deepsalt.errors import FormatError
from deepsalt.types import BandTable

DIMS = ("band", "y", "x")
"""Dimensions of `dn`; `quality` and `quality_flags` have the last two."""

BAND_COORDS = ("band", "wavelength", "fwhm", "gain", "offset", "usable")
"""Coordinates along `band`: name, nm, nm, reflectance per digital number, reflectance, flag."""

DTYPES = ("int16", "uint16", "float32")
"""Stored types of digital numbers."""

Array = da.Array | NDArray[Any]


def check_cube(cube: xr.Dataset) -> None:
    """Refuse a Dataset that is not a cube.

    Parameters
    ----------
    cube
        `dn` (band, y, x) in the stored type, `band` in one chunk where it is lazy; `quality`
        (y, x) uint16; `BAND_COORDS` on `band`; `x` and `y`, pixel centres; `spatial_ref`.

    Raises
    ------
    FormatError
        A part is missing, has another type or is cut along `band`.
    """
    missing = [name for name in ("dn", "quality") if name not in cube.data_vars]
    missing += [name for name in (*BAND_COORDS, "y", "x", "spatial_ref") if name not in cube.coords]
    if missing:
        raise FormatError(f"the cube lacks {', '.join(missing)}; make it with open_scene")
    if cube.dn.dims != DIMS or cube.dn.dtype.name not in DTYPES:
        raise FormatError(
            f"`dn` is {cube.dn.dtype} {cube.dn.dims}; expected {', '.join(DTYPES)} {DIMS}"
        )
    if cube.quality.dims != DIMS[1:] or cube.quality.dtype != np.uint16:
        raise FormatError(
            f"`quality` is {cube.quality.dtype} {cube.quality.dims}; expected uint16 {DIMS[1:]}"
        )
    if isinstance(cube.dn.data, da.Array) and cube.dn.data.numblocks[0] != 1:
        raise FormatError(
            f"`dn` is cut into {cube.dn.data.numblocks[0]} chunks along band; "
            "rechunk with chunk({'band': -1})"
        )


def cube_bands(cube: xr.Dataset) -> BandTable:
    """Return the band table of a cube, from the coordinates on `band`."""
    return BandTable(
        names=tuple(str(name) for name in cube.band.values),
        centers_nm=tuple(float(center) for center in cube.wavelength.values),
        fwhm_nm=tuple(float(fwhm) for fwhm in cube.fwhm.values),
        usable=tuple(bool(usable) for usable in cube.usable.values),
    )


def map_chunks(
    function: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    dn: Array,
    layer: Array,
    *,
    name: str,
    dtype: DTypeLike,
) -> da.Array:
    """Return function(numbers, layer) of each chunk of a cube, lazily (y, x).

    Dask's own ways to drop a dimension concatenate the chunks along it, which copies the cube, and
    transposes it in memory if band comes last.

    Parameters
    ----------
    function
        Takes chunks (band, y, x) and (y, x), gives one (y, x).
    dn
        Digital numbers (band, y, x), all bands in one chunk; lazy or not.
    layer
        Layer (y, x); rechunked like `dn`.
    name
        Name in graphs.
    dtype
        Of the function's result.
    """
    dn = dn if isinstance(dn, da.Array) else da.from_array(dn, chunks=-1)
    chunks = dn.chunks[1:]
    mapped: da.Array = da.blockwise(
        partial(_on_whole, function),
        "yx",
        dn,
        "byx",
        layer.rechunk(chunks) if isinstance(layer, da.Array) else da.from_array(layer, chunks),
        "yx",
        concatenate=False,
        token=name,
        dtype=dtype,
        meta=np.empty((0, 0), dtype=dtype),
    )
    return mapped


def _on_whole(
    function: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    numbers: list[NDArray[Any]],
    layer: NDArray[Any],
) -> NDArray[Any]:
    (whole,) = numbers  # the chunks along band: one
    return function(whole, layer)
