"""Residuals of the atmospheric correction in a scene's reflectance, and smile.

The correction divides by the transmittance that it believes in, at the band centres it believes
in. Where column, oxygen path or centre differ from the truth, the quotient keeps the shape of the
gas: residuals at water vapour and oxygen, and spikes at their edges under smile. Aerosol leaves a
slope and path light, the radiometric calibration a smooth curve and a gain. All amplitudes are
assumptions of ours about a good correction; none is fitted to data or to a result.
"""

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from deepsalt.errors import UsageError
from deepsalt.simulate.specimens import gaussian
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable, Floats

# Centre nm, optical depth of 1 cm of water (two-way, effective over some 5 nm), sd nm. Positions
# of the vapour bands; depths rounded from clear-sky transmittances, the saturated ones capped.
_VAPOUR = (
    (720.0, 0.06, 8.0),
    (820.0, 0.07, 12.0),
    (907.0, 0.10, 12.0),
    (940.0, 0.45, 16.0),
    (970.0, 0.10, 14.0),
    (1130.0, 0.50, 20.0),
    (1380.0, 2.5, 32.0),
    (1470.0, 0.10, 30.0),
    (1880.0, 2.5, 45.0),
    (1950.0, 0.35, 25.0),
    (2500.0, 0.35, 60.0),
)
_OXYGEN = ((687.0, 0.10, 4.0), (761.0, 0.55, 5.0))
_AEROSOL_POWER = -1.3  # Angstrom exponent of continental aerosol
_REFERENCE_NM = 550.0
_WAVES = 4  # cosines of the calibration's smooth residual

SMILE_NM = {"enmap": 0.5, "prisma": 2.5, "emit": 0.2}
"""Shift of band centres at the edge of the swath against its middle, nm (assumptions).

EnMAP is specified below 1 nm; for PRISMA several nm are reported (Cogliati et al. 2021, RSE 262,
112499); EMIT is nearly uniform by design.
"""

DRIFT_NM = {"enmap": 0.2, "prisma": 1.0, "emit": 0.1}
"""Standard deviation of a scene's common shift against the band table, nm (assumptions)."""

# of a sensor that is not named above
OTHER_SMILE_NM = 0.5
OTHER_DRIFT_NM = 0.3


