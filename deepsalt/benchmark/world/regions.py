"""Simulated regions with trusted pairs: a laboratory spectrum and what a satellite saw there.

The sample is dry, sieved and mixed, so that its salt hardly shows; the satellite sees the crust,
enriched by a factor that nobody knows, in patches, moist, under plants, through an atmosphere that
was not corrected quite right, with noise and smile.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepsalt.benchmark.world.appearance import (
    cover_ground,
    crust_spectra,
    sample_ec,
    sample_spectra,
)
from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.ground import SimulatedSites, draw_region, draw_sites
from deepsalt.benchmark.world.materials import load_materials
from deepsalt.benchmark.world.pairs import SimulatedPairs, join_pairs
from deepsalt.errors import UsageError
from deepsalt.simulate.atmosphere import draw_sky, look_through
from deepsalt.simulate.optics import GYPSUM_LIKE, SENSOR_NOISE, is_salt, noise_sd, snr
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable, Floats

__all__ = ["SimulatedPairs", "simulate_regions"]


_LIGHT_SD = 0.05  # log, per look: slope and micro-relief
_SEASON_SD = 0.4  # log, per scene: plants and moisture against an ordinary day


class _Sensor(NamedTuple):
    name: str
    bands: BandTable


def simulate_regions(
    config: SimulationConfig,
    *,
    sensor: str | BandTable,
    seed: int | None = None,
    repeats: int = 1,
    regions: Sequence[int] | None = None,
) -> SimulatedPairs:
    """Simulate regions and their sites as laboratory and satellite see them.

    Parameters
    ----------
    config
        What to simulate.
    sensor
        Name of a sensor, path of a band table, or the table itself.
    seed
        Instead of `SimulationConfig.seed`. A region is a matter of seed and index: neither the
        number of regions nor `repeats` nor the sensor changes its ground and samples.
    repeats
        In how many scenes of its region each site is seen, at most `SimulationConfig.scenes`.
    regions
        Indices of the regions, any from 0 on; None: the first `SimulationConfig.regions`. Other
        indices are other ground: a laboratory library of its own, for example.

    Returns
    -------
    SimulatedPairs
        Regions in the order asked for; the sites of a region in order, all of them once per repeat.

    Raises
    ------
    UsageError
        No region, a negative or repeated one, or more repeats than scenes.
    FormatError
        The sensor cannot be used.
    """
    chosen = list(range(config.regions)) if regions is None else [int(i) for i in regions]
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise UsageError(f"regions {chosen[:10]} must be distinct indices from 0 on, at least one")
    if not 1 <= repeats <= config.scenes:
        raise UsageError(
            f"{repeats} repeats need as many scenes per region, but there are {config.scenes}; "
            f"raise `scenes` or request 1 to {config.scenes}"
        )
    instrument = (
        _Sensor("", sensor)
        if isinstance(sensor, BandTable)
        else _Sensor(sensor.lower(), sensor_bands(sensor))
    )
    base = config.seed if seed is None else seed
    parts = [_simulate_region(config, instrument, base, index, repeats) for index in chosen]
    return join_pairs(parts)


def _simulate_region(
    config: SimulationConfig, sensor: _Sensor, seed: int, index: int, repeats: int
) -> SimulatedPairs:
    materials = load_materials(config.use)
    rng = np.random.default_rng([seed, index])
    region = draw_region(rng, materials, config)
    sites = draw_sites(rng, config.sites, region, materials, config=config)
    lab_bands = sensor_bands("lab")
    lab = _measure(
        np.random.default_rng([seed, index, 0]),
        sample_spectra(sites, region, materials, config),
        lab_bands,
        config=config,
    )
    ground = crust_spectra(sites, region, materials, config)
    n = config.sites
    scene = (np.arange(n)[None, :] + np.arange(repeats)[:, None]) % config.scenes
    appearance = _Appearance(np.empty((repeats, n, len(sensor.bands))), *np.empty((2, repeats, n)))
    for number in range(config.scenes):
        which, rows = np.nonzero(scene == number)
        if rows.size:
            stream = np.random.default_rng([seed, index, 1 + number])
            seen = _appearance(stream, ground, sites, sensor=sensor, config=config)
            for every, one in zip(appearance, seen, strict=True):
                every[which, rows] = one[rows]
    names = materials.minerals
    salts = sites.crust[:, [is_salt(name) for name in names]].sum(axis=1)
    gypsum = sites.crust[:, [name in GYPSUM_LIKE for name in names]].sum(axis=1)
    place = f"region-{index:03d}"
    return SimulatedPairs(
        lab=np.tile(lab, (repeats, 1)),
        lab_bands=lab_bands,
        satellite=appearance.reflectance.reshape(repeats * n, -1),
        satellite_bands=sensor.bands,
        sensor=sensor.name,
        ec=np.tile(sample_ec(sites, materials, config), repeats),
        region=np.full(repeats * n, place),
        scene=np.array([f"{place}-scene-{number:02d}" for number in scene.ravel()]),
        sample=np.tile(np.array([f"{place}-site-{i:04d}" for i in range(n)]), repeats),
        green=appearance.green.ravel(),
        dry=np.tile(sites.dry[:, 0], repeats),
        film_mm=appearance.film_mm.ravel(),
        gypsum=np.tile(gypsum, repeats),
        salt=np.tile(salts, repeats),
        ec_method=f"simulated extract of {config.mixing.extract_water_l_kg:g} L water per kg",
    )


class _Appearance(NamedTuple):
    reflectance: Floats
    green: Floats
    film_mm: Floats


def _appearance(
    rng: np.random.Generator,
    ground: Floats,
    sites: SimulatedSites,
    *,
    sensor: _Sensor,
    config: SimulationConfig,
) -> _Appearance:
    """Return all sites of a region as one scene shows them."""
    n = len(ground)
    bands = sensor.bands
    mixing = config.mixing
    growth, rain = np.exp(_SEASON_SD * rng.normal(size=2))
    green = np.minimum(growth * sites.green, mixing.max_green)
    film = rain * sites.film_mm
    sky = draw_sky(rng, GRID_NM, config.atmosphere, sensor.name)
    covered = cover_ground(ground, sites, film_mm=film, green=green, config=config)
    covered *= np.exp(_LIGHT_SD * rng.normal(size=(n, 1)))
    across = rng.uniform(-1.0, 1.0, n)
    seen = look_through(sky, covered, across, grid_nm=GRID_NM, bands=bands)
    sd = noise_sd(seen, snr(bands.centers_nm)) * SENSOR_NOISE.get(sensor.name, 1.0)
    seen += mixing.noise * sd * rng.normal(size=seen.shape)
    seen[:, ~np.array(bands.usable)] = np.nan
    return _Appearance(seen, green[:, 0], film[:, 0])


def _measure(
    rng: np.random.Generator,
    spectra: Floats,
    bands: BandTable,
    *,
    config: SimulationConfig,
) -> Floats:
    """Return what the laboratory's spectrometer reads (n, n_lab)."""
    read = spectra @ response_matrix(GRID_NM, bands).T
    read *= np.exp(config.lab_gain * rng.normal(size=(len(read), 1)))
    return np.asarray(read + config.lab_noise * rng.normal(size=read.shape), dtype=np.float64)
