"""Trusted pairs as values."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import UsageError
from deepsalt.types import BandTable, Floats


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPairs:
    """Sites of simulated regions; one row per look at a site (s rows).

    Parameters
    ----------
    lab
        Reflectance of the dry, sieved, mixed sample with the laboratory's noise, float64
        (s, n_lab); the same in every look at a site; NaN in bands that a specimen leaves open.
    lab_bands
        The laboratory grid (n_lab).
    satellite
        Reflectance of the pixel as the product of its scene holds it, float64 (s, n_sat); NaN in
        bands that are not usable.
    satellite_bands
        The sensor's nominal bands (n_sat).
    sensor
        The sensor's name; "" for a table of bands.
    ec
        Conductivity of the sample's extract by `ec_from_salt`, dS/m (s,).
    region, scene, sample
        Names (s,); they do not depend on how many regions there are.
    green, dry
        Areal shares of plants in the pixel (s,).
    film_mm
        Water film, mm (s,).
    gypsum, salt
        Mass fractions of gypsum-like minerals and of all salts with them in the crust, mean over
        the pixel (s,).
    ec_method
        Which conductivity `ec` is.
    """

    lab: Floats
    lab_bands: BandTable
    satellite: Floats
    satellite_bands: BandTable
    sensor: str
    ec: Floats
    region: NDArray[np.str_]
    scene: NDArray[np.str_]
    sample: NDArray[np.str_]
    green: Floats
    dry: Floats
    film_mm: Floats
    gypsum: Floats
    salt: Floats
    ec_method: str


def join_pairs(parts: Sequence[SimulatedPairs]) -> SimulatedPairs:
    """Return the rows of all parts, which share bands and EC method.

    Raises
    ------
    UsageError
        No parts, or parts of different bands or methods.
    """
    alike = {(part.lab_bands, part.satellite_bands, part.ec_method) for part in parts}
    if len(alike) != 1:
        raise UsageError(
            f"pairs of {len(alike)} kinds of bands and EC methods cannot be joined; join pairs of "
            "one sensor and one configuration"
        )
    rows: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(SimulatedPairs)
        if isinstance(getattr(parts[0], f.name), np.ndarray)
    }
    return replace(parts[0], **rows)