@dataclass(frozen=True, slots=True)
class AtmosphereConfig:
    """Amplitudes of the residuals; 0 switches one off.

    Parameters
    ----------
    vapour_cm
        Range of a scene's column of water vapour (low, high), cm.
    vapour_error
        Standard deviation of the relative error of that column.
    oxygen_error
        Standard deviation of the relative error of the oxygen path.
    aerosol_slope
        Standard deviation of the error in the aerosol's optical depth at 550 nm.
    path_reflectance
        Standard deviation of the path light left at 550 nm, reflectance.
    gain
        Standard deviation of the log of a scene's radiometric gain.
    smooth
        Standard deviation of the smooth residual of the calibration, relative.
    smile_nm, drift_nm
        Instead of the sensor's `SMILE_NM` and `DRIFT_NM`, nm; negative: the sensor's.
    """

    vapour_cm: tuple[float, float] = (0.5, 2.5)
    vapour_error: float = 0.05
    oxygen_error: float = 0.05
    aerosol_slope: float = 0.03
    path_reflectance: float = 0.006
    gain: float = 0.03
    smooth: float = 0.01
    smile_nm: float = -1.0
    drift_nm: float = -1.0

    def __post_init__(self) -> None:
        """Refuse negative amplitudes and a column that cannot be."""
        low, high = self.vapour_cm
        if not 0 <= low <= high <= 10:
            raise UsageError(f"vapour_cm {self.vapour_cm} must be (low, high) in 0 to 10 cm")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("vapour_cm", "smile_nm", "drift_nm") and not 0 <= value <= 1:
                raise UsageError(f"atmosphere: {field.name} {value} must lie in 0 to 1")

    def smile(self, sensor: str) -> tuple[float, float]:
        """Return smile and drift of a sensor, nm."""
        return (
            SMILE_NM.get(sensor, OTHER_SMILE_NM) if self.smile_nm < 0 else self.smile_nm,
            DRIFT_NM.get(sensor, OTHER_DRIFT_NM) if self.drift_nm < 0 else self.drift_nm,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """Residuals of one scene's correction, on the grid of mixing (g wavelengths).

    Parameters
    ----------
    believed, true
        Two-way transmittance of vapour and oxygen that the correction divides by, and that was
        there (g,).
    factor
        Gain, aerosol and calibration (g,).
    path
        Path light left, reflectance (g,).
    drift_nm, smile_nm
        Common shift of the scene's band centres, and that at the swath's edge against its middle.
    """

    believed: Floats
    true: Floats
    factor: Floats
    path: Floats
    drift_nm: float
    smile_nm: float


def draw_sky(
    rng: np.random.Generator, grid_nm: Floats, config: AtmosphereConfig, sensor: str
) -> Sky:
    """Draw the residuals of one scene.

    Parameters
    ----------
    rng
        Source of all randomness.
    grid_nm
        Wavelengths of mixing, nm (g,).
    config
        Amplitudes.
    sensor
        Name that smile and drift go by.
    """
    column = rng.uniform(*config.vapour_cm)
    vapour = _depth(grid_nm, _VAPOUR)
    oxygen = _depth(grid_nm, _OXYGEN)
    errors = np.maximum(1.0 + rng.normal(size=2) * (config.vapour_error, config.oxygen_error), 0.0)
    haze = (grid_nm / _REFERENCE_NM) ** _AEROSOL_POWER
    slope, path, gain = rng.normal(size=3) * (
        config.aerosol_slope,
        config.path_reflectance,
        config.gain,
    )
    phase = rng.uniform(0.0, 2 * np.pi, (_WAVES, 1))
    waves = np.cos(2 * np.pi * np.arange(1, _WAVES + 1)[:, None] * grid_nm / 2200.0 + phase)
    smooth = config.smooth * np.sqrt(2.0 / _WAVES) * rng.normal(size=_WAVES) @ waves
    smile, drift = config.smile(sensor)
    return Sky(
        believed=np.exp(-column * vapour - oxygen),
        true=np.exp(-column * errors[0] * vapour - errors[1] * oxygen),
        factor=np.exp(gain + slope * haze + smooth),
        path=path * haze,
        drift_nm=float(drift * rng.normal()),
        smile_nm=float(smile * rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 1.0)),
    )


def look_through(
    sky: Sky, ground: Floats, column: Floats, *, grid_nm: Floats, bands: BandTable
) -> Floats:
    """Return what the corrected product of a scene holds, without noise.

    Parameters
    ----------
    sky
        The scene's residuals.
    ground
        Reflectance at the ground on the grid of mixing (n, g).
    column
        Position across the track, -1 to 1 from edge to edge (n,).
    grid_nm
        Wavelengths of mixing, nm (g,).
    bands
        The sensor's nominal bands (nb).

    Returns
    -------
    NDArray[np.float64]
        Reflectance (n, nb); NaN where the grid does not cover a band.
    """
    light = ground * (sky.factor * sky.true) + sky.path * sky.true
    believed = _response(grid_nm, bands, 0) @ sky.believed
    shift = sky.drift_nm + sky.smile_nm * column**2
    # Responses at whole nanometres are enough: between them a band's value is nearly linear.
    low = np.floor(shift).astype(int)
    share = (shift - low)[:, None]
    seen = np.empty((len(ground), len(bands)))
    for step in np.unique(low):
        rows = low == step
        left, right = (light[rows] @ _response(grid_nm, bands, at).T for at in (step, step + 1))
        seen[rows] = left + share[rows] * (right - left)
    return np.asarray(seen / believed, dtype=np.float64)


def _response(grid_nm: Floats, bands: BandTable, shift_nm: int) -> Floats:
    return _cached_response(tuple(grid_nm.tolist()), bands, int(shift_nm))


@lru_cache(maxsize=64)
def _cached_response(grid_nm: tuple[float, ...], bands: BandTable, shift_nm: int) -> Floats:
    centers = tuple(center + shift_nm for center in bands.centers_nm)
    moved = BandTable(bands.names, centers, bands.fwhm_nm, bands.usable)
    return response_matrix(np.array(grid_nm), moved)


def _depth(grid_nm: Floats, lines: tuple[tuple[float, float, float], ...]) -> Floats:
    depth = np.zeros(grid_nm.shape)
    for center, height, width in lines:
        depth += height * gaussian(grid_nm, center, width)
    return depth
