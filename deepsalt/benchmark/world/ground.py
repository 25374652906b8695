"""Regions and their sites: which soils, salts and plants lie there.

A region has a soil type, salts, levels of salinity, moisture, plant cover and crust enrichment of
its own; its sites vary around them. Plants grow regardless of salt, so that they give no hint.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.materials import Materials
from deepsalt.simulate.cover import dry_vegetation, green_vegetation
from deepsalt.simulate.optics import GYPSUM_LIKE, grain_sizes, is_salt
from deepsalt.simulate.specimens import GRID_NM, soil_basis
from deepsalt.types import Floats

# Mean mass shares of the soluble salts. Equivalents in xinjiang-soil-ions: Cl 0.35, SO4 0.59 of
# the anions; Na 0.52, Ca 0.30, Mg 0.16 of the cations. What Ca takes of SO4 is gypsum; of the rest
# chlorides make about a half, sulphates of Na and Mg most of the other.
_ASSEMBLAGE = {
    "halite": 0.42,
    "thenardite": 0.17,
    "mirabilite": 0.10,
    "epsomite": 0.08,
    "carnallite": 0.05,
    "bloedite": 0.04,
    "trona": 0.04,
    "eugsterite": 0.03,
    "hexahydrite": 0.02,
}
_OTHER_SALT = 0.01
_CHLORIDES = ("halite", "carnallite", "sylvite", "kainite")
_CHLORIDE_G_EQ = 58.44  # of halite and thenardite, which stand for their kinds
_SULPHATE_G_EQ = 71.02
GYPSUM_MOBILITY = 0.5
"""Enrichment of gypsum-like minerals is that of the others to this power: what dissolves sparingly
rises less (assumption)."""

_REGION_CONCENTRATION = 4.0
_SITE_CONCENTRATION = 20.0
_PATCH_LOW = 0.4  # least share of the ground that a crust covers
_PAIR_SOIL_SD = 0.2  # soil of the sample against that of the pixel, of the soils' spread


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedRegion:
    """Common properties of the sites of a region.

    Parameters
    ----------
    spectra
        One specimen per mineral of `Materials.minerals` (k, g).
    soil_scores
        Centre in the soil basis (10,).
    salts, gypsum, confusers
        Mean shares of soluble salts, of gypsum-like and of other minerals; each sums to 1, or to 0
        where there is none (k,).
    confuser_mass
        Mass fraction of the others in the soil.
    saline_share, salt
        Share of saline sites and their median soluble salt, mass fraction of the soil.
    gypsum_share, gypsum_mass
        Share of sites with gypsum and their median, mass fraction of the soil.
    enrichment
        Median enrichment of the crust.
    moist_share, film_mm
        Share of moist sites and their mean water film, mm.
    green, dry
        Largest areal shares of plants.
    """

    spectra: Floats
    soil_scores: Floats
    salts: Floats
    gypsum: Floats
    confusers: Floats
    confuser_mass: float
    saline_share: float
    salt: float
    gypsum_share: float
    gypsum_mass: float
    enrichment: float
    moist_share: float
    film_mm: float
    green: float
    dry: float


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSites:
    """Ground at n sites; columns of minerals are those of `Materials.minerals` (k).

    Parameters
    ----------
    pixel_soil, sample_soil
        Salt-free soil of the pixel and of the sample, reflectance (n, g).
    sample, crust
        Mass fractions in the sample and in the crust, mean over the pixel (n, k).
    patch
        Share of the ground under crust (n, 1).
    grain_um
        Grain sizes of soil and minerals, micrometres (n, 1 + k).
    green_leaf, dry_leaf
        Reflectance of the site's plants (n, g).
    green, dry, film_mm
        Areal shares of plants and the water film, mm, of an ordinary day (n, 1).
    background_ds_m
        Conductivity of the soil without salt, dS/m (n,).
    """

    pixel_soil: Floats
    sample_soil: Floats
    sample: Floats
    crust: Floats
    patch: Floats
    grain_um: Floats
    green_leaf: Floats
    dry_leaf: Floats
    green: Floats
    dry: Floats
    film_mm: Floats
    background_ds_m: Floats


def draw_region(
    rng: np.random.Generator, materials: Materials, config: SimulationConfig
) -> SimulatedRegion:
    """Draw what the sites of one region have in common."""
    basis = soil_basis(config.use)
    mixing = config.mixing
    names = materials.minerals
    soluble = [
        _ASSEMBLAGE.get(name, _OTHER_SALT) * (is_salt(name) and name not in GYPSUM_LIKE)
        for name in names
    ]
    gypsum = [float(name in GYPSUM_LIKE) for name in names]
    others = [float(not is_salt(name)) for name in names]
    return SimulatedRegion(
        spectra=materials.draw(rng),
        soil_scores=rng.normal(size=basis.sd.size) * basis.sd * np.sqrt(1.0 - config.soil_spread),
        salts=_dirichlet(rng, _of_kinds(soluble, names, config), _REGION_CONCENTRATION),
        gypsum=_dirichlet(rng, np.array(gypsum), 1.0),
        confusers=_dirichlet(rng, np.array(others), _REGION_CONCENTRATION),
        confuser_mass=rng.uniform(0.0, config.confusers) * any(others),
        saline_share=rng.uniform(*config.saline_share),
        salt=1e-3 * _log_uniform(rng, config.salt_g_kg),
        gypsum_share=rng.uniform(*config.gypsum_share) * any(gypsum),
        gypsum_mass=1e-3 * _log_uniform(rng, config.gypsum_g_kg),
        enrichment=mixing.enrichment * np.exp(config.enrichment_region_log_sd * rng.normal()),
        moist_share=rng.uniform(*config.moist_share),
        film_mm=mixing.film_mm * np.exp(0.5 * rng.normal()),
        green=rng.uniform(0.0, mixing.max_green),
        dry=rng.uniform(0.0, mixing.max_dry),
    )


def draw_sites(
    rng: np.random.Generator,
    n: int,
    region: SimulatedRegion,
    materials: Materials,
    *,
    config: SimulationConfig,
) -> SimulatedSites:
    """Draw n sites of a region: soils, salts in sample and crust, plants, moisture."""
    grid = GRID_NM
    mixing = config.mixing
    pixel_soil, sample_soil = _soils(rng, n, region, config)
    sample, crust = _salts(rng, n, region, config)
    # A continuous crust holds no more than its limit; a patchy one holds all of it in patches.
    salt = crust.sum(axis=1, keepdims=True)
    patch = np.maximum(rng.uniform(_PATCH_LOW, 1.0, (n, 1)), salt / mixing.crust_limit)
    earth = np.outer(np.full(n, region.confuser_mass), region.confusers)
    grain = grain_sizes(materials.minerals, mixing)
    moist = rng.random((n, 1)) < region.moist_share
    return SimulatedSites(
        pixel_soil=pixel_soil,
        sample_soil=sample_soil,
        sample=sample + earth * (1.0 - sample.sum(axis=1, keepdims=True)),
        crust=crust + earth * (patch - salt),
        patch=patch,
        grain_um=grain * np.exp(rng.normal(0.0, 0.5, (n, grain.size))),
        green_leaf=green_vegetation(rng, n, grid),
        dry_leaf=dry_vegetation(rng, n, grid),
        green=region.green * rng.random((n, 1)),
        dry=region.dry * rng.random((n, 1)),
        film_mm=moist * rng.exponential(region.film_mm, (n, 1)),
        background_ds_m=mixing.background_ds_m * np.exp(0.7 * rng.normal(size=n)),
    )


def _soils(
    rng: np.random.Generator,
    n: int,
    region: SimulatedRegion,
    config: SimulationConfig,
) -> tuple[Floats, Floats]:
    """Return the soils of pixel and sample (n, g), which differ a little."""
    basis = soil_basis(config.use)
    spread = np.sqrt(config.soil_spread) * basis.sd
    scores = region.soil_scores + spread * rng.normal(size=(n, basis.sd.size))
    sampled = scores + _PAIR_SOIL_SD * spread * rng.normal(size=scores.shape)
    pixel, sample = (
        np.clip(np.exp(basis.mean + np.clip(s, basis.low, basis.high) @ basis.components), 0.005, 1)
        for s in (scores, sampled)
    )
    return np.minimum(pixel, 0.95), np.minimum(sample, 0.95)


def _salts(
    rng: np.random.Generator, n: int, region: SimulatedRegion, config: SimulationConfig
) -> tuple[Floats, Floats]:
    """Return mass fractions of salts in the soil and in the crust, mean over the pixel (n, k)."""
    soluble, gypsum = (
        level * np.exp(config.salt_log_sd * rng.normal(size=n)) * (rng.random(n) < share)
        for level, share in (
            (region.salt, region.saline_share),
            (region.gypsum_mass, region.gypsum_share),
        )
    )
    kinds = _dirichlet(rng, region.salts, _SITE_CONCENTRATION, n)
    soil = soluble[:, None] * kinds + np.outer(gypsum, region.gypsum)
    limit = config.mixing.crust_limit
    soil *= np.minimum(1.0, limit / np.maximum(soil.sum(axis=1, keepdims=True), 1e-12))
    site = np.exp(config.enrichment_site_log_sd * rng.normal(size=(n, 1)))
    enrichment = np.maximum(region.enrichment * site, 1.0)
    mobility = np.where(region.gypsum > 0, GYPSUM_MOBILITY, 1.0)
    crust = soil * enrichment**mobility
    crust *= np.minimum(1.0, limit / np.maximum(crust.sum(axis=1, keepdims=True), 1e-12))
    return soil, crust


def _of_kinds(soluble: Sequence[float], names: Sequence[str], config: SimulationConfig) -> Floats:
    """Return mean shares of soluble salts (k,) with the chlorides that are asked for."""
    shares = np.array(soluble)
    if config.chloride is None:
        return shares
    chlorides = np.isin(names, _CHLORIDES)
    mass = np.array([1.0 - config.chloride, config.chloride]) * (_SULPHATE_G_EQ, _CHLORIDE_G_EQ)
    for kind, amount in zip((~chlorides, chlorides), mass / mass.sum(), strict=True):
        shares[kind] *= amount / shares[kind].sum()
    return shares


def _log_uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(between))))


def _dirichlet(
    rng: np.random.Generator, mean: Floats, concentration: float, n: int | None = None
) -> Floats:
    """Draw shares around a mean; members of mean 0 stay 0, and all when all are (k,) or (n, k)."""
    members = mean > 0
    out = np.zeros(mean.shape if n is None else (n, mean.size))
    if members.any():
        alpha = concentration * mean[members] / mean[members].sum()
        # Below this, a draw can underflow to 0 / 0.
        out[..., members] = rng.dirichlet(np.maximum(alpha, 0.02), n)
    return out
