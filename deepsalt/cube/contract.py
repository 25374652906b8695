"""What a cube is: names, dimensions and types that every step after loading relies on."""

import dask.array as da
import numpy as np
import xarray as xr

from deepsalt.errors import FormatError
from deepsalt.types import BandTable

DIMS = ("band", "y", "x")
"""Dimensions of `dn`; `quality` and `basis` have the last two."""

BAND_COORDS = ("band", "wavelength", "fwhm", "gain", "offset", "usable")
"""Coordinates along `band`: name, nm, nm, reflectance per digital number, reflectance, flag."""

DTYPES = ("int16", "uint16", "float32")
"""Stored types of digital numbers."""


def check_cube(cube: xr.Dataset) -> None:
    """Refuse what is not a cube.

    Parameters
    ----------
    cube
        `dn` (band, y, x) in the stored type, `band` in one chunk where it is lazy; `quality`
        (y, x) uint16; `BAND_COORDS` on `band`; `x` and `y`, pixel centres; `spatial_ref`.

    Raises
    ------
    FormatError
        Something is missing, of another type or cut along `band`.
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
