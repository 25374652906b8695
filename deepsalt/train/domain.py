"""What counts as unlike the training spectra: components, salt directions and thresholds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.optics import is_salt
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance, specimens
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.spectral.transform import front_end
from deepsalt.train.encoder import fit_quiet

Floats = NDArray[np.float64]

_QUANTILE = 0.99  # of the training samples, for either threshold
_SALT_DIRECTIONS = 8  # further directions are those of single specimens
# On the noise variance of the training's satellite views. Real EnMAP land pixels have 20 to 60
# times the modelled one (Potsdam), of sensor and atmosphere; water, which has no spectrum to speak
# of, 5,000 times.
_MARGIN = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """The test for spectra unlike the training's.

    Parameters
    ----------
    rows, offset
        Standardised components (r, d), (r,).
    directions
        Orthonormal directions that pure salts span (k, r).
    max_t2, max_q
        Thresholds of Hotelling's T² across these, and of the noise level (Q residual).
    """

    rows: Floats
    offset: Floats
    directions: Floats
    max_t2: float
    max_q: float


def fit_domain(features: Floats, noise: Floats, components: int) -> Domain:
    """Fit the test on unadapted training features (s, d) and their noise (s,)."""
    encoder = fit_quiet(features, components)
    directions = salt_directions(encoder.rows, encoder.offset)
    scores = features @ encoder.rows.T + encoder.offset
    distance = (scores**2).sum(axis=1) - ((scores @ directions.T) ** 2).sum(axis=1)
    return Domain(
        encoder.rows,
        encoder.offset,
        directions,
        float(np.quantile(distance, _QUANTILE)),
        _MARGIN * max(float(np.quantile(noise, _QUANTILE)), 1.0),
    )


def salt_directions(rows: Floats, offset: Floats) -> Floats:
    """Return orthonormal directions that the pure training salts span (k, r).

    A crust is further from the soils than many a roof, so distance alone would flag just what the
    map is for. The specimens are those of `use="train"`, at EnMAP's bands.
    """
    bands = sensor_bands("enmap")
    salts = [mineral for mineral in specimens("train") if is_salt(mineral.mineral)]
    pure = np.array([mineral_reflectance(salt, GRID_NM) for salt in salts])
    scores = front_end(bands)(pure @ response_matrix(GRID_NM, bands).T) @ rows.T + offset
    directions: Floats = np.linalg.svd(scores, full_matrices=False)[2][:_SALT_DIRECTIONS]
    return directions
