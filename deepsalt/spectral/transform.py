"""The common band set of all sensors, and the linear front end of the student on it.

A spectrum of any sensor is brought to 10 nm bands in three atmospheric windows, differentiated
twice within each window and divided by its own standard deviation: the second derivative of the
standard normal variate (SNV; Barnes et al. 1989). Means of the SNV over broad ranges say what
derivatives lose: the spectrum's shape. All but the division is linear, so that it folds into one
matrix per band table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.spectral.edges import inferred
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable

SEGMENTS_NM = ((430.0, 1300.0), (1480.0, 1750.0), (1990.0, 2420.0))
"""First and last common band of each window, nm.

Between them lie water-vapour bands that EnMAP does not deliver (1391-1461, 1760-1939 nm) and that
the laboratory library left out (1350-1460, 1790-1960 nm): 1990 is the first common band that both
sensors still cover when their spectra were convolved from that library.
"""

STEP_NM = 10.0
"""Spacing and FWHM of the common bands, nm: the sampling of EnMAP's and PRISMA's SWIR."""

MAX_HOLE_NM = 40.0
"""Widest run of common bands without a sensor band that is interpolated within a window, nm."""

MAX_INFERRED_NM = 100.0
"""Up to this far, a window's outermost common bands are inferred from all others (`edges`), nm.

EMIT's products leave out 1480-1510 nm, some also 1990-2070 nm, and what lies above 2404 nm.
"""

_MARGIN_NM = 25.0  # sensor bands this far outside a window still reach its first band's response
LEVEL_FEATURES = 2
"""Features after the derivatives: log of the mean, and log of the deviation over the mean."""

SHAPE_NM = (
    (430.0, 520.0),
    (520.0, 600.0),
    (600.0, 700.0),
    (1000.0, 1300.0),
    (1480.0, 1750.0),
    (1990.0, 2420.0),
)
"""Ranges whose mean is a feature of shape, nm: what lies between two of them is known from all.

Second derivatives alone leave out what salinity indices live on. In regions without a site, 8
SIMULATED worlds seen by EnMAP, a kernel machine on 60 sites has a log1p R² of 0.14 with these
means and 0.07 without; on ICRAF-ISRIC R² changes by -0.01 to 0.02 (decision 58).
"""

BROAD_FEATURES = len(SHAPE_NM) + LEVEL_FEATURES
"""Features after the derivatives: shape and level, each in its own units."""

MIN_MEAN = 0.005
"""Means below it are taken as this much, reflectance: the logarithm of noise means nothing."""

MIN_VARIANCE = 1e-6
"""Variances below it are taken as this much, reflectance²: the noise of a flat spectrum."""


def common_nm(segments: Iterable[tuple[float, float]] = SEGMENTS_NM) -> NDArray[np.float64]:
    """Return the centres of the common bands, nm, ascending (n_common,)."""
    return np.concatenate([_grid(low, high) for low, high in segments])


def _grid(low: float, high: float) -> NDArray[np.float64]:
    return np.arange(low, high + STEP_NM / 2, STEP_NM)


def common_matrix(bands: BandTable) -> NDArray[np.float64]:
    """Return the matrix that turns a sensor's reflectance into the common bands.

    Parameters
    ----------
    bands
        The sensor's bands (n); unusable ones get no weight.

    Returns
    -------
    NDArray[np.float64]
        (n_common, n), rows sum to 1. Within a window, holes up to `MAX_HOLE_NM` are interpolated
        linearly; at its ends, up to `MAX_INFERRED_NM` are inferred from what soils look like.

    Raises
    ------
    FormatError
        The usable bands leave a range of the common set uncovered.
    """
    centers = np.array(bands.centers_nm)
    fwhm = np.array(bands.fwhm_nm)
    usable = np.array(bands.usable)
    blocks = []
    for low, high in SEGMENTS_NM:
        wanted = _grid(low, high)
        near = usable & (centers > low - _MARGIN_NM) & (centers < high + _MARGIN_NM)
        block = np.full((wanted.size, centers.size), np.nan)
        if near.any():
            block[:] = 0.0
            block[:, near] = _respond(centers[near], fwhm[near], wanted)
        blocks.append(_close_holes(wanted, block))
    common = np.vstack(blocks)
    known = np.isfinite(common).all(axis=1)
    if not known.all():
        common[~known] = inferred(np.asarray(known)) @ common[known]
    return common


def _respond(
    centers: NDArray[np.float64], fwhm: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the response of the wanted bands on the source bands; NaN rows where uncovered."""
    target = BandTable(
        names=tuple(f"{nm:.0f}" for nm in wanted),
        centers_nm=tuple(wanted.tolist()),
        fwhm_nm=(STEP_NM,) * wanted.size,
        usable=(True,) * wanted.size,
    )
    # Two detectors may share a wavelength to the last digit; the first of them stands for both.
    _, first = np.unique(centers, return_index=True)
    rows = np.zeros((wanted.size, centers.size))
    rows[:, first] = response_matrix(centers[first], target, source_fwhm_nm=fwhm[first])
    return rows


