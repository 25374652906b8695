"""Optics that turn a mass of salt into a conductivity, and a mixture into a reflectance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepsalt.errors import UsageError
from deepsalt.simulate.specimens import gaussian
from deepsalt.types import AnyFloats

# Part of a mineral's mass that dissolves as salt, from its formula; the rest is water of
# crystallisation, and in the double salts of calcium its sparingly soluble sulphate.
_SOLUTE = {
    "halite": 1.0,
    "sylvite": 1.0,
    "thenardite": 1.0,
    "nahcolite": 1.0,
    "niter": 1.0,
    "mirabilite": 0.441,
    "natron": 0.370,
    "epsomite": 0.488,
    "hexahydrite": 0.527,
    "kieserite": 0.870,
    "carnallite": 0.611,
    "kainite": 0.797,
    "bloedite": 0.785,
    "trona": 0.841,
    "eugsterite": 0.623,
    "glauberite": 0.511,
    "polyhalite": 0.489,
}
GYPSUM_LIKE = ("gypsum", "bassanite", "anhydrite")
"""Sparingly soluble: their water is saturated however much of them there is."""

DENSITY_G_CM3 = {
    "soil": 2.65,
    "halite": 2.17,
    "thenardite": 2.66,
    "mirabilite": 1.47,
    "epsomite": 1.67,
    "carnallite": 1.60,
    "sylvite": 1.99,
    "nahcolite": 2.21,
    "niter": 2.10,
    "natron": 1.48,
    "hexahydrite": 1.76,
    "kieserite": 2.57,
    "kainite": 2.15,
    "bloedite": 2.25,
    "trona": 2.13,
    "eugsterite": 2.4,
    "glauberite": 2.80,
    "polyhalite": 2.78,
    "gypsum": 2.31,
    "bassanite": 2.70,
    "anhydrite": 2.98,
    "calcite": 2.71,
    "dolomite": 2.86,
    "kaolinite": 2.60,
    "montmorillonite": 2.35,
    "illite": 2.75,
    "hematite": 5.26,
    "goethite": 4.28,
    "quartz": 2.65,
}
"""Grain densities, g/cm3 (Anthony et al., Handbook of Mineralogy; eugsterite, too fine to be
measured, lies between gypsum and glauberite). A mineral not listed here is not mixed."""


@dataclass(frozen=True, slots=True)
class MixingConfig:
    """Constants of the simulation; none of them is tuned to a result.

    Parameters
    ----------
    enrichment
        Salt mass fraction of the visible crust over that of the sampled soil. Unknown in nature
        (1 to 100); 10 is an assumption.
    extract_water_l_kg
        Water of the extract whose conductivity is the label, L per kg of soil. 2.0 is the 1:2
        extract that the Open Soil Spectral Library files the ICRAF-ISRIC labels under, so that
        simulated and measured labels are one quantity; 0.4 would be a saturated paste (ECe).
    background_ds_m
        Conductivity of a soil without visible salt: the median of those labels, dS/m.
    gypsum_limit_ds_m
        Conductivity of water saturated with gypsum, dS/m.
    sun_zenith_deg, view_zenith_deg
        Geometry of the Hapke mixing, degrees.
    crust_limit
        Largest salt mass fraction of a crust.
    max_green, max_dry
        Largest areal share of green and dry plants in a training mixture.
    film_mm
        Mean thickness of the water film on a moist surface, mm.
    salt_grain_um, soil_grain_um
        Median optical grain sizes, micrometres. Efflorescence is finer than sieved soil, so a
        little of it hides much ground; both are assumptions.
    noise
        Factor on the sensor's noise; 0 leaves spectra clean.
    """

    enrichment: float = 10.0
    extract_water_l_kg: float = 2.0
    background_ds_m: float = 0.07
    gypsum_limit_ds_m: float = 2.4
    sun_zenith_deg: float = 35.0
    view_zenith_deg: float = 0.0
    crust_limit: float = 0.6
    max_green: float = 0.3
    max_dry: float = 0.3
    film_mm: float = 0.12
    salt_grain_um: float = 30.0
    soil_grain_um: float = 100.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        """Refuse constants without a meaning."""
        if self.enrichment < 1 or self.extract_water_l_kg <= 0 or not 0 < self.crust_limit <= 1:
            raise UsageError(
                f"enrichment {self.enrichment} must be at least 1, extract water "
                f"{self.extract_water_l_kg} above 0 and crust limit {self.crust_limit} in 0 to 1"
            )


def is_salt(mineral: str) -> bool:
    """Return whether a mineral dissolves and so counts towards conductivity."""
    return mineral in _SOLUTE or mineral in GYPSUM_LIKE


def ec_from_salt(
    mass_fraction: ArrayLike, minerals: Sequence[str], config: MixingConfig | None = None
) -> NDArray[np.float64]:
    """Return the conductivity of a water extract of soil whose crust holds these salts.

    Mass balance: the soil holds 1 / enrichment of the crust's salt, all dissolved in the
    water of the extract. Salt of 640 mg/L per dS/m up to 5 dS/m and of 800 mg/L from 10 dS/m on
    (FAO, USSL), linear between, so that more salt always is more conductivity. Gypsum, bassanite
    and anhydrite dissolve up to saturation only; the other salts add up.

    Parameters
    ----------
    mass_fraction
        Mass fractions of the crust (n, k).
    minerals
        Names of the k minerals; those that do not dissolve add nothing.
    config
        Enrichment, water of the extract, gypsum limit; the defaults when None.

    Returns
    -------
    NDArray[np.float64]
        Conductivity, dS/m at 25 degrees C (n,).
    """
    config = config or MixingConfig()
    to_mg_l = 1e6 / config.enrichment / config.extract_water_l_kg
    dissolved = np.asarray(mass_fraction, dtype=np.float64) * to_mg_l
    soluble = dissolved @ np.array([_SOLUTE.get(name, 0.0) for name in minerals])
    sparing = dissolved @ np.array([float(name in GYPSUM_LIKE) for name in minerals])
    gypsum = np.minimum(sparing / 640.0, config.gypsum_limit_ds_m)
    steps_mg_l = (0.0, 3200.0, 8000.0)
    steps_ds_m = (0.0, 5.0, 10.0)
    ec = np.interp(soluble, steps_mg_l, steps_ds_m) + np.maximum(soluble - 8000.0, 0.0) / 800.0
    return np.asarray(ec + gypsum, dtype=np.float64)


def hapke_gamma(reflectance: AnyFloats, mu0: float, mu: float) -> AnyFloats:
    """Return sqrt(1 - single-scattering albedo) of a reflectance, any shape.

    Inverts the relative reflectance of a surface of isotropic scatterers without opposition
    surge, R = (1 - g²) / ((1 + 2 mu0 g)(1 + 2 mu g)): Hapke (1981), J. Geophys. Res. 86, 3039,
    as used for intimate mixtures by Mustard and Pieters (1987).
    """
    level = np.clip(reflectance, 1e-4, 1.0)
    a = 1.0 + 4.0 * mu * mu0 * level
    b = (mu + mu0) * level
    gamma: AnyFloats = (np.sqrt(b * b + a * (1.0 - level)) - b) / a
    return gamma


def hapke_reflectance(gamma: AnyFloats, mu0: float, mu: float) -> AnyFloats:
    """Return the reflectance of sqrt(1 - single-scattering albedo); inverse of `hapke_gamma`."""
    level: AnyFloats = (1.0 - gamma * gamma) / (
        (1.0 + 2.0 * mu0 * gamma) * (1.0 + 2.0 * mu * gamma)
    )
    return level


def densities(minerals: Sequence[str]) -> NDArray[np.float64]:
    """Return grain densities of soil and these minerals, g/cm3 (1 + k,)."""
    return np.array([DENSITY_G_CM3[name] for name in ("soil", *minerals)])


def grain_sizes(minerals: Sequence[str], config: MixingConfig) -> NDArray[np.float64]:
    """Return median grain sizes of soil and these minerals, micrometres (1 + k,)."""
    salts = (config.salt_grain_um if is_salt(name) else config.soil_grain_um for name in minerals)
    return np.array([config.soil_grain_um, *salts])


def cross_sections(
    mass: NDArray[np.float64], density_g_cm3: ArrayLike, size_um: ArrayLike = 50.0
) -> NDArray[np.float64]:
    """Return the shares of the grains' cross sections: mass / (density x size), summing to 1.

    Parameters
    ----------
    mass
        Mass fractions (n, k).
    density_g_cm3
        Grain densities (k,).
    size_um
        Grain diameters, scalar, (k,) or (n, k); only their ratios count.
    """
    weight = mass / np.asarray(density_g_cm3) / np.asarray(size_um)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def mix_hapke(
    spectra: NDArray[np.float64],
    shares: NDArray[np.float64],
    config: MixingConfig | None = None,
) -> NDArray[np.float64]:
    """Mix spectra intimately: single-scattering albedos weighted by cross section.

    Parameters
    ----------
    spectra
        Reflectances of the k components, (k, nb) or one set per sample (n, k, nb).
    shares
        Cross sections (n, k), from `cross_sections`.
    config
        Geometry; the defaults when None.

    Returns
    -------
    NDArray[np.float64]
        Reflectances (n, nb).
    """
    mu0, mu = cosines(config or MixingConfig())
    albedo = 1.0 - hapke_gamma(spectra, mu0, mu) ** 2
    mixed = np.einsum("nk,nkb->nb" if albedo.ndim == 3 else "nk,kb->nb", shares, albedo)
    gamma = np.sqrt(np.maximum(1.0 - mixed, 0.0))
    return np.asarray(hapke_reflectance(gamma, mu0, mu), dtype=np.float64)


def cosines(config: MixingConfig) -> tuple[float, float]:
    """Return the cosines of the sun's and the view's zenith angle."""
    zeniths = np.radians([config.sun_zenith_deg, config.view_zenith_deg])
    return float(np.cos(zeniths[0])), float(np.cos(zeniths[1]))


def water_absorption(wavelength_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the absorption coefficient of liquid water, per mm (n,).

    Gaussians that follow Kou, Labrie and Chylek (1993), Appl. Opt. 32, 3531, to some 20 %.
    """
    peaks = (
        (972.0, 0.045, 28.0),
        (1195.0, 0.11, 42.0),
        (1450.0, 2.9, 45.0),
        (1530.0, 0.9, 80.0),
        (1790.0, 0.35, 40.0),
        (1932.0, 11.0, 38.0),
        (2010.0, 4.0, 70.0),
        (2150.0, 1.3, 120.0),
        (2540.0, 9.0, 120.0),
    )
    total = np.zeros(wavelength_nm.shape)
    for center, height, width in peaks:
        total += height * gaussian(wavelength_nm, center, width)
    return total


