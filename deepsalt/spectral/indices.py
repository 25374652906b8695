"""Cover other than soil in a spectrum: water, green and dry vegetation.

Few narrow-band tests, chosen so that salt is never taken for water or snow: bright crusts pass
each of them. Thresholds come from the sources named beside them and were checked with measured
spectra: USGS library salts, ICRAF-ISRIC soils, EMIT pixels of a saline playa, EnMAP pixels of
Potsdam.

No test rejects a pixel as snow on purpose: to the usual ones a salt crust looks like snow, bright
in the visible and, when wet, dark in the short-wave infrared. Rejecting is left to the provider's
mask; `shows_ice` looks for the absorption of ice and only advises.
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.types import BandTable, QualityFlag

ICE_BANDS_NM = (560.0, 955.0, 1030.0, 1085.0, 1610.0)
"""Wavelengths that the test for ice looks at, nm."""

MIN_ICE_DEPTH = 0.05
"""Depth of the absorption of ice at 1030 nm below the line from 955 to 1085 nm.

Snow of the USGS library has 0.04 to 0.18. Salts that have as much lack the other mark; the wet
ones, epsomite and mirabilite, have 0.04.
"""

MIN_NDSI = 0.3
"""Normalised difference of 560 and 1610 nm of snow (Hall et al. 1995 use 0.4)."""

INDEX_BANDS_NM = (460.0, 560.0, 660.0, 800.0, 1610.0, 2000.0, 2100.0, 2200.0)
"""Wavelengths that the tests look at, nm."""

SPARED_NM = 2000.0
"""The one of them that may be missing: beside water vapour; without it no dry plants are found."""

HALF_WIDTH_NM = 10.0
"""Reflectance at a wavelength is the mean of the usable bands within this distance, nm."""

REACH_NM = 40.0
"""Where no band is that near, the nearest one within this distance stands in, nm."""

MAX_NDVI = 0.30
"""Normalised difference of 800 and 660 nm above which plants cover too much of the soil.

EnSoMAP (EnMAP-Box) uses 0.24, published values run from 0.2 to 0.4; 0.30 keeps 99 % of the 3,249
ICRAF-ISRIC laboratory soils, 0.24 would reject 3 % of them.
"""

MAX_NCAI = 0.03
"""Normalised cellulose absorption at 2100 nm above which dry plants cover too much of the soil.

EnSoMAP (EnMAP-Box), range 0.01 to 0.04. Of 70 salts in the USGS library only niter and ammonium
alunite exceed it; no ICRAF-ISRIC soil does.
"""

MAX_WATER_1610 = 0.05
"""Reflectance at 1610 nm below which a surface can be water, which absorbs nearly all there.

