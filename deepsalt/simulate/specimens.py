"""Materials of the simulator: minerals, soils, vegetation and water, from small derived tables.

`minerals.csv` and `soils.csv` are written by `deepsalt.simulate.derive`. Each specimen and each
soil profile belongs to one use, ``train`` or ``demo``, so that what the demo maps was never seen
in training.
"""

import csv
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import UsageError

Use = Literal["train", "demo"]
Absorption = tuple[float, float, float]

GRID_NM: NDArray[np.float64] = np.arange(380.0, 2526.0, 5.0)
"""Wavelengths on which materials are mixed, nm (430,); covers the bands of every sensor."""

KNOTS_NM = (
    380.0,
    430.0,
    480.0,
    530.0,
    580.0,
    650.0,
    750.0,
    880.0,
    1050.0,
    1300.0,
    1600.0,
    1850.0,
    2150.0,
    2525.0,
)
"""Wavelengths of a mineral's continuum knots, nm; close in the visible, where iron absorbs."""

SOIL_CENTERS_NM: NDArray[np.float64] = np.concatenate(
    [np.arange(400.0, 1351.0, 10.0), np.arange(1460.0, 1791.0, 10.0), np.arange(1960.0, 2451, 10.0)]
)
"""Wavelengths of the soil basis, nm (180,): the laboratory grid."""

SOIL_COMPONENTS = 10
"""Principal components kept: 99.9 % of the variance of log reflectance."""

DEMO_SHARE = 0.2  # of the soil profiles


@dataclass(frozen=True, slots=True)
class Mineral:
    """One specimen in one preparation.

    Parameters
    ----------
    mineral
        Mineral name, lower case.
    specimen
        Identity of the specimen, over all grain sizes.
    record
        Name of the spectrum in its source.
    use
        ``train`` or ``demo``.
    knots
        Continuum at `KNOTS_NM`, reflectance.
    absorptions
        Gaussian absorptions (centre nm, depth in absorbance, standard deviation nm).
    """

    mineral: str
    specimen: str
    record: str
    use: str
    knots: tuple[float, ...]
    absorptions: tuple[Absorption, ...]


@dataclass(frozen=True, slots=True)
class SoilBasis:
    """Low-rank basis of soils: log reflectance = mean + scores @ components, on `GRID_NM`.

    Parameters
    ----------
    mean
        Log reflectance (430,).
    components
        Principal components (10, 430).
    sd, low, high
        Standard deviation, 1 % and 99 % quantile of the scores (10,).
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    sd: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def demo_profile(profile_id: str) -> bool:
    """Return whether a soil profile makes the demo's ground, and no simulated training ground.

    A hash decides, not the row's position, so that it holds for any extract of the library.
    """
    digest = hashlib.sha256(profile_id.strip().encode()).digest()
    return int.from_bytes(digest[:4], "big") < DEMO_SHARE * 2**32


def gaussian(
    wavelength_nm: NDArray[np.float64], center_nm: float, sd_nm: float
) -> NDArray[np.float64]:
    """Return a Gaussian of height 1 at the wavelengths (n,)."""
    return np.exp(-0.5 * ((wavelength_nm - center_nm) / sd_nm) ** 2)


def mineral_reflectance(
    mineral: Mineral, wavelength_nm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the reflectance of a specimen (n,): continuum x exp(-sum of absorptions)."""
    absorbance = np.zeros(wavelength_nm.shape)
    for center, depth, width in mineral.absorptions:
        absorbance += depth * gaussian(wavelength_nm, center, width)
    continuum: NDArray[np.float64] = np.interp(wavelength_nm, KNOTS_NM, mineral.knots)
    return continuum * np.exp(-absorbance)


@lru_cache(maxsize=2)
def specimens(use: Use) -> tuple[Mineral, ...]:
    """Return the mineral specimens of a use.

    Raises
    ------
    UsageError
        `use` is neither ``train`` nor ``demo``.
    """
    _check_use(use)
    return tuple(mineral_of(row) for row in read_rows("minerals.csv") if row["use"] == use)


def mineral_of(row: dict[str, str]) -> Mineral:
    """Return the specimen of a row of ``minerals.csv``."""
    absorptions = tuple(
        (float(center), float(depth), float(width))
        for center, depth, width in (part.split(":") for part in row["absorptions"].split(";"))
    )
    knots = tuple(float(row[f"k{knot:.0f}"]) for knot in KNOTS_NM)
    return Mineral(row["mineral"], row["specimen"], row["record"], row["use"], knots, absorptions)


@lru_cache(maxsize=2)
def soil_basis(use: Use) -> SoilBasis:
    """Return the soil basis of a use.

    The water-vapour windows, which the library leaves out, and the ends of the grid are linear
    in log reflectance: there is no 1400 and 1900 nm hydroxyl and water absorption in these soils.

    Raises
    ------
    UsageError
        `use` is neither ``train`` nor ``demo``.
    """
    _check_use(use)
    rows = [row for row in read_rows("soils.csv") if row["use"] == use]
    names = [f"r{center:.0f}" for center in SOIL_CENTERS_NM]
    shapes = np.array([_extend(np.array([float(row[name]) for name in names])) for row in rows])
    sd, low, high = (
        np.array([float(row[name]) for row in rows[1:]]) for name in ("sd", "low", "high")
    )
    return SoilBasis(shapes[0], shapes[1:], sd, low, high)


def _extend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate from the laboratory grid to `GRID_NM`, going on straight at both ends."""
    inner: NDArray[np.float64] = np.interp(GRID_NM, SOIL_CENTERS_NM, values)
    for edge, near in ((0, 5), (-1, -6)):
        slope = (values[near] - values[edge]) / (SOIL_CENTERS_NM[near] - SOIL_CENTERS_NM[edge])
        beyond = SOIL_CENTERS_NM[0] > GRID_NM if edge == 0 else SOIL_CENTERS_NM[-1] < GRID_NM
        inner[beyond] = values[edge] + slope * (GRID_NM[beyond] - SOIL_CENTERS_NM[edge])
    return inner


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table of the simulator, by column."""
    text = (files("deepsalt.simulate") / name).read_text("utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _check_use(use: str) -> None:
    if use not in ("train", "demo"):
        raise UsageError(f"there are no simulated materials for {use!r}; give 'train' or 'demo'")
