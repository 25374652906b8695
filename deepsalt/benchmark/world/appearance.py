"""Conductivity and spectra of simulated sites, in the laboratory and from above."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.ground import SimulatedRegion, SimulatedSites
from deepsalt.benchmark.world.materials import Materials
from deepsalt.simulate.optics import (
    cross_sections,
    densities,
    ec_from_salt,
    water_absorption,
    wet,
)
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.simulate.spectra import mix_with_soil
from deepsalt.types import Floats


def sample_ec(sites: SimulatedSites, materials: Materials, config: SimulationConfig) -> Floats:
    """Return the conductivity of the samples' extracts, dS/m (n,), by salt mass balance.

    Parameters
    ----------
    sites
        With the mass fractions of the sample.
    materials
        Whose minerals these are.
    config
        Water of the extract and gypsum limit.
    """
    # The masses are of the soil already.
    plain = replace(config.mixing, enrichment=1.0)
    return sites.background_ds_m + ec_from_salt(sites.sample, materials.minerals, plain)


def sample_spectra(
    sites: SimulatedSites, region: SimulatedRegion, materials: Materials, config: SimulationConfig
) -> Floats:
    """Return the dry, sieved, mixed samples, reflectance (n, g)."""
    shares = _grain_shares(sites.sample, sites.grain_um, materials)
    return mix_with_soil(sites.sample_soil, region.spectra, shares, config.mixing)


def crust_spectra(
    sites: SimulatedSites, region: SimulatedRegion, materials: Materials, config: SimulationConfig
) -> Floats:
    """Return the dry ground without plants: crust in its patches, soil beside (n, g)."""
    bare, crusted = (
        _mixed(
            sites.pixel_soil, region.spectra, _grain_shares(mass, sites.grain_um, materials), config
        )
        for mass in (
            np.outer(np.full(len(sites.crust), region.confuser_mass), region.confusers),
            sites.crust / sites.patch,
        )
    )
    return sites.patch * crusted + (1.0 - sites.patch) * bare


def cover_ground(
    dry_ground: Floats,
    sites: SimulatedSites,
    *,
    film_mm: Floats,
    green: Floats,
    config: SimulationConfig,
) -> Floats:
    """Return the ground as it lies in the light: moist, under plants (n, g).

    Parameters
    ----------
    dry_ground
        From `crust_spectra` (n, g).
    sites
        For their plants.
    film_mm, green
        Water film, mm, and areal share of green plants of the day (n, 1).
    config
        The law of mixing. Plants lie beside the ground in any case; by ``bilinear`` light meets
        both.
    """
    moist = wet(dry_ground, film_mm, water_absorption(GRID_NM))
    bare = 1.0 - green - sites.dry
    parts = [green * sites.green_leaf, sites.dry * sites.dry_leaf, bare * moist]
    return _side_by_side(parts, config)


def _grain_shares(mass: Floats, grain_um: Floats, materials: Materials) -> Floats:
    whole = np.column_stack([1.0 - mass.sum(axis=1), mass])
    return cross_sections(whole, densities(materials.minerals), grain_um)


def _mixed(soils: Floats, spectra: Floats, shares: Floats, config: SimulationConfig) -> Floats:
    """Mix soils (n, g) and minerals (k, g) by their shares (n, 1 + k) and the world's law."""
    if config.law == "hapke":
        return mix_with_soil(soils, spectra, shares, config.mixing)
    parts = [shares[:, :1] * soils]
    parts += [
        share[:, None] * mineral for share, mineral in zip(shares[:, 1:].T, spectra, strict=True)
    ]
    return _side_by_side(parts, config)


def _side_by_side(parts: Sequence[Floats], config: SimulationConfig) -> Floats:
    """Return the sum of areal shares times reflectances (n, g), with what met two if bilinear.

    The generalised bilinear model (Halimi et al. 2011, IEEE TGRS 49, 4153) with one interaction
    for all pairs: sum of a_i r_i + interaction x sum over pairs of a_i r_i a_j r_j; no more than 1.
    """
    total = np.asarray(sum(parts), dtype=np.float64)
    if config.law != "bilinear":
        return total
    twice = total**2 - sum(part**2 for part in parts)
    return np.minimum(total + 0.5 * config.interaction * twice, 1.0)
