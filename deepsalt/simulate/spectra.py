"""Random spectra of saline ground with known conductivity, for training.

The way from mass to signal: soil and salts mix intimately in the crust (Hapke), the crust covers
part of the ground, a water film darkens it, plants cover part of it, the sun lights it unevenly,
the sensor blurs and adds noise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.cover import dry_vegetation, green_vegetation
from deepsalt.simulate.optics import (
    GYPSUM_LIKE,
    MixingConfig,
    cross_sections,
    densities,
    ec_from_salt,
    grain_sizes,
    is_salt,
    mix_hapke,
    noise_sd,
    snr,
    water_absorption,
    wet,
)
from deepsalt.simulate.specimens import (
    GRID_NM,
    Mineral,
    Use,
    mineral_reflectance,
    soil_basis,
    specimens,
)
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable

_BATCH = 4096  # samples mixed at a time: (batch, 5, 430) float64 is 70 MB


class Cover(NamedTuple):
    """Ground and cover of each mixture; all float32 (n,).

    Parameters
    ----------
    green, dry
        Areal shares of green and dry plants.
    film_mm
        Thickness of the water film, mm.
    salt
        Mass fraction of all salts in the crust, mean over the pixel.
    gypsum
        The part of `salt` that is gypsum or bassanite.
    """

    green: NDArray[np.float32]
    dry: NDArray[np.float32]
    film_mm: NDArray[np.float32]
    salt: NDArray[np.float32]
    gypsum: NDArray[np.float32]


class Mixtures(NamedTuple):
    """Spectra with their truth.

    Parameters
    ----------
    reflectance
        As the sensor sees it, float32 (n, nb).
    ec
        Conductivity of the water extract by `ec_from_salt`, dS/m, float32 (n,).
    cover
        Plants, water and salts.
    """

    reflectance: NDArray[np.float32]
    ec: NDArray[np.float32]
    cover: Cover


def draw_soils(rng: np.random.Generator, n: int, use: Use) -> NDArray[np.float64]:
    """Return n dry, non-saline soils on `GRID_NM`, reflectance (n, 430).

    Scores are normal with the library's spread, cut at its 1 and 99 % quantiles.
    """
    basis = soil_basis(use)
    scores = np.clip(rng.normal(size=(n, basis.sd.size)) * basis.sd, basis.low, basis.high)
    return np.clip(np.exp(basis.mean + scores @ basis.components), 0.005, 0.95)


def draw_mixtures(
    rng: np.random.Generator,
    n: int,
    *,
    bands: BandTable,
    use: Use,
    config: MixingConfig | None = None,
) -> Mixtures:
    """Draw n spectra of saline and non-saline ground with their conductivity.

    Parameters
    ----------
    rng
        Source of all randomness: the same state gives the same mixtures.
    n
        Spectra to draw.
    bands
        The sensor's bands (nb).
    use
        ``train`` or ``demo``: which specimens and soils.
    config
        Constants of the mixing; the defaults when None.
    """
    config = config or MixingConfig()
    response = response_matrix(GRID_NM, bands).T
    parts = [
        _draw_batch(
            rng, min(_BATCH, n - start), bands=bands, response=response, use=use, config=config
        )
        for start in range(0, n, _BATCH)
    ]
    cover = Cover(
        *(np.concatenate(column) for column in zip(*(p.cover for p in parts), strict=True))
    )
    return Mixtures(
        np.concatenate([part.reflectance for part in parts]),
        np.concatenate([part.ec for part in parts]),
        cover,
    )


def _draw_batch(
    rng: np.random.Generator,
    n: int,
    *,
    bands: BandTable,
    response: NDArray[np.float64],
    use: Use,
    config: MixingConfig,
) -> Mixtures:
    soils = draw_soils(rng, n, use)
    crust, mass, names = _crusts(rng, soils, use, config)
    # Salt lies in patches: outside them the bare soil shows.
    patches = rng.uniform(0.4, 1.0, (n, 1))
    mass = patches * mass
    film = np.where(rng.random((n, 1)) < 0.4, rng.exponential(config.film_mm, (n, 1)), 0.0)
    ground = wet(patches * crust + (1.0 - patches) * soils, film, water_absorption(GRID_NM))
    green, dry = (
        rng.uniform(0.0, most, (n, 1)) * (rng.random((n, 1)) < 0.5)
        for most in (config.max_green, config.max_dry)
    )
    plants = green * green_vegetation(rng, n, GRID_NM) + dry * dry_vegetation(rng, n, GRID_NM)
    light = np.exp(rng.normal(0.0, 0.05, (n, 1)))
    seen = (light * (plants + (1.0 - green - dry) * ground)) @ response
    seen += rng.normal(size=seen.shape) * config.noise * noise_sd(seen, snr(bands.centers_nm))
    background = config.background_ds_m * np.exp(rng.normal(0.0, 1.0, n))
    return Mixtures(
        seen.astype(np.float32),
        (background + ec_from_salt(mass, names, config)).astype(np.float32),
        _cover(green, dry, film, mass=mass, names=names),
    )


def _cover(
    green: NDArray[np.float64],
    dry: NDArray[np.float64],
    film: NDArray[np.float64],
    *,
    mass: NDArray[np.float64],
    names: list[str],
) -> Cover:
    salts = mass[:, [is_salt(name) for name in names]].sum(axis=1)
    gypsum = mass[:, [name in GYPSUM_LIKE for name in names]].sum(axis=1)
    columns = (green[:, 0], dry[:, 0], film[:, 0], salts, gypsum)
    return Cover._make(column.astype(np.float32) for column in columns)


def _crusts(
    rng: np.random.Generator, soils: NDArray[np.float64], use: Use, config: MixingConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return crusts (n, 430), mass fractions (n, k) and the k minerals' names."""
    known = specimens(use)
    names = [mineral.mineral for mineral in known]
    mass = _masses(rng, len(soils), known, config)
    spectra = np.array([mineral_reflectance(mineral, GRID_NM) for mineral in known])
    size_um = grain_sizes(names, config) * np.exp(
        rng.normal(0.0, 0.5, (len(soils), 1 + len(known)))
    )
    shares = cross_sections(
        np.column_stack([1.0 - mass.sum(axis=1), mass]), densities(names), size_um
    )
    return mix_with_soil(soils, spectra, shares, config), mass, names


