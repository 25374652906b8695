"""Which pixels of a cube can be estimated, and why others cannot: the `quality_flags` layer."""

from dataclasses import dataclass

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.cube.contract import check_cube, cube_bands, map_chunks
from deepsalt.errors import FormatError
from deepsalt.layers import quality_flags_attrs
from deepsalt.spectral.bands import select_bands
from deepsalt.spectral.indices import (
    ICE_BANDS_NM,
    INDEX_BANDS_NM,
    index_bands,
    shows_ice,
    spectral_flags,
)
from deepsalt.types import REJECTING, BandTable, QualityFlag

MAX_MISSING_BANDS = 0.1
"""Maximum share of the usable bands missing in a pixel; above it the pixel is DEFECTIVE."""


def mark_valid(cube: xr.Dataset) -> xr.Dataset:
    """Add `quality_flags` to a cube: why a pixel is or is not to be estimated.

    The provider's bits (`quality`), and per pixel that none of them rejects

    - OUTSIDE where every usable band is missing; it then stands alone, as where the provider
      says so;
    - DEFECTIVE where more than `MAX_MISSING_BANDS` of the usable bands are missing;
    - WATER, GREEN_VEGETATION and DRY_VEGETATION as in `spectral_flags`;
    - OUT_OF_DOMAIN, which advises, where it shows ice.

    A pixel that the provider rejects keeps only the provider's bits, so its numbers need not be
    read, and the bits do not depend on which neighbours were.

    A band is missing in a pixel where it holds nodata or, in float cubes, no finite number.

    Parameters
    ----------
    cube
        See `check_cube`; lazy or in memory.

    Returns
    -------
    xr.Dataset
        The cube with `quality_flags` (y, x) uint16, lazy where the cube is.

    Raises
    ------
    FormatError
        It is not a cube, or has no bands to judge a pixel by.

    Examples
    --------
    >>> import deepsalt
    >>> cube = deepsalt.open_scene(deepsalt.read_acquisition("enmap-scene"))
    >>> deepsalt.mark_valid(cube).quality_flags.dims
    ('y', 'x')
    """
    check_cube(cube)
    if not cube.usable.values.any():
        raise FormatError(
            f"scene {cube.attrs.get('scene_id')} has no usable band; check its band table"
        )
    rules = _rules(
        cube_bands(cube), cube.gain.values, cube.offset.values, cube.dn.attrs.get("nodata")
    )
    quality_flags: da.Array | NDArray[np.uint16]
    arrays = cube["dn"].data, cube["quality"].data
    if any(isinstance(array, da.Array) for array in arrays):
        quality_flags = map_chunks(rules.quality_flags, *arrays, name="mark_chunk", dtype=np.uint16)
    else:
        quality_flags = rules.quality_flags(*arrays)
    attrs = quality_flags_attrs() | {"grid_mapping": "spatial_ref"}
    return cube.assign(quality_flags=(("y", "x"), quality_flags, attrs))


def mark_chunk(
    dn: NDArray[np.generic],
    quality: NDArray[np.uint16],
    *,
    bands: BandTable,
    gain: tuple[float, ...],
    offset: tuple[float, ...],
    nodata: float | None,
) -> NDArray[np.uint16]:
    """Return `quality_flags` (y, x) as `mark_valid` does, of one chunk in memory.

    Parameters
    ----------
    dn
        Digital numbers in the stored dtype (band, y, x).
    quality
        The provider's `QualityFlag` bits (y, x).
    bands, gain, offset, nodata
        As in `predict_chunk`.

    Raises
    ------
    FormatError
        There are no bands to judge a pixel by.
    """
    rules = _rules(bands, np.array(gain), np.array(offset), nodata)
    return rules.quality_flags(dn, quality)


def _rules(
    bands: BandTable,
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
    nodata: float | None,
) -> "_Rules":
    looked_at = np.zeros(len(bands), np.bool_)
    for positions in index_bands(bands, INDEX_BANDS_NM + ICE_BANDS_NM):
        looked_at[positions] = True
    return _Rules(
        usable=np.flatnonzero(bands.usable),
        looked_at=np.flatnonzero(looked_at),
        bands=select_bands(bands, looked_at),
        gain=gain[looked_at].astype(np.float32),
        offset=offset[looked_at].astype(np.float32),
        nodata=_whole(nodata),
    )


@dataclass(frozen=True, slots=True)
class _Rules:
    """Everything needed to judge the pixels of a scene; sent to the workers."""

    usable: NDArray[np.intp]
    looked_at: NDArray[np.intp]
    bands: BandTable  # those looked at
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]
    nodata: float | None

    def quality_flags(
        self, numbers: NDArray[np.generic], quality: NDArray[np.uint16]
    ) -> NDArray[np.uint16]:
        """Return the bits (y, x) of digital numbers (band, y, x)."""
        bits = quality.flatten()
        free = (bits & np.uint16(REJECTING)) == 0
        if free.any():
            # Selecting pixels costs more than processing all of them.
            chosen = slice(None) if free.all() else np.flatnonzero(free)
            bits[chosen] |= self._seen(numbers.reshape(numbers.shape[0], -1), chosen)
        bits[(bits & np.uint16(QualityFlag.OUTSIDE)) != 0] = np.uint16(QualityFlag.OUTSIDE)
        return bits.reshape(quality.shape)

    def _seen(
        self, numbers: NDArray[np.generic], chosen: slice | NDArray[np.intp]
    ) -> NDArray[np.uint16]:
        """Return the bits that some pixels' own digital numbers give; numbers (band, pixel)."""
        missing = self.missing_bands(numbers)[chosen]
        reflectance = self.reflectance(numbers, chosen)
        bits = spectral_flags(reflectance, self.bands)
        bits[shows_ice(reflectance, self.bands)] |= np.uint16(QualityFlag.OUT_OF_DOMAIN)
        bits[missing > MAX_MISSING_BANDS * self.usable.size] |= np.uint16(QualityFlag.DEFECTIVE)
        bits[missing == self.usable.size] |= np.uint16(QualityFlag.OUTSIDE)
        return bits

    def missing_bands(self, numbers: NDArray[np.generic]) -> NDArray[np.uint16]:
        """Return how many usable bands each pixel lacks (pixel,).

        Counts all pixels: counting in place takes a fifth of the time of selecting some of them.
        """
        count = np.zeros(numbers.shape[1], np.uint16)
        gone = np.empty(numbers.shape[1], np.bool_)
        for band in self.usable:
            count += self.missing(numbers[band], gone)
        return count

    def missing(self, numbers: NDArray[np.generic], gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where there is no measurement, in the memory given."""
        if self.nodata is None:
            gone[:] = False
        else:
            np.equal(numbers, self.nodata, out=gone)
        if np.issubdtype(numbers.dtype, np.floating):
            gone |= ~np.isfinite(numbers)
        return gone

    def reflectance(
        self, numbers: NDArray[np.generic], chosen: slice | NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Return the reflectance of the bands looked at, NaN where missing (pixel, band)."""
        planes = [numbers[band][chosen] for band in self.looked_at]
        values = np.empty((len(planes), planes[0].size), np.float32)
        gone = np.empty(planes[0].size, np.bool_)
        for i, plane in enumerate(planes):
            values[i] = plane
            values[i] *= self.gain[i]
            values[i] += self.offset[i]
            values[i][self.missing(plane, gone)] = np.nan
        return values.T


def _whole(number: float | None) -> float | None:
    """Return a whole number as an integer, which integers are compared with as they are."""
    return int(number) if number is not None and float(number).is_integer() else number
