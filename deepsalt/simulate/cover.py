"""Reflectance of plants, straw, water and clouds, by formula.

Shapes only: each is a smooth curve with the absorptions of chlorophyll, leaf water, cellulose and
lignin where they are known to lie, in seeded variety. Nothing is fitted.
"""

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.optics import water_absorption
from deepsalt.simulate.specimens import gaussian

Spectra = NDArray[np.float64]


def green_vegetation(rng: np.random.Generator, n: int, wavelength_nm: Spectra) -> Spectra:
    """Return n canopies (n, nb): pigments, a red edge at 700-725 nm, leaf water."""
    chlorophyll, water_mm, plateau = (
        rng.uniform(low, high, (n, 1)) for low, high in ((0.7, 1.5), (0.25, 0.9), (0.36, 0.55))
    )
    edge = rng.uniform(700.0, 725.0, (n, 1))
    pigment = 2.0 * gaussian(wavelength_nm, 430.0, 60.0) + 1.5 * gaussian(wavelength_nm, 650.0, 45)
    pigment += 0.9 * gaussian(wavelength_nm, 680.0, 14.0) + 0.8
    # Below the edge pigments absorb, above it leaves scatter.
    below = 1.0 / (1.0 + np.exp((wavelength_nm - edge) / 11.0))
    absorbance = chlorophyll * pigment * below + 1.6 * water_mm * water_absorption(wavelength_nm)
    slope = 1.0 - 0.00010 * np.maximum(wavelength_nm - 900.0, 0.0)
    return plateau * slope * np.exp(-np.minimum(absorbance, 4.0)) + 0.008


def dry_vegetation(rng: np.random.Generator, n: int, wavelength_nm: Spectra) -> Spectra:
    """Return n stands of straw or litter (n, nb): cellulose and lignin at 2100 and 2300 nm."""
    brightness = rng.uniform(0.32, 0.55, (n, 1))
    depth = rng.uniform(0.7, 1.3, (n, 1))
    brown = rng.uniform(250.0, 380.0, (n, 1))
    rise = 1.0 - 0.95 * np.exp(-(wavelength_nm - 330.0) / brown)
    fall = 1.0 - 0.00022 * np.maximum(wavelength_nm - 1300.0, 0.0)
    absorbance = np.zeros(wavelength_nm.shape)
    for center, height, width in (
        (1200, 0.03, 40),
        (1480, 0.14, 60),
        (1730, 0.06, 30),
        (1935, 0.22, 45),
        (2100, 0.20, 48),
        (2280, 0.12, 35),
        (2340, 0.12, 30),
        (2500, 0.2, 60),
    ):
        absorbance += height * gaussian(wavelength_nm, center, width)
    return brightness * rise * fall * np.exp(-depth * absorbance)


def open_water(rng: np.random.Generator, n: int, wavelength_nm: Spectra) -> Spectra:
    """Return n water bodies (n, nb), clear to turbid; black in the short-wave infrared."""
    sediment = rng.uniform(0.01, 0.10, (n, 1))
    green = rng.uniform(0.005, 0.03, (n, 1))
    visible = sediment * gaussian(wavelength_nm, 580.0, 110.0) + green * gaussian(
        wavelength_nm, 540.0, 60.0
    )
    glint = rng.uniform(0.002, 0.01, (n, 1))
    return (
        visible * np.exp(-np.maximum(wavelength_nm - 640.0, 0.0) / 90.0)
        + glint
        + 0.012 * np.exp(-(wavelength_nm - 380.0) / 120.0)
    )


def cloud(wavelength_nm: Spectra) -> Spectra:
    """Return an opaque water cloud (nb,): white, with the absorptions of droplets."""
    path = 0.12 * np.sqrt(water_absorption(wavelength_nm))
    return np.asarray(0.82 * np.exp(-path), dtype=np.float64)


def haze_slope(wavelength_nm: Spectra) -> Spectra:
    """Return the path reflectance that thin haze adds, relative to 550 nm (nb,)."""
    return np.asarray((wavelength_nm / 550.0) ** -1.6, dtype=np.float64)
