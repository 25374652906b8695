"""Measured spectra of surfaces beside the library of soils: built, bare, burnt, salts, a playa.

`surfaces.csv` is written by `deepsalt.simulate.derive`. Built surfaces are what the out-of-domain
test has to find; bare ground of the same instrument, real salts and pixels of a wet playa are what
it must not take for them. Built surfaces of some collection sites are left out: they are for tests.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.specimens import SOIL_CENTERS_NM, read_rows

BUILT = "built"
BARE = "bare"
SALT = "salt"
PLAYA = "playa"
BURNT = "burnt"


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Spectra of surfaces (s rows).

    Parameters
    ----------
    kind
        `BUILT`, `BARE`, `SALT`, `PLAYA` or `BURNT` (s,).
    site
        Collection site; of salts the mineral (s,).
    reflectance
        At `SOIL_CENTERS_NM` (s, 180).
    """

    kind: NDArray[np.str_]
    site: NDArray[np.str_]
    reflectance: NDArray[np.float64]


@lru_cache(maxsize=1)
def surfaces() -> Surfaces:
    """Return all surfaces of the table."""
    rows = read_rows("surfaces.csv")
    names = [f"r{center:.0f}" for center in SOIL_CENTERS_NM]
    return Surfaces(
        np.array([row["kind"] for row in rows]),
        np.array([row["site"] for row in rows]),
        1e-4 * np.array([[float(row[name]) for name in names] for row in rows]),
    )