The darkest wet playa pixel of EMIT over Sevier Lake has 0.11, the darkest ICRAF-ISRIC soil 0.10.
"""

MIN_BRIGHTNESS = 0.05
"""Reflectance (800 nm for NDVI, 2.0-2.2 um for nCAI) below which those ratios are mostly noise."""


def index_bands(
    bands: BandTable, wavelengths_nm: tuple[float, ...] = INDEX_BANDS_NM
) -> tuple[NDArray[np.intp], ...]:
    """Return, for each wavelength, the positions of the bands to average, none only at `SPARED_NM`.

    Raises
    ------
    FormatError
        No usable band near another of the wavelengths.
    """
    centers = np.array(bands.centers_nm)
    usable = np.array(bands.usable)
    found = []
    for wavelength in wavelengths_nm:
        distance = np.where(usable, np.abs(centers - wavelength), np.inf)
        nearest = int(distance.argmin())
        if distance[nearest] > REACH_NM and wavelength == SPARED_NM:
            found.append(np.array([], dtype=np.intp))
            continue
        if distance[nearest] > REACH_NM:
            raise FormatError(
                f"no usable band within {REACH_NM:g} nm of {wavelength:g} nm; without it water "
                f"and vegetation cannot be distinguished from soil, give bands from 460 to 2200 nm"
            )
        near = np.flatnonzero(distance <= HALF_WIDTH_NM)
        found.append(near if near.size else np.array([nearest]))
    return tuple(found)


def shows_ice(reflectance: NDArray[np.floating], bands: BandTable) -> NDArray[np.bool_]:
    """Return whether a spectrum shows the absorption of ice, as snow does (...).

    Parameters
    ----------
    reflectance
        Surface reflectance, unitless, NaN where missing (..., n bands).
    bands
        Table of the n bands; unusable ones are ignored.

    Raises
    ------
    FormatError
        No usable band near one of `ICE_BANDS_NM`.
    """
    r560, r955, r1030, r1085, r1610 = (
        _mean(reflectance, positions) for positions in index_bands(bands, ICE_BANDS_NM)
    )
    line = r955 + (r1085 - r955) * ((1030.0 - 955.0) / (1085.0 - 955.0))
    ice: NDArray[np.bool_] = (line - r1030 > MIN_ICE_DEPTH * line) & _exceeds(r560, r1610, MIN_NDSI)
    return ice


def spectral_flags(reflectance: NDArray[np.floating], bands: BandTable) -> NDArray[np.uint16]:
    """Return `QualityFlag` bits that the spectrum gives: WATER, GREEN_VEGETATION, DRY_VEGETATION.

    - WATER: R1610 < `MAX_WATER_1610`, and R660 <= R460 (clear water; EnSoMAP's test) or
      R560 > R1610 (turbid water). The first condition spares salt crusts, also wet ones, which
      the other two would take for water.
    - GREEN_VEGETATION: (R800 - R660) / (R800 + R660) > `MAX_NDVI` and R800 bright enough.
    - DRY_VEGETATION: with S the mean of R2000 and R2200, (S - R2100) / (S + R2100) > `MAX_NCAI`
      and S bright enough.

    Parameters
    ----------
    reflectance
        Surface reflectance, unitless, NaN where missing (..., n bands).
    bands
        Table of the n bands; unusable ones are ignored.

    Returns
    -------
    NDArray[np.uint16]
        Bits (...). A test whose bands are all missing sets none.

    Raises
    ------
    FormatError
        No usable band near one of `INDEX_BANDS_NM`.
    """
    r460, r560, r660, r800, r1610, r2000, r2100, r2200 = (
        _mean(reflectance, positions) for positions in index_bands(bands)
    )
    water = (r1610 < MAX_WATER_1610) & ((r660 <= r460) | (r560 > r1610))
    green = _exceeds(r800, r660, MAX_NDVI) & (r800 >= MIN_BRIGHTNESS)
    shoulder = 0.5 * (r2000 + r2200)
    dry = _exceeds(shoulder, r2100, MAX_NCAI) & (shoulder >= MIN_BRIGHTNESS)
    bits = np.zeros(np.shape(r800), np.uint16)
    bits |= water * np.uint16(QualityFlag.WATER)
    bits |= green * np.uint16(QualityFlag.GREEN_VEGETATION)
    bits |= dry * np.uint16(QualityFlag.DRY_VEGETATION)
    return bits


def _mean(reflectance: NDArray[np.floating], positions: NDArray[np.intp]) -> NDArray[np.floating]:
    """Return the mean of the bands that are not missing, at least 0; NaN where all are."""
    total = np.zeros(reflectance.shape[:-1], reflectance.dtype)
    count = np.zeros(reflectance.shape[:-1], reflectance.dtype)
    for position in positions:  # planes of a cube lie together in memory, spectra do not
        plane = reflectance[..., position]
        present = np.isfinite(plane)
        total += np.where(present, plane, 0)
        count += present
    # Over dark surfaces atmospheric correction gives negative values, which turn ratios over.
    mean = np.maximum(total / np.maximum(count, 1), 0)
    filled: NDArray[np.floating] = np.where(count > 0, mean, reflectance.dtype.type(np.nan))
    return filled


def _exceeds(
    a: NDArray[np.floating], b: NDArray[np.floating], threshold: float
) -> NDArray[np.bool_]:
    """Return whether (a - b) / (a + b) > threshold, without dividing by zero."""
    return np.asarray(a - b > threshold * (a + b), dtype=np.bool_)
