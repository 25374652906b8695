"""Spectral response: from one sampling of a spectrum to the bands of a sensor."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepsalt.errors import FormatError
from deepsalt.types import BandTable

FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
"""Standard deviation of a Gaussian per full width at half maximum."""

GAP_STEPS = 1.5
"""A step of the source grid above this many local steps is a gap, which is never bridged."""

_REACH_SIGMA = 3.0  # 99.7 % of a Gaussian response lies within
_NODES = 241  # quadrature points per band: odd, so that one is the centre
_NEIGHBOURS = 4  # steps on either side that say what the local step is


def response_matrix(
    source_nm: ArrayLike, target: BandTable, *, source_fwhm_nm: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the matrix that turns a source spectrum into the bands of a sensor.

    The source is taken as piecewise linear between its samples and weighted with a Gaussian of the
    band's FWHM; so a response narrower than the source sampling becomes a linear interpolation and
    never aliases. Where the source ends within a band's tails, both tails are cut alike, which
    keeps the band's centre.

    Parameters
    ----------
    source_nm
        Wavelengths of the source, nm, distinct, any order (n_source,).
    target
        Bands wanted (n_target).
    source_fwhm_nm
        Width of the source's own response, nm, scalar or (n_source,). Only the rest is blurred,
        sqrt(target² - source²); a target narrower than the source is interpolated. None: the
        source is taken as unblurred.

    Returns
    -------
    NDArray[np.float64]
        (n_target, n_source). Rows sum to 1; a row is NaN where the source does not cover the
        band between its half-maximum points.

    Raises
    ------
    FormatError
        Source wavelengths that are not finite and distinct.
    """
    given = np.atleast_1d(np.asarray(source_nm, dtype=np.float64))
    order = np.argsort(given)
    source = given[order]
    if given.ndim != 1 or not np.isfinite(source).all() or (np.diff(source) <= 0).any():
        raise FormatError("source wavelengths must be finite and distinct; drop repeated bands")
    own = np.zeros(source.size) if source_fwhm_nm is None else _widths(source_fwhm_nm, order)
    centers = np.array(target.centers_nm)
    fwhm = np.array(target.fwhm_nm)
    fwhm = np.sqrt(np.maximum(fwhm**2 - np.interp(centers, source, own) ** 2, 0.0))
    rows = _integrate(source, centers, fwhm)
    matrix = np.empty_like(rows)
    matrix[:, order] = rows
    return matrix


def _widths(fwhm_nm: ArrayLike, order: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(fwhm_nm, dtype=np.float64), order.shape)[order]


def _integrate(
    source: NDArray[np.float64], centers: NDArray[np.float64], fwhm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integrate Gaussians over the hat functions of an ascending source grid."""
    unit = np.linspace(-_REACH_SIGMA, _REACH_SIGMA, _NODES)
    offsets = unit * (FWHM_TO_SIGMA * fwhm)[:, None]
    nodes = centers[:, None] + offsets
    covered = _covered(source, nodes)
    # At both ends alike: cutting one tail would shift the centre of the band.
    covered &= covered[:, ::-1]
    complete = (covered | (np.abs(offsets) > fwhm[:, None] / 2)).all(axis=1)
    weights = np.exp(-0.5 * unit**2) * covered
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    left, share = _locate(source, nodes)
    rows = np.zeros((centers.size, source.size))
    band = np.broadcast_to(np.arange(centers.size)[:, None], left.shape)
    np.add.at(rows, (band, left), weights * (1.0 - share))
    np.add.at(rows, (band, np.minimum(left + 1, source.size - 1)), weights * share)
    rows[~complete] = np.nan
    return rows


def _locate(
    source: NDArray[np.float64], nodes: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the sample left of each node and the share of the right one."""
    if source.size == 1:
        return np.zeros(nodes.shape, dtype=np.intp), np.zeros(nodes.shape)
    left = np.clip(np.searchsorted(source, nodes, side="right") - 1, 0, source.size - 2)
    share = (nodes - source[left]) / np.diff(source)[left]
    return left, np.clip(share, 0.0, 1.0)


def _covered(source: NDArray[np.float64], nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which nodes lie within the source and not in one of its gaps."""
    inside = (nodes >= source[0]) & (nodes <= source[-1])
    if source.size > 1:
        left, share = _locate(source, nodes)
        inside &= (share == 0.0) | (share == 1.0) | ~_gaps(np.diff(source))[left]
    return np.asarray(inside, dtype=np.bool_)


def _gaps(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which steps are gaps (n_source - 1,).

    The local step is the upper quartile of the neighbouring ones: two detectors interleaved make
    steps alternate between short and long, and one band alone between two gaps is no grid.
    """
    gaps = np.zeros(steps.shape, dtype=np.bool_)
    for i, step in enumerate(steps):
        low = max(0, i - _NEIGHBOURS)
        others = np.delete(steps[low : i + _NEIGHBOURS + 1], i - low)
        gaps[i] = others.size > 0 and step > GAP_STEPS * np.quantile(others, 0.75)
    return gaps
