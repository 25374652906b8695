"""Indices by which salinity has been mapped: a baseline.

With R the reflectance at a wavelength in nm and N(a, b) = (Ra - Rb) / (Ra + Rb):

- ``ndgi``: N(1690, 1750), gypsum (Milewski et al. 2019).
- ``nsmi``: N(1750, 2119), moisture (Haubrock et al. 2008 have 1800, which EnMAP cannot see).
- ``ndsi``: N(660, 800); ``si``: sqrt(R560 R660). Broad-band salt indices; both follow brightness
  and plants more than salt.
- ``brightness``: mean of R560, R660, R800, R1610 and R2200.
- ``ndvi``: N(800, 660); ``ncai``: N(S, 2100) with S the mean of R2000 and R2200, dry plants;
  ``nbr2``: N(1610, 2200); ``redness``: N(660, 460), iron and water (EnSoMAP's tests, EnMAP-Box).
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.spectral.absorption import Sampler
from deepsalt.types import BandTable


def salinity_indices(reflectance: NDArray[np.floating], bands: BandTable) -> NDArray[np.float64]:
    """Return indices of spectra, in the order in which they are listed above.

    Parameters
    ----------
    reflectance
        (s, n); NaN where missing.
    bands
        The n bands; unusable ones are ignored.

    Returns
    -------
    NDArray[np.float64]
        (s, n indices), NaN where the sensor does not cover an index or a band is missing.
    """
    at = Sampler(reflectance, bands)
    shoulder = 0.5 * (at(2000.0) + at(2200.0))
    return np.column_stack(
        [
            _contrast(at(1690.0), at(1750.0)),
            _contrast(at(1750.0), at(2119.0)),
            _contrast(at(660.0), at(800.0)),
            np.sqrt(at(560.0) * at(660.0)),
            np.mean([at(nm) for nm in (560.0, 660.0, 800.0, 1610.0, 2200.0)], axis=0),
            _contrast(at(800.0), at(660.0)),
            _contrast(shoulder, at(2100.0)),
            _contrast(at(1610.0), at(2200.0)),
            _contrast(at(660.0), at(460.0)),
        ]
    )


def _contrast(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return (a - b) / (a + b)