def mix_with_soil(
    soils: NDArray[np.float64],
    spectra: NDArray[np.float64],
    shares: NDArray[np.float64],
    config: MixingConfig,
) -> NDArray[np.float64]:
    """Mix each soil intimately with common minerals.

    Parameters
    ----------
    soils
        Reflectance (n, nb).
    spectra
        Reflectance of the k minerals (k, nb).
    shares
        Cross sections of the soil and the minerals, from `cross_sections` (n, 1 + k).
    config
        Geometry.

    Returns
    -------
    NDArray[np.float64]
        Reflectance (n, nb).
    """
    minerals = shares[:, 1:] / np.maximum(shares[:, 1:].sum(axis=1, keepdims=True), 1e-12)
    pure = mix_hapke(spectra, minerals, config)
    pairs = np.column_stack([shares[:, 0], 1.0 - shares[:, 0]])
    return mix_hapke(np.stack([soils, pure], axis=1), pairs, config)


def _masses(
    rng: np.random.Generator, n: int, known: Sequence[Mineral], config: MixingConfig
) -> NDArray[np.float64]:
    """Draw mass fractions (n, k): salts, gypsum and confusers, each in part of the samples.

    Amounts are log-uniform, so that every order of magnitude of salinity is as frequent.
    """
    names = [mineral.mineral for mineral in known]
    groups = {
        "salt": [is_salt(name) and name not in GYPSUM_LIKE for name in names],
        "gypsum": [name in GYPSUM_LIKE for name in names],
        "other": [not is_salt(name) for name in names],
    }
    odds = {"salt": (0.75, 5e-4, 0.8), "gypsum": (0.3, 5e-3, 0.9), "other": (0.4, 1e-2, 0.5)}
    mass = np.zeros((n, len(known)))
    for group, members in groups.items():
        chance, low, high = odds[group]
        top = high * config.crust_limit
        amount = np.exp(rng.uniform(np.log(low), np.log(top), n)) * (rng.random(n) < chance)
        # Few minerals at a time: a small concentration makes one of them dominate.
        kinds = rng.dirichlet(np.full(sum(members), 0.5), n)
        mass[:, np.array(members)] = amount[:, None] * kinds
    excess = np.maximum(mass.sum(axis=1, keepdims=True) / config.crust_limit, 1.0)
    return np.asarray(mass / excess, dtype=np.float64)
