"""Conductivity and spectra of simulated sites, in the laboratory and from above."""

from dataclasses import replace

import numpy as np

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.ground import SimulatedRegion, SimulatedSites
from deepsalt.benchmark.world.materials import Materials
from deepsalt.simulate.optics import (
    MixingConfig,
    cross_sections,
    densities,
    ec_from_salt,
    water_absorption,
    wet,
)
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
    return _intimate(
        sites.sample_soil,
        sites.sample,
        region.spectra,
        sites.grain_um,
        materials=materials,
        mixing=config.mixing,
    )


def crust_spectra(
    sites: SimulatedSites, region: SimulatedRegion, materials: Materials, config: SimulationConfig
) -> Floats:
    """Return the dry ground without plants: crust in its patches, soil beside (n, g)."""
    bare, crusted = (
        _intimate(
            sites.pixel_soil,
            mass,
            region.spectra,
            sites.grain_um,
            materials=materials,
            mixing=config.mixing,
        )
        for mass in (
            np.outer(np.full(len(sites.crust), region.confuser_mass), region.confusers),
            sites.crust / sites.patch,
        )
    )
    return sites.patch * crusted + (1.0 - sites.patch) * bare


def cover_ground(
    dry_ground: Floats, sites: SimulatedSites, grid_nm: Floats, *, film_mm: Floats, green: Floats
) -> Floats:
    """Return the ground as it lies in the light: moist, under plants (n, g).

    Parameters
    ----------
    dry_ground
        From `crust_spectra` (n, g).
    sites
        For their plants.
    grid_nm
        Wavelengths of mixing, nm (g,).
    film_mm, green
        Water film, mm, and areal share of green plants of the day (n, 1).
    """
    moist = wet(dry_ground, film_mm, water_absorption(grid_nm))
    plants = green * sites.green_leaf + sites.dry * sites.dry_leaf
    return np.asarray(plants + (1.0 - green - sites.dry) * moist, dtype=np.float64)


def _intimate(
    soils: Floats,
    mass: Floats,
    spectra: Floats,
    grain_um: Floats,
    *,
    materials: Materials,
    mixing: MixingConfig,
) -> Floats:
    whole = np.column_stack([1.0 - mass.sum(axis=1), mass])
    shares = cross_sections(whole, densities(materials.minerals), grain_um)
    return mix_with_soil(soils, spectra, shares, mixing)