def wet(reflectance: AnyFloats, film_mm: AnyFloats, absorption: AnyFloats) -> AnyFloats:
    """Darken a surface under a water film: internal reflection (Angstrom 1925) and absorption.

    Parameters
    ----------
    reflectance
        Dry reflectances (n, nb).
    film_mm
        Thickness, mm (n, 1); the darkening sets in over the first 0.1 mm.
    absorption
        `water_absorption` at the nb wavelengths, per mm (nb,).
    """
    inside = 0.53  # light that meets the surface of water (n = 1.33) from below
    covered = 1.0 - np.exp(-film_mm / 0.05)
    under_film = (1.0 - inside) * reflectance / (1.0 - inside * reflectance)
    darkened: AnyFloats = reflectance + covered * (under_film - reflectance)
    return darkened * np.exp(-2.0 * film_mm * absorption)


# EnMAP at 30 % albedo (sun zenith 35 degrees, clear sky), from the public noise coefficients of
# EnPT; lowered by us where water vapour or the detector's edge leave little signal.
_SNR_NM = (
    380,
    418,
    430,
    496,
    660,
    755,
    761,
    767,
    800,
    910,
    940,
    970,
    1050,
    1100,
    1130,
    1165,
    1300,
    1335,
    1400,
    1461,
    1500,
    1650,
    1760,
    1790,
    1939,
    1977,
    2010,
    2200,
    2400,
    2445,
    2525,
)
_SNR = (
    60,
    120,
    260,
    425,
    490,
    420,
    200,
    410,
    380,
    360,
    150,
    400,
    495,
    450,
    150,
    430,
    430,
    120,
    10,
    80,
    250,
    345,
    300,
    60,
    40,
    110,
    210,
    195,
    150,
    60,
    30,
)


def snr(wavelength_nm: ArrayLike) -> NDArray[np.float64]:
    """Return EnMAP's signal-to-noise ratio at a reflectance of 0.3 (n,)."""
    return np.asarray(np.interp(np.asarray(wavelength_nm), _SNR_NM, _SNR), dtype=np.float64)


SENSOR_NOISE = {"enmap": 1.0, "prisma": 1.5}
"""Noise of a sensor over that of EnMAP, whose figures `snr` has; others as EnMAP.

PRISMA's published SNR is lower below 700 and above 1600 nm (Cogliati et al. 2021, RSE 262, 112499);
one factor is our simplification.
"""


def noise_sd(reflectance: AnyFloats, snr_at_30: AnyFloats) -> AnyFloats:
    """Return the standard deviation of the noise, reflectance: photon noise above a floor.

    The form is NEdL = a sqrt(b + L), b being about a sixth of the radiance at a reflectance
    of 0.3.
    """
    sd: AnyFloats = 0.3 / snr_at_30 * np.sqrt((np.maximum(reflectance, 0.0) + 0.05) / 0.35)
    return sd