def _close_holes(wanted: NDArray[np.float64], block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill short runs of NaN rows from neighbours, leave those at the ends, refuse long ones."""
    covered = np.isfinite(block).all(axis=1)
    known = wanted[covered]
    for i in np.flatnonzero(~covered):
        nm = wanted[i]
        below = known[known < nm]
        above = known[known > nm]
        if below.size and above.size and above[0] - below[-1] - STEP_NM <= MAX_HOLE_NM:
            share = (nm - below[-1]) / (above[0] - below[-1])
            left, right = (block[np.flatnonzero(wanted == at)[0]] for at in (below[-1], above[0]))
            block[i] = (1.0 - share) * left + share * right
        elif (
            not known.size
            or np.abs(known - nm).min() > MAX_INFERRED_NM
            or (below.size and above.size)
        ):
            start = below[-1] + STEP_NM if below.size else wanted[0]
            end = above[0] - STEP_NM if above.size else wanted[-1]
            raise FormatError(
                f"the usable bands do not cover {start:.0f}-{end:.0f} nm; salinity needs "
                + ", ".join(f"{low:.0f}-{high:.0f}" for low, high in SEGMENTS_NM)
                + f" nm without holes wider than {MAX_HOLE_NM:.0f} nm"
            )
    return block


def derivative_matrix() -> NDArray[np.float64]:
    """Return second differences within each window, twice the central one, per (10 nm)².

    Of kernel machines on ICRAF-ISRIC, that on second derivatives has a log1p R² of 0.30 with
    profiles and 0.30 with countries left out, that on first ones 0.28 and 0.23.

    Returns
    -------
    NDArray[np.float64]
        (n_derivatives, n_common). Each row sums to 0, so that a constant added to a spectrum
        changes nothing. A window's first and last two bands have no derivative.
    """
    sizes = [_grid(low, high).size for low, high in SEGMENTS_NM]
    rows = np.zeros((sum(sizes) - 4 * len(sizes), sum(sizes)))
    row = start = 0
    for size in sizes:
        for column in range(start + 2, start + size - 2):
            rows[row, [column - 2, column, column + 2]] = 0.25, -0.5, 0.25
            row += 1
        start += size
    return rows


def shape_matrix() -> NDArray[np.float64]:
    """Return the means over `SHAPE_NM` minus the mean over all common bands.

    Returns
    -------
    NDArray[np.float64]
        (len(SHAPE_NM), n_common); each row sums to 0.
    """
    nm = common_nm()
    inside = np.array([(nm >= low) & (nm <= high) for low, high in SHAPE_NM], dtype=np.float64)
    means: NDArray[np.float64] = inside / inside.sum(axis=1, keepdims=True) - 1.0 / nm.size
    return means


def linear_matrix() -> NDArray[np.float64]:
    """Return derivatives and shape as a matrix on the common bands (n_features - 2, n_common)."""
    return np.vstack([derivative_matrix(), shape_matrix()])


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Linear front end for one band table (n bands).

    Parameters
    ----------
    linear
        Derivatives and shape of the common bands as a matrix on reflectance (n_features - 2, n).
    weights
        Quadrature weights of the mean and variance over the common bands, non-negative, summing
        to 1 (n,): with them the standard deviation does not depend on the sensor's sampling. For
        bands that are inferred the nearest measured one counts.
    """

    linear: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __call__(self, reflectance: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return features of spectra: (s, n) reflectance -> (s, n_features).

        SNV second derivatives, SNV means over `SHAPE_NM`, then the two `LEVEL_FEATURES`, which SNV
        takes out of a spectrum and which featureless salts, halite above all, show in.

        Raises
        ------
        FormatError
            A usable band is NaN in some spectrum.
        """
        used = self.weights > 0
        values = np.asarray(reflectance, dtype=np.float64)[:, used]
        if not np.isfinite(values).all():
            raise FormatError("spectra have missing values in bands that are marked usable")
        weights = self.weights[used]
        mean = values @ weights
        # Centred first: the difference of two large moments would lose digits.
        centred = values - mean[:, None]
        deviation = np.sqrt(np.maximum(centred**2 @ weights, MIN_VARIANCE))
        level = np.log(np.maximum(mean, MIN_MEAN))
        return np.column_stack(
            [
                centred @ self.linear[:, used].T / deviation[:, None],
                level,
                np.log(deviation) - level,
            ]
        )


@lru_cache(maxsize=64)
def front_end(bands: BandTable) -> FrontEnd:
    """Return the front end for a band table; cached, since a run meets few tables.

    Raises
    ------
    FormatError
        The usable bands leave a range of the common set uncovered.
    """
    common = common_matrix(bands)
    # Only inferred bands have negative weights; the nearest one stands for them in the moments.
    measured = np.flatnonzero((common >= 0.0).all(axis=1))
    at = common_nm()
    nearest = measured[np.abs(at[:, None] - at[measured]).argmin(axis=1)]
    return FrontEnd(linear_matrix() @ common, common[nearest].mean(axis=0))


def fill_missing(
    values: NDArray[np.float32], missing: NDArray[np.bool_], centers_nm: NDArray[np.float64]
) -> None:
    """Fill missing bands of single spectra in place, linearly in wavelength between neighbours.

    Parameters
    ----------
    values
        Spectra by column (band, s); the missing entries are overwritten.
    missing
        True = fill this band of this spectrum (band, s).
    centers_nm
        Band centres, any order (band,).

    Notes
    -----
    Windows never mix: a window whose bands all are missing becomes NaN. Beyond a window's
    outermost measured band the nearest value is held.
    """
    order = np.argsort(centers_nm)
    window = np.searchsorted([high + _MARGIN_NM for _, high in SEGMENTS_NM[:-1]], centers_nm)
    for column in np.flatnonzero(missing.any(axis=0)):
        for part in np.unique(window[missing[:, column]]):
            inside = order[window[order] == part]
            lost = missing[inside, column]
            known = inside[~lost]
            values[inside[lost], column] = (
                np.interp(centers_nm[inside[lost]], centers_nm[known], values[known, column])
                if known.size
                else np.nan
            )
